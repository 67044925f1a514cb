"""A demo in one process: an app with Inngest functions on port 8000, and a dev server for it on port 8288.

    uv run python demo_server.py [--port N] [--dev-server-port N] [--clock real|skip]

`create_functions` and `create_app` are what any app with Inngest functions looks like; the rest starts it.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import fastapi
import inngest
import inngest.fast_api

from steprig import RealClock, SteprigError, UvicornTestServer, VirtualClock
from steprig.commands.foreground import Foreground
from steprig.commands.news import News
from steprig.inngest import DevServer
from steprig.kernel import Clock

APP_PORT, DEV_SERVER_PORT = 8000, 8288

Functions = list[inngest.Function[Any]]


# --- The app ------------------------------------------------------------------------------------------


def create_functions(client: inngest.Inngest) -> Functions:
    """The functions of the app: what they do survives restarts and failures, step by step."""

    @client.create_function(fn_id="fulfil-order", trigger=inngest.TriggerEvent(event="demo/order.placed"))
    async def fulfil_order(ctx: inngest.Context) -> dict[str, object]:
        order = str(ctx.event.data.get("order", "A-1"))

        async def reserve() -> str:
            return f"shelf of {order}"

        async def pack() -> str:
            return f"parcel of {order}"

        async def invoice() -> str:
            return f"invoice of {order}"

        async def ship() -> str:
            if ctx.attempt == 0:
                raise ConnectionError("the courier cannot be reached")
            return f"{order} shipped at attempt {ctx.attempt + 1}"

        await ctx.step.run("reserve", reserve)
        papers = await ctx.group.parallel(
            (lambda: ctx.step.run("pack", pack), lambda: ctx.step.run("invoice", invoice)),
        )
        await ctx.step.sleep("wait for the courier", timedelta(seconds=2))
        shipped = await ctx.step.run("ship", ship)
        await ctx.step.send_event("tell", inngest.Event(name="demo/order.shipped", data={"order": order}))
        return {"order": order, "papers": list(papers), "status": shipped}

    @client.create_function(fn_id="thank-customer", trigger=inngest.TriggerEvent(event="demo/order.shipped"))
    async def thank_customer(ctx: inngest.Context) -> str:
        async def write() -> str:
            return f"Thank you for order {ctx.event.data['order']}!"

        return await ctx.step.run("write", write)

    return [fulfil_order, thank_customer]


def create_app(client: inngest.Inngest) -> fastapi.FastAPI:
    """The app: three plain routes, and the functions at `/api/inngest`."""
    app = fastapi.FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"message": "OK"}

    @app.get("/test")
    async def test() -> dict[str, str]:
        return {"message": "The server works"}

    @app.post("/api/data")
    async def data(request: fastapi.Request) -> fastapi.Response:
        body = await request.body()
        try:
            json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            message = json.dumps({"error": f"the body is not valid JSON: {error}"})
            return fastapi.Response(message, 400, media_type="application/json")
        return fastapi.Response(body, media_type="application/json")

    inngest.fast_api.serve(app, client, create_functions(client))
    return app


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# --- Starting it --------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C. Returns the exit code."""
    options = _options(arguments)
    try:
        with Foreground() as foreground, VirtualClock() if options.clock == "skip" else RealClock() as clock:
            serve(options, clock, foreground)
    except SteprigError as error:
        print(f"demo_server.py: {error}", file=sys.stderr)
        return 1
    return 0


def serve(options: argparse.Namespace, clock: Clock, foreground: Foreground) -> None:
    """Start the app and the dev server, introduce them to each other, and say what one can do with them."""
    dev_server = DevServer(options.dev_server_port, clock=clock, retry_interval=timedelta(seconds=1))
    client = inngest.Inngest(
        app_id="demo",
        is_production=False,
        api_base_url=dev_server.origin,
        event_api_base_url=dev_server.origin,
    )
    app = UvicornTestServer(create_app(client), port=options.port, shutdown_timeout=1.0)
    stop_telling = dev_server.journal.listen(News(foreground.say, dev_server.timeline))
    with app, dev_server:  # the dev server is left first: it ends the calls that it is making to the app
        _tell_of_other_port(foreground, "the app", options.port, app.port)
        _tell_of_other_port(foreground, "the dev server", options.dev_server_port, dev_server.port)
        dev_server.sync(app.url("/api/inngest"))
        foreground.say(_welcome(app.base_url, dev_server.origin, options.clock))
        foreground.run()
    stop_telling()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An app with Inngest functions, and a dev server for it.")
    parser.add_argument("--port", type=_port, default=APP_PORT, help="of the app (default: %(default)s; 0: any)")
    parser.add_argument("--dev-server-port", type=_port, default=DEV_SERVER_PORT, help="(default: %(default)s; 0: any)")
    parser.add_argument(
        "--clock", choices=("real", "skip"), default="real", help="skip: sleeps and retries take no time"
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a number from 0 to 65535")
    return int(text)


def _tell_of_other_port(foreground: Foreground, who: str, asked: int, got: int) -> None:
    if asked not in (0, got):
        foreground.say(f"Port {asked} is not free; {who} listens on {got} instead.")


def _welcome(app: str, dev_server: str, clock: str) -> str:
    event = json.dumps({"name": "demo/order.placed", "data": {"order": "A-1"}})
    pace = "It takes about 3 s" if clock == "real" else "Its sleep and its retry take no time"
    return f"""\
The app:         {app}
The dev server:  {dev_server}

Paste these lines into another terminal.

  curl -sw '\\n' {app}/health
  curl -sw '\\n' {app}/test
  curl -sw '\\n' {app}/api/data -H 'Content-Type: application/json' -d '{{"hello":"world"}}'

  # Send an event. It starts a function with steps, a sleep and a retry. {pace}.
  curl -sw '\\n' {dev_server}/e/demo -d {shlex.quote(event)}

  # Show the newest run with its steps and its output.
  {_show_newest_run(dev_server)}

Runs are shown here, too, when they end. Ctrl-C stops both servers.
"""


def _show_newest_run(dev_server: str) -> str:
    """A line that asks for the newest event, then for its run, then for the steps of that."""
    first_id = "cut -d'\"' -f6"
    event = f"$(curl -s '{dev_server}/v1/events?limit=1&name=demo/order.placed' | {first_id})"
    run = f"$(curl -s {dev_server}/v1/events/{event}/runs | {first_id})"
    before, after = '{"query":"{run(runID:\\"', '\\"){status output trace{childrenSpans{name status attempts}}}}"}'
    return f"curl -sw '\\n' {dev_server}/v0/gql -d '{before}'{run}'{after}'"


if __name__ == "__main__":
    Foreground.ends_process = True
    sys.exit(main())
