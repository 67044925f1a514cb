"""Events and runs for readers (`/v1/...`), and for SDKs that fetch a large run (`/v0/runs/...`)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from ulid import ULID

from steprig.inngest.events import Event
from steprig.inngest.ids import function_uuid
from steprig.inngest.limits import ACCOUNT_ID, ENVIRONMENT_ID
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import EVENT, EventReceived, RunId
from steprig.inngest.routes.answers import Json, failure, success
from steprig.kernel import Record, Status, stream_of

_STATUS_WORDS = {
    Status.QUEUED: "Scheduled",
    Status.RUNNING: "Running",
    Status.COMPLETED: "Completed",
    Status.FAILED: "Failed",
    Status.CANCELLED: "Cancelled",
    Status.SKIPPED: "Skipped",
}


def rest_routes(platform: InngestPlatform) -> list[Route]:
    """The routes by which events and runs are looked at and ended."""

    async def list_events(request: Request) -> Response:
        try:
            limit = _limit(request.query_params.get("limit", "20"))
        except ValueError as error:
            return failure(400, str(error))
        name = request.query_params.get("name")
        records = (record for record in _newest_events(platform) if not name or _event(record).name == name)
        return success([_event_json(record) for record, _ in zip(records, range(limit), strict=False)], _now(platform))

    async def get_event(request: Request) -> Response:
        event_id = request.path_params["id"]
        if not _is_ulid(event_id):
            return failure(400, f"Invalid event ID: {event_id}")
        records = platform.rig.journal.read(stream_of(EVENT, event_id))
        return success(_event_json(records[0]), _now(platform)) if records else failure(404, "Event not found")

    async def get_event_runs(request: Request) -> Response:
        event_id = request.path_params["id"]
        if not _is_ulid(event_id):
            return failure(400, f"Invalid event ID: {event_id}")
        return success([_run_json(run) for run in runs_of_event(platform, event_id)], _now(platform))

    async def get_run(request: Request) -> Response:
        run = platform.timeline.run(request.path_params["id"])
        if not isinstance(run, InngestRun):
            return failure(404, f"Unable to load function run: {request.path_params['id']}")
        return success(_run_json(run), _now(platform))

    async def cancel_run(request: Request) -> Response:
        run = platform.timeline.run(request.path_params["id"])
        if not isinstance(run, InngestRun):
            return failure(404, "A function run with the given ID could not be found")
        with platform.rig.clock.working("a request to cancel a run"):
            platform.engine.cancel(RunId(run.id))
        return Response(status_code=200)

    async def get_actions(request: Request) -> Response:
        state = platform.engine.state(request.path_params["id"])
        return Json(state.memos) if state is not None else _no_state(request)

    async def get_batch(request: Request) -> Response:
        state = platform.engine.state(request.path_params["id"])
        return Json([event.wire() for event in state.events]) if state is not None else _no_state(request)

    return [
        Route("/v1/events", list_events, methods=["GET"]),
        Route("/v1/events/{id}", get_event, methods=["GET"]),
        Route("/v1/events/{id}/runs", get_event_runs, methods=["GET"]),
        Route("/v1/runs/{id}", get_run, methods=["GET"]),
        Route("/v1/runs/{id}", cancel_run, methods=["DELETE"]),
        Route("/v0/runs/{id}/actions", get_actions, methods=["GET"]),
        Route("/v0/runs/{id}/batch", get_batch, methods=["GET"]),
    ]


def runs_of_event(platform: InngestPlatform, event_id: str) -> list[InngestRun]:
    """The runs that an event has started, oldest first."""
    runs = (platform.timeline.run(run_id) for run_id in platform.engine.index.runs_of(event_id))
    return [run for run in runs if isinstance(run, InngestRun)]


def _newest_events(platform: InngestPlatform) -> Iterator[Record]:
    """Every delivery of every event, the newest first. A repeated request delivers the same event again."""
    journal = platform.rig.journal
    for stream in reversed(journal.streams(EVENT)):
        yield from reversed(journal.read(stream))


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"limit is {text!r}; expected a whole number")
    return int(text)


def _event(record: Record) -> Event:
    assert isinstance(record.entry, EventReceived)
    return record.entry.event


def _event_json(record: Record) -> dict[str, Any]:
    event = _event(record)
    shown = {
        "internal_id": event.internal_id,
        "account_id": ACCOUNT_ID,
        "environment_id": ENVIRONMENT_ID,
        "source": "Default source",
        "source_id": None,
        "received_at": record.at,
        "id": event.id,
        "name": event.name,
        "data": event.data,
        "ts": event.ts,
    }
    return shown if event.v is None else shown | {"v": event.v}


def _run_json(run: InngestRun) -> dict[str, Any]:
    shown = {
        "run_id": run.id,
        "run_started_at": run.started_at or run.queued_at,
        "function_id": str(function_uuid(run.name)),
        "function_version": 1,
        "environment_id": ENVIRONMENT_ID,
        "event_id": run.events[0].internal_id,
        "status": _STATUS_WORDS[run.status],
        "ended_at": run.ended_at,
    }
    return shown if run.output is None else shown | {"output": run.output}


def _no_state(request: Request) -> Response:
    run_id = request.path_params["id"]
    if not _is_ulid(run_id):
        return failure(400, "The run ID specified is invalid")
    return failure(410, f"runtime state is no longer available for runID: {run_id}")


def _is_ulid(text: str) -> bool:
    try:
        ULID.from_str(text)
    except ValueError:
        return False
    return True


def _now(platform: InngestPlatform) -> datetime:
    return platform.rig.clock.now()
