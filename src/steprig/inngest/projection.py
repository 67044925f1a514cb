"""Runs as readers see them: the timeline's fold over the records of a run."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from steprig.inngest.events import Event
from steprig.inngest.metadata import combined
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import (
    AttemptFailed,
    CallAnswered,
    CallCheckpointed,
    CallStarted,
    GatewayStarted,
    InvokeStarted,
    JobId,
    MetadataScope,
    MetadataSet,
    Problem,
    RunEnded,
    RunQueued,
    SignalWaitStarted,
    SleepStarted,
    StepEnded,
    StepOpened,
    Values,
    WaitStarted,
)
from steprig.kernel import Failure, Record, Run, Span, Status

PLATFORM = "inngest"
_TRIED = ("RUN", "AI_GATEWAY", "GATEWAY")
"""The kinds of step that are tried again when they fail."""

FUNCTION_SPAN = "function"
"""The id of the span that stands for the function's own result."""


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """Metadata of one kind."""

    scope: MetadataScope
    kind: str
    values: Values
    updated_at: datetime


class InngestRun(Run, frozen=True, kw_only=True):
    """A run with what only Inngest knows of it."""

    app: str
    events: tuple[Event, ...]
    batch_id: str | None = None
    """Set on the run of a batch."""
    original_run_id: str | None = None
    """Set on a repetition: the first run of those that it repeats."""
    metadata: Mapping[tuple[StepId | None, int | None], Mapping[str, Annotation]] = {}
    """Of the run, of steps, and of single attempts of steps; by its kind."""
    calls: Mapping[JobId, datetime] = {}
    """When each call that is being made was started."""
    called_at: datetime | None = None
    """When the call was started whose answer was read last."""
    answered: JobId | None = None
    """The call whose answer was read last; None when that call goes on."""


def project(run: Run | None, record: Record) -> InngestRun | None:
    """The run after a record of its stream. See `steprig.kernel.Projection`."""
    entry, at = record.entry, record.at
    if isinstance(entry, RunQueued):
        return _queued(entry, at)
    if not isinstance(run, InngestRun):
        return None
    match entry:
        case CallStarted():
            return _called(run, entry, at)
        case CallAnswered():
            called_at = run.calls.get(entry.job_id, at)
            return _with(run, called_at=called_at, calls=_without(run.calls, entry.job_id), answered=entry.job_id)
        case CallCheckpointed():
            # The next step that it tells of has begun after these.
            called_at = run.calls.get(entry.job_id, at)
            return _with(run, called_at=called_at, calls={**run.calls, entry.job_id: at}, answered=None)
        case AttemptFailed():
            return _attempt_failed(run, entry, at)
        case StepOpened():
            return run.with_span(_opened(run, entry, at))
        case StepEnded():
            return run.with_span(_ended(run, entry, at))
        case MetadataSet():
            return _annotated(run, entry, at)
        case RunEnded():
            return _finished(run, entry, at)
        case _:
            return run


def _queued(entry: RunQueued, at: datetime) -> InngestRun:
    parent, _, _ = (entry.correlation_id or "").partition(".")
    return InngestRun(
        id=entry.run_id,
        platform=PLATFORM,
        name=entry.function,
        status=Status.QUEUED,
        queued_at=at,
        input=entry.events[0].wire(),
        parent_id=parent or None,
        app=entry.app,
        events=entry.events,
        batch_id=entry.control.batch_id,
        original_run_id=entry.original_run_id,
    )


def _called(run: InngestRun, entry: CallStarted, at: datetime) -> InngestRun:
    return _with(
        run,
        status=Status.RUNNING,
        started_at=run.started_at or at,
        calls={**run.calls, entry.job_id: at},
    )


def _attempt_failed(run: InngestRun, entry: AttemptFailed, at: datetime) -> InngestRun:
    asked = _asked_at(run.span(entry.step)) if entry.step is not None else None
    started = asked or run.calls.get(entry.job_id, run.called_at or at)
    run = _with(run, calls=_without(run.calls, entry.job_id))
    span_id, name, kind = (
        (FUNCTION_SPAN, "execute", "function") if entry.step is None else (entry.step, entry.title, "RUN")
    )
    span = run.span(span_id) or Span(span_id, name, kind, Status.RUNNING, queued_at=started, started_at=started)
    failure = _failure(entry.problem)
    return run.with_span(_with_attempt(span, started, at, Status.FAILED, entry.job_id, failure=failure))


def _opened(run: InngestRun, entry: StepOpened, at: datetime) -> Span:
    span = _new_span(entry, at)
    tried = run.span(entry.step)
    if tried is None:
        return span
    return msgspec.structs.replace(
        span, queued_at=tried.queued_at, started_at=tried.started_at, attempts=tried.attempts, children=tried.children
    )


