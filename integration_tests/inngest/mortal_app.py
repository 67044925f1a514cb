"""An app on the real SDK, in a process of its own, that dies in the middle of a step when it is told to.

    python mortal_app.py <port> <dev server's origin> <file>

Steps write their names to the file. The second dies unless the file says that it has died before.
"""

import os
import sys
import warnings
from pathlib import Path

import uvicorn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
    import fastapi
    import inngest
    import inngest.fast_api

DIED = "died"


def app(origin: str, notes: Path) -> fastapi.FastAPI:
    """Serves one function of three steps."""
    client = inngest.Inngest(app_id="mortal", is_production=False, api_base_url=origin, event_api_base_url=origin)

    def note(line: str) -> str:
        with notes.open("a") as file:
            file.write(f"{line}\n")
        return line

    def dies_once() -> str:
        if DIED not in notes.read_text().split():
            note(DIED)
            os._exit(1)
        return note("second")

    @client.create_function(fn_id="steps", retries=2, trigger=inngest.TriggerEvent(event="mortal/steps"))
    def steps(ctx: inngest.ContextSync) -> list[str]:
        return [
            ctx.step.run("first", note, "first"),
            ctx.step.run("second", dies_once),
            ctx.step.run("third", note, "third"),
        ]

    api = fastapi.FastAPI()
    inngest.fast_api.serve(api, client, [steps])
    return api


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[2], Path(sys.argv[3])), port=int(sys.argv[1]), log_level="warning")
