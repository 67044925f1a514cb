"""Executions as readers of the timeline see them: a fold over the records of each."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from steprig.aws import records as r
from steprig.aws.folding import fold
from steprig.aws.model import ErrorObject, ExecutionStatus, Operation, OperationId, OperationStatus, OperationType
from steprig.aws.state import Execution
from steprig.kernel import Failure, Record, Run, Span, Status

PLATFORM = "aws"

_STATUSES = {
    ExecutionStatus.RUNNING: Status.RUNNING,
    ExecutionStatus.SUCCEEDED: Status.COMPLETED,
    ExecutionStatus.FAILED: Status.FAILED,
    ExecutionStatus.TIMED_OUT: Status.TIMED_OUT,
    ExecutionStatus.STOPPED: Status.CANCELLED,
    ExecutionStatus.PAUSING: Status.SUSPENDED,
    ExecutionStatus.PAUSED: Status.SUSPENDED,
}
_OF_OPERATION = {
    OperationStatus.STARTED: Status.RUNNING,
    OperationStatus.PENDING: Status.WAITING,
    OperationStatus.READY: Status.QUEUED,
    OperationStatus.SUCCEEDED: Status.COMPLETED,
    OperationStatus.FAILED: Status.FAILED,
    OperationStatus.TIMED_OUT: Status.TIMED_OUT,
    OperationStatus.CANCELLED: Status.CANCELLED,
    OperationStatus.STOPPED: Status.CANCELLED,
}
_WAITED_FOR = (OperationType.WAIT, OperationType.CALLBACK, OperationType.CHAINED_INVOKE)


class AwsRun(Run, frozen=True, kw_only=True):
    """An execution with what only AWS knows of it."""

    execution: Execution


def project(run: Run | None, record: Record) -> Run | None:
    """The run after a record of its stream. See `steprig.kernel.Projection`."""
    known = run if isinstance(run, AwsRun) else None
    before = None if known is None else known.execution
    state = fold(before, record.entry, record.at)
    if state is None or state.deleted:
        return None
    spans = () if known is None else known.spans
    if isinstance(record.entry, r.OperationEntry):
        attempt = _attempt(record.entry, known, record.at)
        spans = _placed(spans, _path(state, record.entry.id), attempt)
    started = state.started
    return AwsRun(
        id=state.arn,
        platform=PLATFORM,
        name=started.function,
        status=_STATUSES.get(state.status, Status.RUNNING),
        queued_at=state.started_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        input=_raw(started.input),
        output=_raw(state.result),
        failure=_failure(state.error),
        spans=spans,
        parent_id=None if started.parent is None else started.parent.arn,
        execution=state,
    )


def _path(state: Execution, changed: OperationId) -> list[Operation]:
    """The operation and all that it is part of, the outermost first."""
    path: list[Operation] = []
    operation = state.operations.get(changed)
    while operation is not None:
        path.insert(0, operation)
        operation = state.operations.get(operation.parent_id) if operation.parent_id is not None else None
    return path


def _placed(spans: tuple[Span, ...], path: Sequence[Operation], attempt: Span | None) -> tuple[Span, ...]:
    """The spans with the last of the path as it is now, and one attempt of it more."""
    operation, below = path[0], path[1:]
    index = next((at for at in range(len(spans) - 1, -1, -1) if spans[at].id == operation.id), len(spans))
    children = spans[index].children if index < len(spans) else ()
    if below:
        children = _placed(children, below, attempt)
    elif attempt is not None:
        children = (*children, attempt)
    return (*spans[:index], _span(operation, children), *spans[index + 1 :])


def _span(operation: Operation, children: tuple[Span, ...]) -> Span:
    waits = operation.type in _WAITED_FOR and operation.status is OperationStatus.STARTED
    return Span(
        id=operation.id,
        name=operation.name or operation.sub_type or operation.type,
        kind=operation.sub_type or operation.type,
        status=Status.WAITING if waits else _OF_OPERATION[operation.status],
        queued_at=operation.started_at,
        started_at=operation.started_at,
        ended_at=operation.ended_at,
        attempts=operation.attempt,
        output=_raw(operation.result),
        failure=_failure(operation.error),
        children=children,
        attributes=_attributes(operation),
    )


def _attributes(operation: Operation) -> dict[str, object]:
    found = {
        "until": operation.scheduled_end_at,
        "next attempt": operation.next_attempt_at,
        "timeout": operation.timeout_at,
        "callback id": operation.callback_id,
    }
    return {key: value for key, value in found.items() if value is not None}


def _attempt(entry: r.OperationEntry, run: AwsRun | None, at: datetime) -> Span | None:
    """The attempt that an entry ends, if it ends one."""
    if not isinstance(entry, r.StepSucceeded | r.StepFailed):
        return None
    known = None if run is None else run.execution.operations.get(entry.id)
    started = at if known is None else known.attempted_at or known.started_at
    return Span(
        id=f"{entry.id}.{entry.attempt}",
        name=f"Attempt {entry.attempt}",
        kind="attempt",
        status=Status.FAILED if isinstance(entry, r.StepFailed) else Status.COMPLETED,
        queued_at=started,
        started_at=started,
        ended_at=at,
        output=_raw(entry.result) if isinstance(entry, r.StepSucceeded) else None,
        failure=_failure(entry.error) if isinstance(entry, r.StepFailed) else None,
    )


def _raw(text: str | None) -> msgspec.Raw | None:
    """A payload as JSON; what is none, such as the result of a callback may be, as a JSON text."""
    if text is None:
        return None
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return msgspec.Raw(msgspec.json.encode(text))
    return msgspec.Raw(text.encode())


def _failure(error: ErrorObject | None) -> Failure | None:
    if error is None:
        return None
    stack = "\n".join(error.stack_trace) if error.stack_trace else None
    return Failure(error.error_type or "Error", error.error_message or "", stack)
