"""An app whose SDK sends opcodes that the Python SDK does not: every call is answered by a function of the test."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from steprig.live import UvicornTestServer

_HEADERS = {"x-inngest-sdk": "inngest-js:v3.0.0", "x-inngest-req-version": "2"}


class OpcodeApp:
    """Serves functions that answer with opcodes.

    Each takes the body of a call and returns a list of opcodes, or anything else as the run's result.
    """

    def __init__(self, stage):
        self.stage = stage
        self.bodies = []
        self._functions = {}
        self._triggers = {}
        self._server = UvicornTestServer(Starlette(routes=[Route("/sdk", self._answer, methods=["POST"])]))

    def function(self, fn_id, trigger=None):
        def register(body):
            slug = f"{self.stage.app_id}-{fn_id}"
            self._functions[slug] = body
            self._triggers[slug] = trigger or {"event": f"test/{slug}"}
            return body

        return register

    def start(self, fn_id, retries=0):
        """Register all functions and start one. Returns the run's id."""
        self._register(retries)
        event_id = self.stage.http.post("/e/key", json={"name": f"test/{self.stage.app_id}-{fn_id}"}).json()["ids"][0]
        (run,) = self.stage.runs_of(event_id)
        return run["run_id"]

    def run(self, fn_id, retries=0):
        return self.stage.ended(self.start(fn_id, retries))

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop()

    def _register(self, retries):
        url = self._server.url("/sdk")
        functions = [self._config(slug, url, retries) for slug in self._functions]
        body = {"appname": self.stage.app_id, "url": url, "sdk": "js:v3.0.0", "functions": functions}
        self.stage.http.post("/fn/register", json=body).raise_for_status()

    def _config(self, slug, url, retries):
        runtime = {"type": "http", "url": f"{url}?fnId={slug}&stepId=step"}
        step = {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": retries}}
        return {"id": slug, "name": slug, "triggers": [self._triggers[slug]], "steps": {"step": step}}

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        result = self._functions[request.query_params["fnId"]](body)
        return JSONResponse(result, 206 if isinstance(result, list) else 200, _HEADERS)
