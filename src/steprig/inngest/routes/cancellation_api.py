"""Ending many runs by one request (`/v1/cancellations`)."""

from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.expressions import Expression, ExpressionError
from steprig.inngest.functions import Slug
from steprig.inngest.ids import new_ulid
from steprig.inngest.limits import ENVIRONMENT_ID
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.records import RunId
from steprig.inngest.routes.answers import Json, failure, success
from steprig.inngest.routes.parameters import moment, time_in
from steprig.inngest.routes.run_search import QueuedRun, queued_runs
from steprig.inngest.wire import UNREADABLE


class Cancellation(msgspec.Struct, frozen=True):
    """Which runs of a function a request has ended."""

    id: str
    environment_id: str
    function_id: Slug
    started_after: datetime | None
    started_before: datetime
    condition: str | None = msgspec.field(name="if", default=None)

    def wants(self, run: QueuedRun) -> bool:
        """Whether a run is one of those, going by when and by what it was begun."""
        if run.entry.function != self.function_id or not run.at < self.started_before:
            return False
        if self.started_after is not None and not run.at > self.started_after:
            return False
        if self.condition is None:
            return True
        return Expression.compile(self.condition).matches(now=run.at, event=run.entry.events[0].fields())


def cancellation_routes(platform: InngestPlatform) -> list[Route]:
    """The routes of cancellations. Each ends, at once, the runs that go on; those that begin later it lets be."""
    made: dict[str, Cancellation] = {}

    async def create(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except UNREADABLE as error:
            return failure(400, f"the request body is no JSON object: {error}")
        if complaints := _complaints(asked):
            return failure(400, "\n".join(complaints))
        slug = _slug(platform, asked)
        if slug is None:
            return failure(404, f"function not found: {asked['function_id']!r} of the app {asked['app_id']!r}")
        now = platform.rig.clock.stamp()
        cancellation = Cancellation(
            id=new_ulid(now),
            environment_id=ENVIRONMENT_ID,
            function_id=slug,
            started_after=time_in(asked, "started_after"),
            started_before=moment(asked["started_before"], "started_before"),
            condition=asked.get("if") or None,
        )
        made[cancellation.id] = cancellation
        with platform.rig.clock.working("a request to cancel runs"):
            _cancel(platform, cancellation)
        return success(cancellation, now)

    async def show(request: Request) -> Response:
        del request
        return success(list(made.values()), platform.rig.clock.now())

    async def delete(request: Request) -> Response:
        if made.pop(request.path_params["id"], None) is None:
            return failure(404, f"there is no cancellation {request.path_params['id']}")
        return Json({"ok": True})

    return [
        Route("/v1/cancellations", create, methods=["POST"]),
        Route("/v1/cancellations", show, methods=["GET"]),
        Route("/v1/cancellations/{id}", delete, methods=["DELETE"]),
    ]


def _cancel(platform: InngestPlatform, cancellation: Cancellation) -> None:
    engine = platform.engine
    active = [run for run in queued_runs(platform) if engine.state(run.entry.run_id) is not None]
    for run in active:
        if cancellation.wants(run):
            engine.cancel(RunId(run.entry.run_id))


def _complaints(asked: dict[str, Any]) -> list[str]:
    complaints = [f"{name} is required" for name in ("app_id", "function_id", "started_before") if not asked.get(name)]
    complaints += [
        f"{name} is {asked[name]!r}; expected a text"
        for name in ("app_id", "function_id", "if")
        if asked.get(name) and not isinstance(asked[name], str)
    ]
    for name in ("started_after", "started_before"):
        try:
            time_in(asked, name)
        except ValueError as error:
            complaints.append(str(error))
    if isinstance(asked.get("if"), str) and asked["if"]:
        try:
            Expression.compile(asked["if"], frozenset({"event"}))
        except ExpressionError as error:
            complaints.append(f"if: {error}")
    return complaints


def _slug(platform: InngestPlatform, asked: dict[str, Any]) -> Slug | None:
    """The function that is meant: by its id within the app, or by the whole."""
    for slug in (f"{asked['app_id']}-{asked['function_id']}", asked["function_id"]):
        registered = platform.engine.apps.function(slug)
        if registered is not None and registered.app.name == asked["app_id"]:
            return registered.function.id
    return None
