"""The ASGI application, composed from its families of routes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from steprig.aws.errors import ServiceError, UnknownOperationException
from steprig.aws.http.answers import failed, refusal, refused
from steprig.aws.http.backend import Backend
from steprig.aws.http.limiting import BodyLimit, RequestId
from steprig.aws.http.raw_path import RawPath
from steprig.aws.http.routes.callbacks import callback_routes
from steprig.aws.http.routes.checkpoints import checkpoint_routes
from steprig.aws.http.routes.executions import execution_routes
from steprig.aws.http.routes.invoking import invoking_routes
from steprig.aws.http.routes.listing import listing_routes
from steprig.aws.http.routes.local import local_routes
from steprig.aws.http.routes.settings import setting_routes
from steprig.aws.http.throttling import ConcurrencyExceededError, throttled

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(backend: Backend, lifespan: Lifespan, *, max_request_size: int) -> Starlette:
    """The application of a server.

    Args:
        backend: What it speaks to.
        lifespan: Entered at start, left at stop.
        max_request_size: Bytes of the largest body that is taken in.
    """
    app = Starlette(
        routes=[
            *checkpoint_routes(backend),
            *execution_routes(backend),
            *listing_routes(backend),
            *callback_routes(backend),
            *invoking_routes(backend),
            *setting_routes(backend),
            *local_routes(backend),
        ],
        middleware=[
            Middleware(RequestId),
            Middleware(RawPath),
            Middleware(BodyLimit, most=max_request_size),
        ],
        exception_handlers={
            ConcurrencyExceededError: throttled,
            ServiceError: refused,
            404: unknown,
            405: unknown,
            500: failed,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def unknown(request: Request, error: Exception) -> Response:
    """Any path that there is not, and any method that it does not have."""
    del error
    return refusal(UnknownOperationException(f"There is no {request.method} {request.url.path}."))
