"""A real HTTP server with fixed answers."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from steprig.live import UvicornTestServer
from steprig.workflows.http_mock import HttpCall


class TestHttpServer:
    """Serves fixed answers on a port of its own, and knows what was asked.

    Args:
        routes: `{"GET /health": body, "POST /charges": (body, status)}`. A path may have parameters, as in
            `/users/{id}`. A body is text, or anything that JSON can say; or a Starlette endpoint.
    """

    __test__ = False

    def __init__(self, routes: Mapping[str, Any] | None = None) -> None:
        self._calls: list[HttpCall] = []
        self._server = UvicornTestServer(Starlette(routes=[self._route(*each) for each in (routes or {}).items()]))

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
        """The requests so far; `kwargs` has `headers`, `params` and `body`."""
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
        return Route(path, answer if callable(answer) else self._endpoint(answer), methods=[method.upper()])

    def _endpoint(self, answer: Any) -> Any:
        body, status = answer if isinstance(answer, tuple) else (answer, 200)

        async def endpoint(request: Request) -> Response:
            self._calls.append(
                HttpCall(
                    request.method,
                    request.url.path,
                    {
                        "headers": dict(request.headers),
                        "params": dict(request.query_params),
                        "body": await request.body(),
                    },
                )
            )
            if isinstance(body, str):
                return PlainTextResponse(body, status)
            return JSONResponse(body, status)

        return endpoint
