"""Events and runs for readers (`/v1/...`), and for SDKs that fetch a large run (`/v0/runs/...`)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain, dropwhile, islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.ids import function_uuid
from steprig.inngest.internal_events import cron_of
from steprig.inngest.limits import ACCOUNT_ID, ENVIRONMENT_ID
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import EVENT, RunId
from steprig.inngest.routes.answers import Json, failure, success
from steprig.inngest.routes.jobs import pending_jobs
from steprig.inngest.routes.parameters import is_ulid, limit_in, time_in
from steprig.inngest.routes.run_search import deliveries, event_in, runs_of_event
from steprig.kernel import Record, Status, stream_of

_NO_RUN = "A function run with the given ID could not be found"
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
            limit, records = limit_in(request.query_params), _listed(platform, request.query_params)
        except ValueError as error:
            return failure(400, str(error))
        return success([_event_json(record) for record in islice(records, limit)], _now(platform))

    async def get_event(request: Request) -> Response:
        event_id = request.path_params["id"]
        if not is_ulid(event_id):
            return failure(400, f"Invalid event ID: {event_id}")
        records = platform.rig.journal.read(stream_of(EVENT, event_id))
        return success(_event_json(records[0]), _now(platform)) if records else failure(404, "Event not found")

    async def get_event_runs(request: Request) -> Response:
        event_id = request.path_params["id"]
        if not is_ulid(event_id):
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
            return failure(404, _NO_RUN)
        with platform.rig.clock.working("a request to cancel a run"):
            platform.engine.cancel(RunId(run.id))
        return Response(status_code=200)

    async def end_run(request: Request) -> Response:
        with platform.rig.clock.working("a request to cancel a run"):
            ended = platform.engine.cancel(RunId(request.path_params["id"]))
        return Response(status_code=204) if ended else failure(404, _NO_RUN)

    async def get_jobs(request: Request) -> Response:
        run_id = request.path_params["id"]
        if not isinstance(run := platform.timeline.run(run_id), InngestRun):
            return failure(404, f"Unable to load function run: {run_id}")
        state = platform.engine.state(run_id)
        return success([] if state is None else pending_jobs(state, run.queued_at, _now(platform)), _now(platform))

    async def get_actions(request: Request) -> Response:
        state = platform.engine.state(request.path_params["id"])
        return Json(state.sent_memos()) if state is not None else _no_state(request)

    async def get_batch(request: Request) -> Response:
        state = platform.engine.state(request.path_params["id"])
        return Json([event.wire() for event in state.events]) if state is not None else _no_state(request)

    return [
        Route("/v1/events", list_events, methods=["GET"]),
        Route("/v1/events/{id}", get_event, methods=["GET"]),
        Route("/v1/events/{id}/runs", get_event_runs, methods=["GET"]),
        Route("/v1/runs/{id}", get_run, methods=["GET"]),
        Route("/v1/runs/{id}", cancel_run, methods=["DELETE"]),
        Route("/v1/runs/{id}/jobs", get_jobs, methods=["GET"]),
        Route("/v0/runs/{id}", end_run, methods=["DELETE"]),
        Route("/v0/runs/{id}/actions", get_actions, methods=["GET"]),
        Route("/v0/runs/{id}/batch", get_batch, methods=["GET"]),
    ]


def _listed(platform: InngestPlatform, parameters: Mapping[str, str]) -> Iterator[Record]:
    """The deliveries of events that a request asks for, the newest first."""
    name, cursor = parameters.get("name"), parameters.get("cursor") or None
    after, before = time_in(parameters, "received_after"), time_in(parameters, "received_before")
    if cursor is not None and not platform.rig.journal.read(stream_of(EVENT, cursor)):
        raise ValueError(f"cursor is {cursor!r}; expected the internal_id of the last event of the page before")

    def wanted(record: Record) -> bool:
        if name and event_in(record).name != name:
            return False
        return (after is None or record.at > after) and (before is None or record.at < before)

    pages = deliveries(platform)
    if cursor is not None:
        pages = islice(dropwhile(lambda page: event_in(page[0]).internal_id != cursor, pages), 1, None)
    return filter(wanted, chain.from_iterable(map(reversed, pages)))


def _event_json(record: Record) -> dict[str, Any]:
    event = event_in(record)
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
    if run.batch_id is not None:
        shown["batch_id"] = run.batch_id
    if run.original_run_id is not None:
        shown["original_run_id"] = run.original_run_id
    if (cron := cron_of(run.events[0])) is not None:
        shown["cron"] = cron
    return shown if run.output is None else shown | {"output": run.output}


def _no_state(request: Request) -> Response:
    run_id = request.path_params["id"]
    if not is_ulid(run_id):
        return failure(400, "The run ID specified is invalid")
    return failure(410, f"runtime state is no longer available for runID: {run_id}")


def _now(platform: InngestPlatform) -> datetime:
    return platform.rig.clock.now()
