"""The dev server's ASGI application, composed from its families of routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steprig.inngest.body_limit import BodyLimit
from steprig.inngest.connect.routes import connect_routes
from steprig.inngest.graphql import graphql_routes
from steprig.inngest.key_guard import KeyGuard
from steprig.inngest.limits import MAX_REQUEST_BYTES
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.realtime import Tokens
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.routes.app_api import app_routes
from steprig.inngest.routes.cancellation_api import cancellation_routes
from steprig.inngest.routes.checkpoint_api import checkpoint_routes
from steprig.inngest.routes.event_api import event_routes
from steprig.inngest.routes.limit_api import limit_routes
from steprig.inngest.routes.metadata_api import metadata_routes
from steprig.inngest.routes.realtime_api import realtime_routes
from steprig.inngest.routes.rest_api import rest_routes
from steprig.inngest.routes.signal_api import signal_routes
from steprig.inngest.routes.telemetry_api import telemetry_routes
from steprig.inngest.routes.wait_api import wait_routes
from steprig.inngest.tokens import Signer
from steprig.kernel import Rig

_METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]


def create_app(platform: InngestPlatform, rig: Rig) -> Starlette:
    """The application of a dev server. Its lifespan is the rig's: entered at start, left at stop.

    Args:
        platform: Plugged into `rig`.
        rig: Runs on the loop that serves the application.
    """

    signer = Signer()
    tokens = Tokens(signer)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        async with rig:
            yield

    return Starlette(
        routes=[
            *event_routes(platform),
            *app_routes(platform),
            *limit_routes(platform),
            *rest_routes(platform),
            *metadata_routes(platform),
            *checkpoint_routes(platform, signer, tokens),
            *cancellation_routes(platform),
            *telemetry_routes(),
            *graphql_routes(platform),
            *wait_routes(platform),
            *signal_routes(platform),
            *realtime_routes(platform, tokens),
            *connect_routes(platform),
            Route("/health", health, methods=["GET"]),
        ],
        middleware=[
            Middleware(ServerKind, kind=platform.options.kind),
            Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=_METHODS, allow_headers=["*"], max_age=3600),
            Middleware(KeyGuard, options=platform.options),
            Middleware(BodyLimit, max_bytes=MAX_REQUEST_BYTES),
        ],
        exception_handlers={404: not_found, 500: partial(failed, kind=platform.options.kind)},
        lifespan=lifespan,
    )


class ServerKind:
    """Says on every response which kind of server answers, and that clients may wait for changes at `/steprig`."""

    def __init__(self, app: ASGIApp, kind: str) -> None:
        self._app = app
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""

        async def send_with_kind(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Inngest-Server-Kind"] = self._kind
                headers["X-Steprig"] = "1"
            await send(message)

        await self._app(scope, receive, send_with_kind if scope["type"] == "http" else send)


async def health(request: Request) -> Response:
    """`GET /health`."""
    del request
    return Json({"status": 200, "message": "OK"})


async def not_found(request: Request, error: Exception) -> Response:
    """Any path that there is not."""
    del error
    return failure(404, f"there is no {request.method} {request.url.path}")


async def failed(request: Request, error: Exception, kind: str) -> Response:
    """A fault of the server. Nothing wraps this answer, so that it has to say itself where it is from."""
    answer = failure(500, f"a fault in steprig at {request.method} {request.url.path}: {error!r}; please report it")
    answer.headers["X-Inngest-Server-Kind"] = kind
    return answer
