"""Answers to callbacks."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws.http.answers import Json
from steprig.aws.http.backend import Backend
from steprig.aws.http.raw_path import label
from steprig.aws.http.reading import body_as
from steprig.aws.model import ErrorObject

_PATH = "/2025-12-01/durable-execution-callbacks/{callback}"


def callback_routes(backend: Backend) -> list[Route]:
    """Success, whose body is the result as it is; failure, whose body is the error; and signs of life."""
    engine = backend.engine

    async def succeed(request: Request) -> Response:
        engine.succeed_callback(label(request, "callback"), await request.body() or None)
        return Json({})

    async def fail(request: Request) -> Response:
        engine.fail_callback(label(request, "callback"), await body_as(request, ErrorObject))
        return Json({})

    async def heartbeat(request: Request) -> Response:
        engine.heartbeat(label(request, "callback"))
        return Json({})

    return [
        Route(f"{_PATH}/succeed", succeed, methods=["POST"]),
        Route(f"{_PATH}/fail", fail, methods=["POST"]),
        Route(f"{_PATH}/heartbeat", heartbeat, methods=["POST"]),
    ]
