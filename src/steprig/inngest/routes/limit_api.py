"""Limits of single functions (`/fn/step-limit`, `/fn/state-size-limit`), for tests of what happens beyond them."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.ceilings import LimitError, Overrides
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import failure


def limit_routes(platform: InngestPlatform) -> list[Route]:
    """The routes by which the limits of a function are set and removed. They hold for as long as the server runs."""
    return [
        *_routes("/fn/step-limit", "step limit", lambda: platform.engine.limits.steps),
        *_routes("/fn/state-size-limit", "state size limit", lambda: platform.engine.limits.state_bytes),
    ]


def _routes(path: str, what: str, overrides: Callable[[], Overrides]) -> list[Route]:
    async def set_limit(request: Request) -> Response:
        form = await _form(request)
        if not form.get("functionId"):
            return failure(400, "functionId is missing; expected the UUID of a function")
        try:
            overrides().set(form["functionId"], form.get("limit", ""))
        except LimitError as error:
            return failure(400, str(error))
        return Response(status_code=200)

    async def remove_limit(request: Request) -> Response:
        function = (await _form(request)).get("functionId", "")
        if not overrides().remove(function):
            return failure(404, f"No {what} set for function: {function}")
        return Response(status_code=200)

    return [Route(path, set_limit, methods=["POST"]), Route(path, remove_limit, methods=["DELETE"])]


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form, in the body or in the query."""
    body = (await request.body()).decode(errors="replace")
    return {**request.query_params, **dict(parse_qsl(body))}
