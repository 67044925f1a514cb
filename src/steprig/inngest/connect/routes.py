"""The routes of Connect (`/v0/connect...`)."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import failure

_PROTOBUF = "application/octet-stream"


def connect_routes(platform: InngestPlatform) -> list[BaseRoute]:
    """The routes by which workers get in touch."""

    async def start(request: Request) -> Response:
        if platform.gateway.is_closing:
            return failure(503, "the gateway is closing")
        if not _may_connect(platform, request):
            return failure(401, "the signing key is missing or wrong: expected `Authorization: Bearer <hashed key>`")
        return Response(platform.gateway.start_response(_endpoint(platform, request)), media_type=_PROTOBUF)

    async def flush(request: Request) -> Response:
        if not _may_connect(platform, request):
            return failure(401, "the signing key is missing or wrong: expected `Authorization: Bearer <hashed key>`")
        try:
            return Response(platform.gateway.flush(await request.body()), media_type=_PROTOBUF)
        except ValueError as error:
            return failure(400, f"the body is no SDKResponse: {error}")

    async def connect(socket: WebSocket) -> None:
        await platform.gateway.serve(socket)

    return [
        Route("/v0/connect/start", start, methods=["POST"]),
        Route("/v0/connect/flush", flush, methods=["POST"]),
        WebSocketRoute("/v0/connect", connect),
    ]


def _may_connect(platform: InngestPlatform, request: Request) -> bool:
    return platform.options.admits(request.headers.get("authorization"))


def _endpoint(platform: InngestPlatform, request: Request) -> str:
    """Where to connect: this very server, by the name that the worker knows it by.

    Only the name: a proxy for HTTP, whose port this would be, may not know of WebSockets.
    """
    server = request.scope.get("server") or ("127.0.0.1", 8288)
    name = urlsplit(f"//{request.headers.get('host') or server[0]}").hostname or server[0]
    host = f"[{name}]" if ":" in name else name
    return f"ws://{host}:{platform.options.connect_port or server[1]}/v0/connect"
