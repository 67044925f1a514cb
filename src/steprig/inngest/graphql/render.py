"""The timeline's runs and spans in the shapes of the GraphQL schema."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from steprig.inngest.events import Event
from steprig.inngest.graphql.render_apps import app_of_run, function_of_run
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.internal_events import SCHEDULED
from steprig.inngest.limits import ENVIRONMENT_ID
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import FUNCTION_SPAN, InngestRun
from steprig.inngest.records import EVENT
from steprig.inngest.routes.run_search import event_in, runs_of_event
from steprig.kernel import Record, Span, Status, stream_of

RUN_STATUS = {
    Status.QUEUED: "QUEUED",
    Status.RUNNING: "RUNNING",
    Status.COMPLETED: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "CANCELLED",
    Status.SKIPPED: "SKIPPED",
}
_STEPS = ("RUN", "SLEEP", "WAIT_FOR_EVENT", "INVOKE", "AI_GATEWAY", "GATEWAY", "WAIT_FOR_SIGNAL")
"""The kinds of span that stand for a step. GraphQL has no name for `GATEWAY`."""

_WRAPPED = ("AI_GATEWAY", "GATEWAY", "WAIT_FOR_SIGNAL")
"""The kinds of step whose output is shown as later calls are given it."""

_SPAN_STATUS = RUN_STATUS | {Status.WAITING: "WAITING"}


def run(platform: InngestPlatform, run: InngestRun) -> dict[str, Any]:
    """`FunctionRunV2`."""
    batch = run.batch_id is not None
    shown = {
        "id": run.id,
        "appID": str(app_uuid(run.app)),
        "app": lambda info: app_of_run(platform, run.app),
        "functionID": str(function_uuid(run.name)),
        "function": lambda info: function_of_run(platform, run.name, run.app),
        "traceID": run.id,
        "queuedAt": _time(run.queued_at),
        "startedAt": _time(run.started_at),
        "endedAt": _time(run.ended_at),
        "status": RUN_STATUS[run.status],
        "triggerIDs": [event.internal_id for event in run.events],
        "eventName": run.events[0].name,
        "isBatch": batch,
        "batchCreatedAt": _time(run.queued_at) if batch else None,
        "cronSchedule": _cron(run.events[0]),
        "output": _text(run.output),
        "hasAI": any(span.kind == "AI_GATEWAY" for span in run.spans),
        "isDeferred": False,
        "defers": [],
        "siblingDefers": [],
        "deferredFrom": [],
    }

    def trace(info: object, preview: bool | None = None) -> dict[str, Any] | None:
        del info, preview
        return None if run.status is Status.QUEUED else _root(run, shown)

    return shown | {"trace": trace}


def function_run(platform: InngestPlatform, run: InngestRun, event_of_run: Event) -> dict[str, Any]:
    """`FunctionRun`."""
    return {
        "id": run.id,
        "functionID": str(function_uuid(run.name)),
        "function": lambda info: function_of_run(platform, run.name, run.app),
        "event": lambda info: _event_by_id(platform, event_of_run.internal_id),
        "cron": _cron(run.events[0]),
        "status": RUN_STATUS[run.status],
        "output": _text(run.output),
        "startedAt": _time(run.started_at),
        "finishedAt": _time(run.ended_at),
        "eventID": event_of_run.internal_id,
    }


def trigger(run: InngestRun) -> dict[str, Any]:
    """`RunTraceTrigger`."""
    cron = _cron(run.events[0])
    return {
        "eventName": run.events[0].name if cron is None else None,
        "IDs": [event.internal_id for event in run.events],
        "payloads": [_text(event.wire()) for event in run.events],
        "timestamp": _time(run.queued_at),
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
        "createdAt": _time(record.at),
        "payload": _text(event.data),
        "raw": _text(event.wire()),
        "status": _event_status(statuses),
        "pendingRuns": sum(status in ("QUEUED", "RUNNING") for status in statuses),
        "totalRuns": len(runs),
        "functionRuns": [function_run(platform, run, event) for run in runs],
    }


def event_v2(platform: InngestPlatform, record: Record) -> dict[str, Any]:
    """`EventV2`."""
    event = event_in(record)
    return {
        "id": event.internal_id,
        "envID": ENVIRONMENT_ID,
        "idempotencyKey": None if event.id == event.internal_id else event.id,
        "name": event.name,
        "occurredAt": _time(datetime.fromtimestamp(event.ts / 1000, UTC)),
        "receivedAt": _time(record.at),
        "raw": _text(event.wire()),
        "runs": lambda info: [run(platform, each) for each in runs_of_event(platform, event.internal_id)],
        "version": event.v,
        "source": {"id": ENVIRONMENT_ID, "name": "Default source", "sourceKind": "http"},
    }


def stream_item(platform: InngestPlatform, record: Record) -> dict[str, Any]:
    """`StreamItem`."""
    event = event_in(record)
    cron = _cron(event)
    runs = runs_of_event(platform, event.internal_id)
    return {
        "id": event.internal_id,
        "trigger": cron or event.name,
        "type": "EVENT" if cron is None else "CRON",
        "createdAt": _time(record.at),
        "runs": [function_run(platform, run, event) for run in runs],
        "inBatch": any(run.batch_id is not None for run in runs),
    }


def span_output(span: Span) -> dict[str, Any]:
    """`RunTraceSpanOutput`: either data or error, the other null."""
    failure = span.failure
    if failure is not None:
        shown = {"message": failure.message, "name": failure.name, "stack": failure.stack}
        return {"data": None, "error": shown, "input": span.attributes.get("input")}
    data = _text(span.output)
    if span.kind in _WRAPPED and data is not None:
        data = f'{{"data":{data}}}'
    return {"data": data, "error": None, "input": span.attributes.get("input")}


def output_place(output_id: str) -> tuple[str, str]:
    """The run and the span that an output id names; of no run where it is none of ours."""
    try:
        run_id, span_id = json.loads(base64.urlsafe_b64decode(output_id))
    except (ValueError, TypeError):
        return "", ""
    return str(run_id), str(span_id)


def _root(run: InngestRun, shown: dict[str, Any]) -> dict[str, Any]:
    whole = Span(
        id="root",
        name=run.name,
        kind="root",
        status=run.status,
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
    root = _span(run, whole, shown) | {
        "isRoot": True,
        "outputID": _output_id(run, FUNCTION_SPAN) if run.output is not None else None,
    }
    return root | {"childrenSpans": [_span(run, span, shown, root) for span in run.spans]}


def _span(run: InngestRun, span: Span, shown: dict[str, Any], parent: dict[str, Any] | None = None) -> dict[str, Any]:
    """`RunTraceSpan`, which has the run, and its parent where it has one, as they are shown."""
    tried = span.attempts > 1
    is_step = span.kind in _STEPS
    rendered: dict[str, Any] = {
        "appID": str(app_uuid(run.app)),
        "functionID": str(function_uuid(run.name)),
        "runID": run.id,
        "spanID": span.id,
        "traceID": run.id,
        "name": span.name,
        "status": _SPAN_STATUS[span.status],
        "attempts": max(0, span.attempts - 1),
        "duration": _milliseconds(span),
        "outputID": _output_id(run, span.id) if _has_output(span) else None,
        "queuedAt": _time(span.queued_at),
        "startedAt": _time(span.started_at),
        "endedAt": _time(span.ended_at),
        "childrenSpans": [],
        "stepOp": span.kind if is_step and span.kind != "GATEWAY" else None,
        "stepID": span.id if is_step else None,
        "stepInfo": _step_info(span),
        "stepType": span.kind if is_step else "",
        "isRoot": False,
        "parentSpanID": None if parent is None else parent["spanID"],
        "parentSpan": parent,
        "isUserland": False,
        "run": lambda info: shown | {"trace": lambda info, preview=None: _root(run, shown)},
        "scheduledAt": _time(span.queued_at),
        "debugPaused": False,
        "metadata": [],
    }
    if tried:
        rendered["childrenSpans"] = [_span(run, child, shown, rendered) for child in span.children]
    return rendered


def _step_info(span: Span) -> dict[str, Any] | None:
    about = span.attributes
    match span.kind:
        case "RUN":
            return {"__typename": "RunStepInfo", "type": "step.run"}
        case "SLEEP":
            return {"__typename": "SleepStepInfo", "sleepUntil": _time(about.get("until"))}
        case "WAIT_FOR_EVENT":
            return {
                "__typename": "WaitForEventStepInfo",
                "eventName": about.get("event"),
                "expression": about.get("expression"),
                "timeout": _time(about.get("timeout")),
                "foundEventID": about.get("event_id"),
                "timedOut": about.get("timed_out"),
            }
        case "WAIT_FOR_SIGNAL":
            return {
                "__typename": "WaitForSignalStepInfo",
                "signal": about.get("signal"),
                "timeout": _time(about.get("timeout")),
                "timedOut": about.get("timed_out"),
            }
        case "INVOKE" if "triggering_event" in about:
            return {
                "__typename": "InvokeStepInfo",
                "triggeringEventID": about.get("triggering_event"),
                "functionID": about.get("function"),
                "timeout": _time(about.get("timeout")),
                "returnEventID": about.get("event_id"),
                "runID": about.get("run_id"),
                "timedOut": about.get("timed_out"),
            }
        case _:
            return None


def _event_by_id(platform: InngestPlatform, event_id: str) -> dict[str, Any] | None:
    records = platform.rig.journal.read(stream_of(EVENT, event_id))
    return event(platform, records[0]) if records else None


def _cron(event: Event) -> str | None:
    """The schedule that an event tells of, if it does."""
    if event.name != SCHEDULED:
        return None
    cron: str | None = msgspec.json.decode(event.data, type=dict[str, Any]).get("cron")
    return cron


def _has_output(span: Span) -> bool:
    return span.output is not None or span.failure is not None


def _event_status(statuses: list[str]) -> str:
    if not statuses:
        return "NO_FUNCTIONS"
    if any(status in ("QUEUED", "RUNNING") for status in statuses):
        return "RUNNING"
    failed = statuses.count("FAILED")
    if failed == 0:
        return "COMPLETED"
    return "FAILED" if failed == len(statuses) else "PARTIALLY_FAILED"


def _output_id(run: InngestRun, span_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([run.id, span_id]).encode()).decode()


def _milliseconds(span: Span) -> int | None:
    if span.started_at is None or span.ended_at is None:
        return None
    return int((span.ended_at - span.started_at).total_seconds() * 1000)


def _text(json_text: msgspec.Raw | None) -> str | None:
    return None if json_text is None else bytes(json_text).decode()


def _time(moment: object) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if isinstance(moment, datetime) else None
