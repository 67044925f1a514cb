"""An SDK with an endpoint, in plain HTTP: it begins runs by itself, and is asked to go on with them."""

from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from steprig.inngest.ids import new_ulid
from steprig.live import UvicornTestServer

from .stage import Stage

_HEADERS = {"x-inngest-sdk": "inngest-js:v4.24.0", "x-inngest-req-version": "2"}
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class EndpointApp:
    """What a test is of such an SDK: `begin` and `report` say what it does, `replies` what it answers when asked.

    Each reply is a list of opcodes, or one opcode. Without any left it says that the run is complete.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.requests: list[dict[str, Any]] = []
        self.replies: list[Any] = []
        self.server = UvicornTestServer(Starlette(routes=[Route("/{rest:path}", self._answer, methods=_METHODS)]))

    def begin(self, *steps: dict[str, Any], request: dict[str, str] | None = None, **fields: Any) -> Any:
        """Begin a run, as inside of a request for `/orders`. Returns the server's answer."""
        data = {"domain": self.server.base_url, "path": "/orders", "method": "GET", "ip": "127.0.0.1", "fn": ""}
        body = {
            "run_id": new_ulid(self.stage.clock.now()),
            "event": {"name": "inngest/http.request", "data": data | (request or {})},
            "steps": steps,
            "request_version": 2,
            "retries": 3,
        }
        return self.stage.http.post("/v1/checkpoint", json=body | fields)

    def begun(self, *steps: dict[str, Any], **fields: Any) -> dict[str, str]:
        """What the server says of a run that was begun."""
        begun: dict[str, str] = self.begin(*steps, **fields).raise_for_status().json()["data"]
        return begun

    def report(self, run_id: str, *steps: dict[str, Any]) -> Any:
        """Report steps of a run."""
        return self.stage.http.post(f"/v1/checkpoint/{run_id}/steps", json={"run_id": run_id, "steps": steps})

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        query = request.url.query
        self.requests.append(
            {"method": request.method, "path": request.url.path, "query": query, "body": body} | dict(request.headers)
        )
        reply = self.replies.pop(0) if self.replies else complete("the end")
        return JSONResponse(reply, 206, headers=_HEADERS)


def complete(body: str, status: int = 200, **headers: str) -> dict[str, Any]:
    """The opcode of a run's end, with the answer of the endpoint."""
    return {"id": "complete", "op": "RunComplete", "data": {"status": status, "headers": headers, "body": body}}


def ran(step: str, data: object) -> dict[str, Any]:
    """The opcode of a step that has run."""
    return {"id": step, "op": "StepRun", "displayName": step, "data": data}


def sleep(duration: str) -> dict[str, Any]:
    """The opcode of a sleep."""
    return {"id": "sleep", "op": "Sleep", "name": duration, "displayName": "a while"}
