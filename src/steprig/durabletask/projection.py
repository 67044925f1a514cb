"""Orchestrations as readers see them: the timeline's fold over the records of an execution."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from steprig.durabletask import history
from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import StringValue, pb
from steprig.durabletask.records import (
    ActivityEnded,
    CallAnswered,
    ChildEnded,
    ContinuedAsNew,
    EventReceived,
    InstanceCreated,
    InstanceEnded,
    LocksGranted,
    RewindRequested,
    TimerFired,
    TurnCommitted,
)
from steprig.durabletask.wire import events_in, moment
from steprig.kernel import Failure, Record, Run, Span, Status

PLATFORM = "durabletask"

_STATUS = {
    OrchestrationStatus.PENDING: Status.QUEUED,
    OrchestrationStatus.RUNNING: Status.RUNNING,
    OrchestrationStatus.SUSPENDED: Status.SUSPENDED,
    OrchestrationStatus.COMPLETED: Status.COMPLETED,
    OrchestrationStatus.CONTINUED_AS_NEW: Status.COMPLETED,
    OrchestrationStatus.FAILED: Status.FAILED,
    OrchestrationStatus.CANCELED: Status.CANCELLED,
    OrchestrationStatus.TERMINATED: Status.CANCELLED,
}

_Spans = dict[str, Span]


def project(run: Run | None, record: Record) -> Run | None:
    """The run after a record of its stream. See `steprig.kernel.Projection`. Its id is that of the stream."""
    entry, at = record.entry, record.at
    if isinstance(entry, InstanceCreated):
        return _created(entry, record.stream.partition(":")[2], at)
    if run is None:
        return None
    match entry:
        case TurnCommitted():
            return _turned(run, entry, at)
        case ActivityEnded() | TimerFired() | ChildEnded() | CallAnswered() | LocksGranted() | EventReceived():
            return _told(run, entry.event, at)
        case InstanceEnded():
            return _ended(run, entry, at)
        case ContinuedAsNew():
            attributes = {**run.attributes, "continued_as": entry.next_execution}
            return _with(run, status=Status.COMPLETED, ended_at=at, attributes=attributes)
        case RewindRequested():
            return _with(run, status=Status.RUNNING, ended_at=None, output=None, failure=None)
        case _:
            return run


def _created(entry: InstanceCreated, ident: str, at: datetime) -> Run:
    started = history.started_in(entry.started)
    return Run(
        id=ident,
        platform=PLATFORM,
        name=entry.name,
        status=Status.QUEUED,
        queued_at=at,
        input=_json(started.input) if started.HasField("input") else None,
        parent_id=None if entry.parent is None else entry.parent.instance_id,
        attributes={
            "instance_id": entry.instance_id,
            "execution_id": entry.execution_id,
            "version": entry.version,
            "tags": entry.tags,
        },
    )


def _turned(run: Run, entry: TurnCommitted, at: datetime) -> Run:
    spans = {span.id: span for span in run.spans}
    for event in events_in(entry.history):
        opened = _OPENED.get(event.WhichOneof("eventType") or "")
        if opened is not None:
            span = opened(event, at)
            known = spans.get(span.id)
            attempts = 1 if known is None else known.attempts + 1
            spans[span.id] = _with(span, attempts=attempts)
    attributes = {**run.attributes, "custom_status": entry.custom_status}
    return _with(
        run,
        status=_STATUS[entry.status],
        started_at=run.started_at or at,
        spans=tuple(spans.values()),
        attributes=attributes,
    )


def _told(run: Run, encoded: bytes, at: datetime) -> Run:
    if not encoded:
        return run
    event = pb.HistoryEvent.FromString(encoded)
    closed = _CLOSED.get(event.WhichOneof("eventType") or "")
    if closed is not None:
        span_id, output, failure = closed(event)
        known = run.span(span_id)
        if known is None:
            return run
        status = Status.COMPLETED if failure is None else Status.FAILED
        return run.with_span(_with(known, status=status, ended_at=at, output=output, failure=failure))
    if event.HasField("eventRaised"):
        raised, number = event.eventRaised, sum(span.kind == "event" for span in run.spans)
        output = _json(raised.input) if raised.HasField("input") else None
        span = Span(f"event.{number}", raised.name, "event", Status.COMPLETED, at, at, at, output=output)
        return run.with_span(span)
    return run


def _ended(run: Run, entry: InstanceEnded, at: datetime) -> Run:
    failure = None if entry.failure is None else _failure(pb.TaskFailureDetails.FromString(entry.failure))
    output = None if entry.output is None else _json(StringValue(value=entry.output))
    return _with(run, status=_STATUS[entry.status], ended_at=at, output=output, failure=failure)


# --- What opens a span, and what closes it --------------------------------------------------------------


def _activity(event: pb.HistoryEvent, at: datetime) -> Span:
    scheduled = event.taskScheduled
    attributes = {"tags": dict(scheduled.tags)} if scheduled.tags else {}
    return Span(_task(event.eventId), scheduled.name, "activity", Status.RUNNING, at, at, attributes=attributes)


def _timer(event: pb.HistoryEvent, at: datetime) -> Span:
    attributes = {"until": moment(event.timerCreated.fireAt)}
    return Span(_task(event.eventId), "timer", "timer", Status.WAITING, at, at, attributes=attributes)


def _child(event: pb.HistoryEvent, at: datetime) -> Span:
    made = event.subOrchestrationInstanceCreated
    attributes = {"instance_id": made.instanceId}
    return Span(_task(event.eventId), made.name, "orchestration", Status.RUNNING, at, at, attributes=attributes)


def _call(event: pb.HistoryEvent, at: datetime) -> Span:
    called = event.entityOperationCalled
    attributes = {"entity_id": called.targetInstanceId.value}
    return Span(called.requestId, called.operation, "entity call", Status.RUNNING, at, at, attributes=attributes)


def _signal(event: pb.HistoryEvent, at: datetime) -> Span:
    sent = event.entityOperationSignaled
    attributes = {"entity_id": sent.targetInstanceId.value}
    return Span(
        _task(event.eventId), sent.operation, "entity signal", Status.COMPLETED, at, at, at, attributes=attributes
    )


def _lock(event: pb.HistoryEvent, at: datetime) -> Span:
    asked = event.entityLockRequested
    attributes = {"entity_ids": list(asked.lockSet)}
    return Span(asked.criticalSectionId, "lock", "entity lock", Status.WAITING, at, at, attributes=attributes)


_OPENED: dict[str, Callable[[pb.HistoryEvent, datetime], Span]] = {
    "taskScheduled": _activity,
    "timerCreated": _timer,
    "subOrchestrationInstanceCreated": _child,
    "entityOperationCalled": _call,
    "entityOperationSignaled": _signal,
    "entityLockRequested": _lock,
}

_Outcome = tuple[str, msgspec.Raw | None, Failure | None]

_CLOSED: dict[str, Callable[[pb.HistoryEvent], _Outcome]] = {
    "taskCompleted": lambda event: (
        _task(event.taskCompleted.taskScheduledId),
        _json(event.taskCompleted.result) if event.taskCompleted.HasField("result") else None,
        None,
    ),
    "taskFailed": lambda event: (
        _task(event.taskFailed.taskScheduledId),
        None,
        _failure(event.taskFailed.failureDetails),
    ),
    "timerFired": lambda event: (_task(event.timerFired.timerId), None, None),
    "subOrchestrationInstanceCompleted": lambda event: (
        _task(event.subOrchestrationInstanceCompleted.taskScheduledId),
        _json(event.subOrchestrationInstanceCompleted.result),
        None,
    ),
    "subOrchestrationInstanceFailed": lambda event: (
        _task(event.subOrchestrationInstanceFailed.taskScheduledId),
        None,
        _failure(event.subOrchestrationInstanceFailed.failureDetails),
    ),
    "entityOperationCompleted": lambda event: (
        event.entityOperationCompleted.requestId,
        _json(event.entityOperationCompleted.output),
        None,
    ),
    "entityOperationFailed": lambda event: (
        event.entityOperationFailed.requestId,
        None,
        _failure(event.entityOperationFailed.failureDetails),
    ),
    "entityLockGranted": lambda event: (event.entityLockGranted.criticalSectionId, None, None),
}


def _task(task_id: int) -> str:
    return f"task.{task_id}"


def _failure(details: pb.TaskFailureDetails) -> Failure:
    stack = details.stackTrace.value if details.HasField("stackTrace") else None
    return Failure(details.errorType, details.errorMessage, stack)


def _json(payload: StringValue) -> msgspec.Raw | None:
    """A payload as JSON; one that is none, as a worker's own converter may make it, as a text."""
    if not payload.value:
        return None
    encoded = payload.value.encode()
    try:
        msgspec.json.decode(encoded)
    except msgspec.DecodeError:
        encoded = msgspec.json.encode(payload.value)
    return msgspec.Raw(encoded)


_with = msgspec.structs.replace
