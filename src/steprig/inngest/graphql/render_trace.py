"""The spans of a run in the shapes of the GraphQL schema."""

import base64
import json
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import msgspec

from steprig.inngest.graphql.values import text, time
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.opcodes import StepId
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import FUNCTION_SPAN, Annotation, InngestRun
from steprig.inngest.records import JobId
from steprig.kernel import Span, Status

RUN_STATUS = {
    Status.QUEUED: "QUEUED",
    Status.RUNNING: "RUNNING",
    Status.COMPLETED: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "CANCELLED",
    Status.SKIPPED: "SKIPPED",
}
_STEPS = ("RUN", "SLEEP", "WAIT_FOR_EVENT", "INVOKE", "AI_GATEWAY", "GATEWAY", "WAIT_FOR_SIGNAL")
"""The kinds of span that stand for a step. GraphQL calls both kinds of gateway by one name."""

_WRAPPED = ("AI_GATEWAY", "GATEWAY", "WAIT_FOR_SIGNAL")
"""The kinds of step whose output is shown as later calls are given it."""

_SPAN_STATUS = RUN_STATUS | {Status.WAITING: "WAITING"}
_ROOT, _FINALIZATION = "Run", "Finalization"

Shown = dict[str, Any]


class Trace:
    """Shows the spans of one run.

    Args:
        platform: Where it runs.
        run: The run.
        run_shown: The run as its spans lead back to it.
        preview: Name the run and its end as the trace preview does.
    """

    def __init__(
        self, platform: InngestPlatform, run: InngestRun, run_shown: Callable[[], Shown], *, preview: bool
    ) -> None:
        self._platform = platform
        self._run = run
        self._run_shown = run_shown
        self._preview = preview

    def root(self) -> Shown:
        """`RunTraceSpan` of the run as a whole, with all others under it."""
        run = self._run
        whole = Span(
            id="root",
            name=_ROOT if self._preview else run.name,
            kind="root",
            status=run.status,
            queued_at=run.queued_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
        )
        root = self._span(whole, None) | {
            "isRoot": True,
            "outputID": output_id(run, FUNCTION_SPAN) if run.output is not None else None,
            "metadata": _metadata(run.metadata.get((None, None), {}).values()),
        }
        return root | {"childrenSpans": [self._span(span, root) for span in run.spans]}

    def _span(self, span: Span, parent: Shown | None) -> Shown:
        """`RunTraceSpan`, with its parent where it has one."""
        run = self._run
        op = _op(span)
        is_end = span.id == FUNCTION_SPAN
        shown: Shown = {
            "appID": str(app_uuid(run.app)),
            "functionID": str(function_uuid(run.name)),
            "runID": run.id,
            "spanID": span.id,
            "traceID": run.id,
            "customConcurrencyKeys": [],
            "name": _FINALIZATION if is_end and self._preview else span.name,
            "status": _SPAN_STATUS[span.status],
            "attempts": max(0, span.attempts - 1),
            "duration": _milliseconds(span),
            "outputID": output_id(run, span.id) if _has_output(span) else None,
            "queuedAt": time(span.queued_at),
            "startedAt": time(span.started_at),
            "endedAt": time(span.ended_at),
            "childrenSpans": [],
            "stepOp": op,
            "stepID": None if op is None else span.id,
            "stepInfo": _step_info(span),
            "stepType": _FINALIZATION.upper() if is_end and self._preview else op or "",
            "isRoot": False,
            "parentSpanID": None if parent is None else parent["spanID"],
            "parentSpan": parent,
            "isUserland": False,
            "run": lambda info: self._run_shown(),
            "scheduledAt": time(span.queued_at),
            "debugPaused": False,
            "metadata": _metadata(self._annotations(span)),
            "response": self._response(span),
        }
        if span.attempts > 1:
            shown["childrenSpans"] = [
                self._attempt(span, number, child, shown) for number, child in enumerate(span.children)
            ]
        return shown

    def _attempt(self, span: Span, number: int, child: Span, parent: Shown) -> Shown:
        annotations = self._of(span, number)
        return self._span(child, parent) | {"metadata": _metadata(annotations)}

    def _annotations(self, span: Span) -> Iterable[Annotation]:
        """Those of a step, with those of its attempt where that is not shown for itself."""
        found = self._of(span, None)
        if span.attempts > 1:
            return found
        return chain(found, self._of(span, 0))

    def _of(self, span: Span, attempt: int | None) -> Iterable[Annotation]:
        return self._run.metadata.get((StepId(span.id), attempt), {}).values()

    def _response(self, span: Span) -> Shown | None:
        """`RunTraceSpanResponseInfo`: how the app has answered the call that the span ended in."""
        job = span.attributes.get("job") or (span.children[0].attributes.get("job") if span.attempts == 1 else None)
        answer = self._platform.engine.answers.of(JobId(job)) if isinstance(job, str) else None
        return None if answer is None else {"statusCode": answer.status, "headers": answer.headers}