def _new_span(entry: StepOpened, at: datetime) -> Span:
    kind: str
    attributes: dict[str, object]
    match entry:
        case SleepStarted(until=until):
            kind, attributes = "SLEEP", {"until": until}
        case WaitStarted(event=event, condition=condition, expires=expires):
            kind, attributes = "WAIT_FOR_EVENT", {"event": event, "expression": condition, "timeout": expires}
        case InvokeStarted(function=function, event=event, expires=expires):
            kind = "INVOKE"
            attributes = {"function": function, "triggering_event": event.internal_id, "timeout": expires}
        case SignalWaitStarted(signal=signal, expires=expires):
            kind, attributes = "WAIT_FOR_SIGNAL", {"signal": signal, "timeout": expires}
        case GatewayStarted(op=kind, request=request):
            attributes = {"url": request.url, "input": request.body.decode(errors="replace"), "asked_at": at}
        case _:
            return Span(entry.step, entry.title, "RUN", Status.QUEUED, queued_at=at)
    return Span(entry.step, entry.title, kind, Status.WAITING, queued_at=at, started_at=at, attributes=attributes)


def _ended(run: InngestRun, entry: StepEnded, at: datetime) -> Span:
    started = _asked_at(run.span(entry.step)) or ((run.called_at or at) if entry.op == "RUN" else at)
    span = run.span(entry.step) or Span(
        entry.step, entry.title, entry.op, Status.RUNNING, queued_at=started, started_at=started
    )
    status = Status.COMPLETED if entry.problem is None else Status.FAILED
    failure = _failure(entry.problem)
    if entry.op in _TRIED and not _attempt_is_recorded(span, entry):
        span = _with_attempt(span, started, at, status, run.answered, output=entry.output or None, failure=failure)
    attributes = {"event_id": entry.event_id, "run_id": entry.run_id, "timed_out": entry.timed_out}
    return msgspec.structs.replace(
        span,
        status=status,
        started_at=span.started_at or started,
        ended_at=at,
        output=entry.output or None,
        failure=failure,
        attributes={**span.attributes, **attributes},
    )


def _annotated(run: InngestRun, entry: MetadataSet, at: datetime) -> InngestRun:
    place = (entry.step, entry.attempt)
    known = run.metadata.get(place, {})
    values = combined(known[entry.kind].values if entry.kind in known else {}, entry)
    annotation = Annotation(entry.scope, entry.kind, values, at)
    return _with(run, metadata={**run.metadata, place: {**known, entry.kind: annotation}})


def _finished(run: InngestRun, entry: RunEnded, at: datetime) -> InngestRun:
    last = max(run.calls, key=run.calls.__getitem__, default=None)
    called = run.calls[last] if last else run.called_at or run.started_at or at
    run = _with(
        run, status=entry.status, ended_at=at, output=entry.output or None, failure=_failure(entry.problem), calls={}
    )
    if entry.status is Status.CANCELLED:
        return run
    span = run.span(FUNCTION_SPAN) or Span(FUNCTION_SPAN, "", "function", Status.RUNNING, called, called)
    name = "function success" if entry.status is Status.COMPLETED else "function error"
    ended = msgspec.structs.replace(
        span,
        name=name,
        status=entry.status,
        ended_at=at,
        output=entry.output or None,
        failure=run.failure,
        attributes={"job": last} if last and entry.status is Status.COMPLETED else {},
    )
    others = tuple(other for other in run.spans if other.id != FUNCTION_SPAN)
    return _with(run, spans=(*others, ended))


def _with_attempt(
    span: Span,
    started: datetime,
    ended: datetime,
    status: Status,
    job: JobId | None,
    *,
    output: msgspec.Raw | None = None,
    failure: Failure | None = None,
) -> Span:
    attempt = Span(
        id=f"{span.id}.{span.attempts}",
        name=f"Attempt {span.attempts}",
        kind="attempt",
        status=status,
        queued_at=started,
        started_at=started,
        ended_at=ended,
        output=output,
        failure=failure,
        attributes={} if job is None else {"job": job},
    )
    return msgspec.structs.replace(
        span,
        status=Status.RUNNING,
        started_at=span.started_at or started,
        attempts=span.attempts + 1,
        children=(*span.children, attempt),
    )


def _asked_at(span: Span | None) -> datetime | None:
    """When the server began to make the request of a step, if it made one."""
    at = span.attributes.get("asked_at") if span is not None else None
    return at if isinstance(at, datetime) else None


def _attempt_is_recorded(span: Span, entry: StepEnded) -> bool:
    """A step that fails for good does so in an attempt that `AttemptFailed` has told of already."""
    return entry.problem is not None and bool(span.children)


def _failure(problem: Problem | None) -> Failure | None:
    return None if problem is None else Failure(problem.name, problem.message, problem.stack)


def _without(calls: Mapping[JobId, datetime], job: JobId) -> dict[JobId, datetime]:
    return {known: at for known, at in calls.items() if known != job}


_with = msgspec.structs.replace
