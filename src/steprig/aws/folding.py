"""What each record does to the state of an execution."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeVar

import msgspec

from steprig.aws import records as r
from steprig.aws.model import ErrorObject, ExecutionStatus, Operation, OperationId, OperationStatus, OperationType
from steprig.aws.state import Answer, Execution, Invocation, Pause
from steprig.kernel import Entry, Record


def fold(state: Execution | None, entry: Entry, at: datetime) -> Execution | None:
    """The state after an entry of this time. Entries of another kind leave it as it is."""
    if isinstance(entry, r.ExecutionStarted):
        return _started(entry, at)
    return state if state is None else advance(state, entry, at)


def fold_record(state: Execution | None, record: Record) -> Execution | None:
    """`fold` over what a journal holds."""
    return fold(state, record.entry, record.at)


def advance(state: Execution, entry: Entry, at: datetime) -> Execution:
    """The state of an execution that exists, after an entry of this time."""
    apply = _FOLDS.get(type(entry))
    return state if apply is None else apply(state, entry, at)


_with = msgspec.structs.replace
F = TypeVar("F", bound=Callable[..., Execution])
_FOLDS: dict[type[Entry], Callable[..., Execution]] = {}


def _folds(*kinds: type[Entry]) -> Callable[[F], F]:
    """Register how these entries change the state."""

    def register(function: F) -> F:
        _FOLDS.update(dict.fromkeys(kinds, function))
        return function

    return register


def _started(entry: r.ExecutionStarted, at: datetime) -> Execution:
    operation = Operation(
        id=OperationId(entry.id),
        type=OperationType.EXECUTION,
        status=OperationStatus.STARTED,
        order=0,
        started_at=at,
        name=entry.name,
        input=entry.input,
    )
    return Execution(
        started=entry,
        started_at=at,
        operations={operation.id: operation},
        timeout_at=at + timedelta(seconds=entry.timeout),
        payload_bytes=operation.payload_bytes,
    )


# --- The execution ----------------------------------------------------------------------------------


@_folds(r.ExecutionSucceeded)
def _succeeded(state: Execution, entry: r.ExecutionSucceeded, at: datetime) -> Execution:
    return _end(state, ExecutionStatus.SUCCEEDED, at, result=entry.result)


@_folds(r.ExecutionFailed)
def _failed(state: Execution, entry: r.ExecutionFailed, at: datetime) -> Execution:
    return _end(state, ExecutionStatus.FAILED, at, error=entry.error)


@_folds(r.ExecutionTimedOut)
def _timed_out(state: Execution, entry: r.ExecutionTimedOut, at: datetime) -> Execution:
    return _end(state, ExecutionStatus.TIMED_OUT, at, error=entry.error)


@_folds(r.ExecutionStopped)
def _stopped(state: Execution, entry: r.ExecutionStopped, at: datetime) -> Execution:
    return _end(state, ExecutionStatus.STOPPED, at, error=entry.error)


def _end(
    state: Execution,
    status: ExecutionStatus,
    at: datetime,
    *,
    result: str | None = None,
    error: ErrorObject | None = None,
) -> Execution:
    whole = state.operations[OperationId(state.started.id)]
    whole = _with(whole, status=OperationStatus(status.value), ended_at=at)
    return _with(
        state,
        operations={**state.operations, whole.id: whole},
        ended=status,
        ended_at=at,
        result=result,
        error=error,
        pending={},
        invocation=None,
        closing=None,
        pause=None,
        not_before=None,
        owed=False,
    )


@_folds(r.ExecutionPaused)
def _paused(state: Execution, entry: r.ExecutionPaused, at: datetime) -> Execution:
    return _with(state, pause=Pause(at, entry.timeout_paused, entry.reason))


@_folds(r.ExecutionResumed)
def _resumed(state: Execution, entry: r.ExecutionResumed, at: datetime) -> Execution:
    pause = state.pause
    waited = at - pause.since if pause is not None and pause.timeout_paused else timedelta()
    return _with(state, pause=None, timeout_at=state.timeout_at + waited)


@_folds(r.ExecutionDeleted)
def _deleted(state: Execution, entry: r.ExecutionDeleted, at: datetime) -> Execution:
    return _with(state, deleted=True)


# --- Invocations and checkpoints --------------------------------------------------------------------


@_folds(r.InvocationStarted)
def _invoked(state: Execution, entry: r.InvocationStarted, at: datetime) -> Execution:
    invocation = Invocation(entry.id, at, tuple(state.updated))
    return _with(state, invocation=invocation, owed=False, hinted=False, updated={}, not_before=None)


@_folds(r.InvocationCompleted)
def _returned(state: Execution, entry: r.InvocationCompleted, at: datetime) -> Execution:
    return _with(
        state,
        invocation=None,
        failures=entry.failures,
        idle=entry.idle,
        owed=state.owed or entry.again,
        not_before=entry.not_before,
    )


@_folds(r.CheckpointTaken)
def _checkpointed(state: Execution, entry: r.CheckpointTaken, at: datetime) -> Execution:
    invocation = state.invocation
    if invocation is not None and entry.revoked:
        invocation = _with(invocation, revoked=True)
    operations = [state.operations[changed] for changed in state.untold]
    operations.sort(key=attrgetter("order"))
    state = _with(
        state,
        checkpoints=state.checkpoints + 1,
        untold={},
        owed=entry.revoked,
        hinted=state.owed,
        invocation=invocation,
    )
    return _with(state, last_answer=Answer(entry.token, entry.client_token, state.token, tuple(operations)))


@_folds(r.ExecutionClosing)
def _closing(state: Execution, entry: r.ExecutionClosing, at: datetime) -> Execution:
    return _with(state, closing=entry.end)


# --- Operations: what the function reports ----------------------------------------------------------


def _put(state: Execution, operation: Operation, *, by_service: bool = False) -> Execution:
    """Keep an operation as it is now."""
    known = state.operations.get(operation.id)
    size = operation.payload_bytes - (known.payload_bytes if known is not None else 0)
    pending = state.pending
    if _is_waited_for(operation) and not _is_orphan(state.operations, operation):
        pending = {**pending, operation.id: operation}
    elif operation.id in pending:
        pending = {key: other for key, other in pending.items() if key != operation.id}
    return _with(
        state,
        operations={**state.operations, operation.id: operation},
        pending=pending,
        untold=state.untold if operation.id in state.untold else {**state.untold, operation.id: None},
        updated={**state.updated, operation.id: None} if by_service else state.updated,
        owed=state.owed or by_service,
        payload_bytes=state.payload_bytes + size,
    )


_WAITED_FOR = frozenset({OperationType.WAIT, OperationType.CALLBACK, OperationType.CHAINED_INVOKE})


def _is_waited_for(operation: Operation) -> bool:
    if operation.type is OperationType.STEP:
        return operation.status is OperationStatus.PENDING
    return operation.type in _WAITED_FOR and operation.status is OperationStatus.STARTED


def _is_orphan(operations: Mapping[OperationId, Operation], operation: Operation) -> bool:
    """True when the function does not wait for it any more: a context that it is part of has ended."""
    parent = operations.get(operation.parent_id) if operation.parent_id is not None else None
    while parent is not None:
        if parent.ended:
            return True
        parent = operations.get(parent.parent_id) if parent.parent_id is not None else None
    return False


def _operation(state: Execution, entry: r.OperationEntry, kind: OperationType, at: datetime) -> Operation:
    """The operation that an entry is about, made if the entry is the first to tell of it."""
    known = state.operations.get(entry.id)
    if known is not None:
        return known
    return Operation(
        id=entry.id,
        type=kind,
        status=OperationStatus.STARTED,
        order=len(state.operations),
        started_at=at,
        parent_id=entry.parent_id,
        name=entry.name,
        sub_type=entry.sub_type,
    )


@_folds(r.ContextStarted)
def _context_started(state: Execution, entry: r.ContextStarted, at: datetime) -> Execution:
    return _put(state, _operation(state, entry, OperationType.CONTEXT, at))


@_folds(r.ContextSucceeded)
def _context_succeeded(state: Execution, entry: r.ContextSucceeded, at: datetime) -> Execution:
    operation = _with(
        _operation(state, entry, OperationType.CONTEXT, at),
        status=OperationStatus.SUCCEEDED,
        ended_at=at,
        result=entry.result,
        replay_children=entry.replay_children,
    )
    return _without_orphans(_put(state, operation))


@_folds(r.ContextFailed)
def _context_failed(state: Execution, entry: r.ContextFailed, at: datetime) -> Execution:
    operation = _with(
        _operation(state, entry, OperationType.CONTEXT, at),
        status=OperationStatus.FAILED,
        ended_at=at,
        error=entry.error,
    )
    return _without_orphans(_put(state, operation))


def _without_orphans(state: Execution) -> Execution:
    if not state.pending:
        return state
    left = {key: one for key, one in state.pending.items() if not _is_orphan(state.operations, one)}
    return _with(state, pending=left)


@_folds(r.StepStarted)
def _step_started(state: Execution, entry: r.StepStarted, at: datetime) -> Execution:
    operation = _operation(state, entry, OperationType.STEP, at)
    return _put(state, _with(operation, status=OperationStatus.STARTED, next_attempt_at=None, attempted_at=at))


@_folds(r.StepSucceeded, r.StepFailed)
def _step_tried(state: Execution, entry: r.StepSucceeded | r.StepFailed, at: datetime) -> Execution:
    result, error = (entry.result, None) if isinstance(entry, r.StepSucceeded) else (None, entry.error)
    operation = _with(
        _operation(state, entry, OperationType.STEP, at), attempt=entry.attempt, result=result, error=error
    )
    if entry.retry is not None:
        return _put(state, _with(operation, status=OperationStatus.PENDING, next_attempt_at=entry.retry.at))
    status = OperationStatus.SUCCEEDED if isinstance(entry, r.StepSucceeded) else OperationStatus.FAILED
    return _put(state, _with(operation, status=status, ended_at=at, next_attempt_at=None))


@_folds(r.WaitStarted)
def _wait_started(state: Execution, entry: r.WaitStarted, at: datetime) -> Execution:
    return _put(state, _with(_operation(state, entry, OperationType.WAIT, at), scheduled_end_at=entry.until))


@_folds(r.WaitCancelled)
def _wait_cancelled(state: Execution, entry: r.WaitCancelled, at: datetime) -> Execution:
    return _put(state, _with(state.operations[entry.id], status=OperationStatus.CANCELLED, ended_at=at))


@_folds(r.CallbackStarted)
def _callback_started(state: Execution, entry: r.CallbackStarted, at: datetime) -> Execution:
    operation = _with(
        _operation(state, entry, OperationType.CALLBACK, at),
        callback_id=entry.callback_id,
        timeout_at=_after(at, entry.timeout),
        heartbeat_seconds=entry.heartbeat_timeout,
        heartbeat_at=_after(at, entry.heartbeat_timeout),
    )
    return _put(state, operation)


def _after(at: datetime, seconds: int) -> datetime | None:
    return at + timedelta(seconds=seconds) if seconds else None


@_folds(r.ChainedInvokeStarted)
def _invoke_started(state: Execution, entry: r.ChainedInvokeStarted, at: datetime) -> Execution:
    operation = _operation(state, entry, OperationType.CHAINED_INVOKE, at)
    is_call = entry.target is not None and not entry.durable
    return _put(state, _with(operation, timeout_at=_after(at, entry.timeout) if is_call else None))


# --- Operations: what the service does --------------------------------------------------------------


def _complete(
    state: Execution,
    entry: r.OperationEntry,
    status: OperationStatus,
    at: datetime,
    *,
    result: str | None = None,
    error: ErrorObject | None = None,
) -> Execution:
    operation = _with(state.operations[entry.id], status=status, ended_at=at, result=result, error=error)
    return _put(state, operation, by_service=True)


@_folds(r.StepReady)
def _step_ready(state: Execution, entry: r.StepReady, at: datetime) -> Execution:
    operation = _with(state.operations[entry.id], status=OperationStatus.READY, next_attempt_at=None)
    return _put(state, operation, by_service=True)


@_folds(r.WaitSucceeded)
def _wait_succeeded(state: Execution, entry: r.WaitSucceeded, at: datetime) -> Execution:
    return _complete(state, entry, OperationStatus.SUCCEEDED, at)


@_folds(r.CallbackSucceeded, r.ChainedInvokeSucceeded)
def _has_result(state: Execution, entry: r.CallbackSucceeded | r.ChainedInvokeSucceeded, at: datetime) -> Execution:
    return _complete(state, entry, OperationStatus.SUCCEEDED, at, result=entry.result)


@_folds(r.CallbackFailed, r.ChainedInvokeFailed)
def _has_failed(state: Execution, entry: r.CallbackFailed | r.ChainedInvokeFailed, at: datetime) -> Execution:
    return _complete(state, entry, OperationStatus.FAILED, at, error=entry.error)


@_folds(r.CallbackTimedOut, r.ChainedInvokeTimedOut)
def _has_timed_out(state: Execution, entry: r.CallbackTimedOut | r.ChainedInvokeTimedOut, at: datetime) -> Execution:
    return _complete(state, entry, OperationStatus.TIMED_OUT, at, error=entry.error)


@_folds(r.ChainedInvokeStopped)
def _was_stopped(state: Execution, entry: r.ChainedInvokeStopped, at: datetime) -> Execution:
    return _complete(state, entry, OperationStatus.STOPPED, at, error=entry.error)


@_folds(r.CallbackHeartbeat)
def _heard_of(state: Execution, entry: r.CallbackHeartbeat, at: datetime) -> Execution:
    known = state.operations[entry.id]
    operation = _with(known, heartbeat_at=_after(at, known.heartbeat_seconds))
    # The function is told nothing of it.
    return _with(
        state,
        operations={**state.operations, entry.id: operation},
        pending={**state.pending, entry.id: operation} if entry.id in state.pending else state.pending,
    )