def span_output(span: Span) -> Shown:
    """`RunTraceSpanOutput`: either data or error, the other null."""
    failure = span.failure
    if failure is not None:
        shown = {"message": failure.message, "name": failure.name, "stack": failure.stack}
        return {"data": None, "error": shown, "input": span.attributes.get("input")}
    data = text(span.output)
    if span.kind in _WRAPPED and data is not None:
        data = f'{{"data":{data}}}'
    return {"data": data, "error": None, "input": span.attributes.get("input")}


def output_id(run: InngestRun, span_id: str) -> str:
    """What the output of a span is asked for by."""
    return base64.urlsafe_b64encode(json.dumps([run.id, span_id]).encode()).decode()


def output_place(output_id: str) -> tuple[str, str]:
    """The run and the span that an output id names; of no run where it is none of ours."""
    try:
        run_id, span_id = json.loads(base64.urlsafe_b64decode(output_id))
    except (ValueError, TypeError):
        return "", ""
    return str(run_id), str(span_id)


def _op(span: Span) -> str | None:
    """`StepOp`."""
    if span.kind not in _STEPS:
        return None
    return "AI_GATEWAY" if span.kind == "GATEWAY" else span.kind


def _step_info(span: Span) -> Shown | None:
    about = span.attributes
    match span.kind:
        case "RUN":
            return {"__typename": "RunStepInfo", "type": "step.run"}
        case "SLEEP":
            return {"__typename": "SleepStepInfo", "sleepUntil": time(about.get("until"))}
        case "WAIT_FOR_EVENT":
            return {
                "__typename": "WaitForEventStepInfo",
                "eventName": about.get("event"),
                "expression": about.get("expression"),
                "timeout": time(about.get("timeout")),
                "foundEventID": about.get("event_id"),
                "timedOut": about.get("timed_out"),
            }
        case "WAIT_FOR_SIGNAL":
            return {
                "__typename": "WaitForSignalStepInfo",
                "signal": about.get("signal"),
                "timeout": time(about.get("timeout")),
                "timedOut": about.get("timed_out"),
            }
        case "INVOKE" if "triggering_event" in about:
            return {
                "__typename": "InvokeStepInfo",
                "triggeringEventID": about.get("triggering_event"),
                "functionID": about.get("function"),
                "timeout": time(about.get("timeout")),
                "returnEventID": about.get("event_id"),
                "runID": about.get("run_id"),
                "timedOut": about.get("timed_out"),
            }
        case _:
            return None


def _metadata(annotations: Iterable[Annotation]) -> list[Shown]:
    """`SpanMetadata`."""
    return [
        {
            "scope": found.scope,
            "kind": found.kind,
            "values": {key: msgspec.json.decode(value) for key, value in found.values.items()},
            "updatedAt": time(found.updated_at),
        }
        for found in annotations
    ]


def _has_output(span: Span) -> bool:
    return span.output is not None or span.failure is not None


def _milliseconds(span: Span) -> int | None:
    if span.started_at is None or span.ended_at is None:
        return None
    return int((span.ended_at - span.started_at).total_seconds() * 1000)
