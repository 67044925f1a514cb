"""The timeline's runs and spans in the shapes of the GraphQL schema."""

import base64
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.projection import FUNCTION_SPAN, InngestRun
from steprig.inngest.records import EventReceived
from steprig.kernel import Record, Span, Status

_RUN_STATUS = {
    Status.QUEUED: "QUEUED",
    Status.RUNNING: "RUNNING",
    Status.COMPLETED: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "CANCELLED",
    Status.SKIPPED: "SKIPPED",
}
_SPAN_STATUS = _RUN_STATUS | {Status.WAITING: "WAITING"}


def run(run: InngestRun) -> dict[str, Any]:
    """`FunctionRunV2`."""
    return {
        "id": run.id,
        "appID": str(app_uuid(run.app)),
        "functionID": str(function_uuid(run.name)),
        "function": {"id": str(function_uuid(run.name)), "name": run.name, "slug": run.name},
        "traceID": run.id,
        "queuedAt": _time(run.queued_at),
        "startedAt": _time(run.started_at),
        "endedAt": _time(run.ended_at),
        "status": _RUN_STATUS[run.status],
        "triggerIDs": [event.internal_id for event in run.events],
        "eventName": run.events[0].name,
        "isBatch": False,
        "output": _text(run.output),
        "trace": None if run.status is Status.QUEUED else _root(run),
        "hasAI": False,
    }


def trigger(run: InngestRun) -> dict[str, Any]:
    """`RunTraceTrigger`."""
    return {
        "eventName": run.events[0].name,
        "IDs": [event.internal_id for event in run.events],
        "payloads": [_text(event.wire()) for event in run.events],
        "timestamp": _time(run.queued_at),
        "isBatch": False,
    }


def event(record: Record, runs: Iterable[InngestRun]) -> dict[str, Any]:
    """`Event`."""
    assert isinstance(record.entry, EventReceived)
    event = record.entry.event
    function_runs = [
        {
            "id": run.id,
            "functionID": str(function_uuid(run.name)),
            "status": _RUN_STATUS[run.status],
            "output": _text(run.output),
            "startedAt": _time(run.started_at),
            "finishedAt": _time(run.ended_at),
            "eventID": event.internal_id,
        }
        for run in runs
    ]
    return {
        "id": event.internal_id,
        "externalID": event.id,
        "name": event.name,
        "createdAt": _time(record.at),
        "payload": _text(event.data),
        "raw": _text(event.wire()),
        "status": _event_status([run["status"] or "" for run in function_runs]),
        "pendingRuns": sum(run["status"] in ("QUEUED", "RUNNING") for run in function_runs),
        "totalRuns": len(function_runs),
        "functionRuns": function_runs,
    }


def span_output(span: Span) -> dict[str, Any]:
    """`RunTraceSpanOutput`: either data or error, the other null."""
    failure = span.failure
    if failure is not None:
        shown = {"message": failure.message, "name": failure.name, "stack": failure.stack}
        return {"data": None, "error": shown}
    return {"data": _text(span.output), "error": None}


def output_place(output_id: str) -> tuple[str, str]:
    """The run and the span that an output id names; of no run where it is none of ours."""
    try:
        run_id, span_id = json.loads(base64.urlsafe_b64decode(output_id))
    except (ValueError, TypeError):
        return "", ""
    return str(run_id), str(span_id)


def _root(run: InngestRun) -> dict[str, Any]:
    whole = Span(
        id="root",
        name=run.name,
        kind="root",
        status=run.status,
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
    return _span(run, whole) | {
        "isRoot": True,
        "outputID": _output_id(run, FUNCTION_SPAN) if run.output is not None else None,
        "childrenSpans": [_span(run, span, parent="root") for span in run.spans],
    }


def _span(run: InngestRun, span: Span, parent: str | None = None) -> dict[str, Any]:
    tried = span.attempts > 1
    is_step = span.kind in ("RUN", "SLEEP", "WAIT_FOR_EVENT", "INVOKE")
    return {
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
        "childrenSpans": [_span(run, child, span.id) for child in span.children] if tried else [],
        "stepOp": span.kind if is_step else None,
        "stepID": span.id if is_step else None,
        "stepInfo": _step_info(span),
        "stepType": span.kind if is_step else "",
        "isRoot": False,
        "parentSpanID": parent,
        "isUserland": False,
    }


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
