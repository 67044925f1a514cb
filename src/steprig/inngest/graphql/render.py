"""Runs and events in the shapes of the GraphQL schema."""

from datetime import UTC, datetime
from typing import Any

from steprig.inngest.events import Event
from steprig.inngest.graphql import render_defers, render_history
from steprig.inngest.graphql.render_apps import app_of_run, function_of_run
from steprig.inngest.graphql.render_trace import RUN_STATUS, Trace
from steprig.inngest.graphql.values import text, time
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.internal_events import cron_of
from steprig.inngest.limits import ENVIRONMENT_ID
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import EVENT, WaitStarted
from steprig.inngest.routes.run_search import event_in, runs_of_event
from steprig.kernel import Record, Status, stream_of

_WORKSPACE = {"id": "local"}


def run(platform: InngestPlatform, run: InngestRun) -> dict[str, Any]:
    """`FunctionRunV2`."""
    batch = run.batch_id is not None
    return {
        "id": run.id,
        "appID": str(app_uuid(run.app)),
        "app": lambda info: app_of_run(platform, run.name),
        "functionID": str(function_uuid(run.name)),
        "function": lambda info: function_of_run(platform, run.name),
        "traceID": run.id,
        "queuedAt": time(run.queued_at),
        "startedAt": time(run.started_at),
        "endedAt": time(run.ended_at),
        "status": RUN_STATUS[run.status],
        "triggerIDs": [event.internal_id for event in run.events],
        "eventName": run.events[0].name,
        "isBatch": batch,
        "batchCreatedAt": time(run.queued_at) if batch else None,
        "cronSchedule": cron_of(run.events[0]),
        "output": text(run.output),
        "trace": lambda info, preview=None: _trace(platform, run, preview=bool(preview)),
        "hasAI": any(span.kind == "AI_GATEWAY" for span in run.spans),
        "originalRunID": run.original_run_id,
        "isDeferred": render_defers.is_deferred(run),
        "defers": lambda info: render_defers.of_run(platform, run.id, _show),
        "siblingDefers": lambda info: render_defers.siblings(platform, run, _show),
        "deferredFrom": lambda info: render_defers.origins(platform, run, _show),
    }


def run_trace(platform: InngestPlatform, run: InngestRun, *, preview: bool = False) -> dict[str, Any]:
    """`RunTraceSpan` of a run as a whole."""
    return Trace(platform, run, lambda: function_run(platform, run, run.events[0]), preview=preview).root()


def function_run(platform: InngestPlatform, run: InngestRun, event_of_run: Event) -> dict[str, Any]:
    """`FunctionRun`."""
    batch = run.batch_id is not None
    return {
        "id": run.id,
        "functionID": str(function_uuid(run.name)),
        "function": lambda info: function_of_run(platform, run.name),
        "workspace": _WORKSPACE,
        "event": lambda info: _event_by_id(platform, event_of_run.internal_id),
        "events": lambda info: [shown for each in run.events if (shown := _event_by_id(platform, each.internal_id))],
        "eventID": event_of_run.internal_id,
        "batchID": run.batch_id,
        "batchCreatedAt": time(run.queued_at) if batch else None,
        "cron": cron_of(run.events[0]),
        "status": RUN_STATUS[run.status],
        "waitingFor": lambda info: _waiting_for(platform, run),
        "pendingSteps": lambda info: _pending(platform, run),
        "output": text(run.output),
        "startedAt": time(run.started_at),
        "finishedAt": time(run.ended_at),
        "history": lambda info: render_history.items(platform, run),
        "historyItemOutput": lambda info, id: render_history.output_of(platform, run, id),  # noqa: A006
    }


def trigger(run: InngestRun) -> dict[str, Any]:
    """`RunTraceTrigger`."""
    cron = cron_of(run.events[0])
    return {
        "eventName": run.events[0].name if cron is None else None,
        "IDs": [event.internal_id for event in run.events],
        "payloads": [text(event.wire()) for event in run.events],
        "timestamp": time(run.queued_at),
        "isBatch": run.batch_id is not None,
        "batchID": run.batch_id,
        "cron": cron,
    }


def event(platform: InngestPlatform, record: Record) -> dict[str, Any]:
    """`Event`."""
    event = event_in(record)
    runs = runs_of_event(platform, event.internal_id)
    statuses = [RUN_STATUS[run.status] for run in runs]
    return {
        "id": event.internal_id,
        "externalID": event.id,
        "name": event.name,
        "createdAt": time(record.at),
        "payload": text(event.data),
        "raw": text(event.wire()),
        "status": _event_status(statuses),
        "pendingRuns": sum(status in ("QUEUED", "RUNNING") for status in statuses),
        "totalRuns": len(runs),
        "functionRuns": [function_run(platform, run, event) for run in runs],
        "workspace": _WORKSPACE,
    }


def event_v2(platform: InngestPlatform, record: Record) -> dict[str, Any]:
    """`EventV2`."""
    event = event_in(record)
    return {
        "id": event.internal_id,
        "envID": ENVIRONMENT_ID,
        "idempotencyKey": None if event.id == event.internal_id else event.id,
        "name": event.name,
        "occurredAt": time(datetime.fromtimestamp(event.ts / 1000, UTC)),
        "receivedAt": time(record.at),
        "raw": text(event.wire()),
        "runs": lambda info: [run(platform, each) for each in runs_of_event(platform, event.internal_id)],
        "version": event.v,
        "source": {"id": ENVIRONMENT_ID, "name": "Default source", "sourceKind": "http"},
    }


def stream_item(platform: InngestPlatform, record: Record) -> dict[str, Any]:
    """`StreamItem`."""
    event = event_in(record)
    cron = cron_of(event)
    runs = runs_of_event(platform, event.internal_id)
    return {
        "id": event.internal_id,
        "trigger": cron or event.name,
        "type": "EVENT" if cron is None else "CRON",
        "createdAt": time(record.at),
        "runs": [function_run(platform, run, event) for run in runs],
        "inBatch": any(run.batch_id is not None for run in runs),
    }


def _show(platform: InngestPlatform, other: InngestRun) -> dict[str, Any]:
    return run(platform, other)


def _trace(platform: InngestPlatform, run: InngestRun, *, preview: bool) -> dict[str, Any] | None:
    return None if run.status is Status.QUEUED else run_trace(platform, run, preview=preview)


def _event_by_id(platform: InngestPlatform, event_id: str) -> dict[str, Any] | None:
    records = platform.rig.journal.read(stream_of(EVENT, event_id))
    return event(platform, records[0]) if records else None


def _waiting_for(platform: InngestPlatform, run: InngestRun) -> dict[str, Any] | None:
    """`StepEventWait`: the oldest wait for an event that goes on."""
    state = platform.engine.state(run.id)
    for opened in state.open.values() if state is not None else ():
        if isinstance(opened, WaitStarted):
            return {"expiryTime": time(opened.expires), "eventName": opened.event, "expression": opened.condition}
    return None


def _pending(platform: InngestPlatform, run: InngestRun) -> int:
    state = platform.engine.state(run.id)
    return 0 if state is None else len(state.jobs)


def _event_status(statuses: list[str]) -> str:
    if not statuses:
        return "NO_FUNCTIONS"
    if any(status in ("QUEUED", "RUNNING") for status in statuses):
        return "RUNNING"
    failed = statuses.count("FAILED")
    if failed == 0:
        return "COMPLETED"
    return "FAILED" if failed == len(statuses) else "PARTIALLY_FAILED"
