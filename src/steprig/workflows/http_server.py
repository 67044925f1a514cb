"""A real HTTP server with fixed answers."""

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from steprig.live import UvicornTestServer
from steprig.workflows.http_mock import HttpCall


class TestHttpServer:
    """Serves fixed answers on a port of its own, and knows what was asked.

    Args:
        routes: `{"GET /health": body, "POST /charges": (body, status)}`. A path may have parameters, as in
            `/users/{id}`. A body is text, bytes, or anything that JSON can say; or a Starlette endpoint.
    """

    __test__ = False

    def __init__(self, routes: Mapping[str, Any] | None = None) -> None:
        self._calls: list[HttpCall] = []
        refused: dict[Any, Any] = {HTTPException: self._refuse}
        served = [self._route(*each) for each in (routes or {}).items()]
        self._server = UvicornTestServer(Starlette(routes=served, exception_handlers=refused))

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:50123`."""
        return self._server.base_url

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._server.host

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return self._server.is_running

    def get_calls(self, method: str | None = None, path: str | None = None) -> list[HttpCall]:
        """The requests so far, also those refused; `kwargs` has `headers`, `params` and `body`."""
        return [
            each
            for each in self._calls
            if (method is None or each.method == method.upper()) and (path is None or each.url == path)
        ]

    async def start(self) -> None:
        """Serve."""
        await asyncio.to_thread(self._server.start)

    async def cleanup(self) -> None:
        """Stop, and close the port. Idempotent."""
        await asyncio.to_thread(self._server.stop)

    def _route(self, key: str, answer: Any) -> Route:
        method, space, path = key.partition(" ")
        if not (space and path.startswith("/")):
            raise ValueError(f"a route is a method and a path, as in 'GET /health'; got {key!r}")
        given = answer if callable(answer) else _fixed(key, answer)
        return Route(path, self._endpoint(given), methods=[method.upper()])

    def _endpoint(self, given: Any) -> Any:
        if not inspect.isroutine(given):
            return given  # an ASGI application, which reads its request itself

        async def endpoint(request: Request) -> Response:
            await self._note(request)
            if inspect.iscoroutinefunction(given):
                return await given(request)  # type: ignore[no-any-return]
            return await run_in_threadpool(given, request)

        return endpoint

    async def _refuse(self, request: Request, refusal: HTTPException) -> Response:
        """For what no route takes, and what an endpoint refuses."""
        await self._note(request)
        return PlainTextResponse(refusal.detail, refusal.status_code, refusal.headers)

    async def _note(self, request: Request) -> None:
        if "steprig_noted" in request.scope:
            return
        request.scope["steprig_noted"] = True
        details = {"headers": dict(request.headers), "params": dict(request.query_params), "body": await request.body()}
        self._calls.append(HttpCall(request.method, request.url.path, details))


def _fixed(key: str, answer: Any) -> Any:
    body, status = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, 200)
    if isinstance(body, tuple) or not isinstance(status, int):
        raise TypeError(f"the answer of {key!r} is a body, or a pair of body and status; got {answer!r}")

    async def endpoint(request: Request) -> Response:
        if isinstance(body, bytes):
            return Response(body, status)
        return PlainTextResponse(body, status) if isinstance(body, str) else JSONResponse(body, status)

    return endpoint
