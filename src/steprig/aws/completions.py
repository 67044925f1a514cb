"""What the service does to operations and executions by itself, or because somebody outside asks for it."""

from typing import TypedDict

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.decision import Decision, Given
from steprig.aws.errors import (
    CallbackTimeoutException,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from steprig.aws.model import ErrorObject, Operation, OperationId, OperationStatus, OperationType, utf8_bytes
from steprig.aws.state import Execution

_STOPPED = ErrorObject(error_message="Execution stopped by user request")


class _Identity(TypedDict):
    id: OperationId
    parent_id: OperationId | None
    name: str | None
    sub_type: str | None


def _identity(operation: Operation) -> _Identity:
    return {
        "id": operation.id,
        "parent_id": operation.parent_id,
        "name": operation.name,
        "sub_type": operation.sub_type,
    }


# --- Time -------------------------------------------------------------------------------------------


def complete_due(decision: Decision) -> None:
    """End every wait and every delay before another attempt whose time has come, in the order of their times."""
    now = decision.given.now
    due = [one for one in decision.state.pending.values() if one.due_at is not None and one.due_at <= now]
    for operation in sorted(due, key=lambda one: (one.due_at, one.order)):
        if operation.type is OperationType.STEP:
            decision.add(r.StepReady(**_identity(operation)))
        else:
            seconds = round(((operation.due_at or now) - operation.started_at).total_seconds())
            decision.add(r.WaitSucceeded(**_identity(operation), seconds=seconds))


def wake(state: Execution, given: Given) -> Decision:
    """The time of something has come."""
    decision = Decision(state, given)
    complete_due(decision)
    return decision.settle()


def time_out_operation(state: Execution, operation_id: OperationId, given: Given) -> Decision:
    """End a callback that nobody has answered in time, or that was silent for too long, or a call that goes on."""
    decision = Decision(state, given)
    operation = state.operations.get(operation_id)
    if state.ended is None and operation is not None and operation.status is OperationStatus.STARTED:
        if operation.type is OperationType.CALLBACK:
            decision.add(r.CallbackTimedOut(**_identity(operation), error=_timeout_error(operation, given)))
        else:
            decision.add(r.ChainedInvokeFailed(**_identity(operation), error=_call_timeout(operation, given)))
    return decision.settle()


def _call_timeout(operation: Operation, given: Given) -> ErrorObject:
    took = (given.now - operation.started_at).total_seconds()
    message = f"{given.now:%Y-%m-%dT%H:%M:%S}Z {operation.id} Task timed out after {took:.2f} seconds"
    return ErrorObject(error_type="Sandbox.Timedout", error_message=message)


def _timeout_error(operation: Operation, given: Given) -> ErrorObject:
    if operation.timeout_at is not None and operation.timeout_at <= given.now:
        return ErrorObject(error_type="Callback.Timeout", error_message="Callback timed out")
    return ErrorObject(error_type="Callback.Heartbeat", error_message="Callback timed out on heartbeat")


def time_out(state: Execution, given: Given) -> Decision:
    """End an execution that takes too long."""
    decision = Decision(state, given)
    if state.ended is None:
        message = f"Execution timed out after {state.started.timeout} seconds."
        decision.add(r.ExecutionTimedOut(error=ErrorObject(error_message=message)))
    return decision


# --- Callbacks --------------------------------------------------------------------------------------


def succeed_callback(state: Execution, operation_id: OperationId, result: bytes | None, given: Given) -> Decision:
    """Answer a callback.

    Raises:
        ResourceNotFoundException: There is none that still can be.
        CallbackTimeoutException: It is too late.
        InvalidParameterValueException: The result is too large, or no text.
    """
    operation = _open_callback(state, operation_id)
    decision = Decision(state, given)
    decision.add(r.CallbackSucceeded(**_identity(operation), result=_result_text(result)))
    return decision.settle()


def fail_callback(state: Execution, operation_id: OperationId, error: ErrorObject | None, given: Given) -> Decision:
    """Answer a callback with an error, whose parts may all be missing. Raises as `succeed_callback` does."""
    operation = _open_callback(state, operation_id)
    decision = Decision(state, given)
    decision.add(r.CallbackFailed(**_identity(operation), error=error or ErrorObject()))
    return decision.settle()


def heartbeat(state: Execution, operation_id: OperationId, given: Given) -> Decision:
    """Give a sign of life. Raises as `succeed_callback` does."""
    operation = _open_callback(state, operation_id)
    decision = Decision(state, given)
    decision.add(r.CallbackHeartbeat(**_identity(operation)))
    return decision.settle()


def _open_callback(state: Execution, operation_id: OperationId) -> Operation:
    operation = state.operations.get(operation_id)
    if operation is None or operation.type is not OperationType.CALLBACK:
        raise ResourceNotFoundException("Callback does not exist")
    if operation.status is OperationStatus.TIMED_OUT:
        raise CallbackTimeoutException("Callback timed out")
    if state.ended is not None or operation.status is not OperationStatus.STARTED:
        what = "its execution has ended" if not operation.ended else f"it is {operation.status}"
        raise ResourceNotFoundException(f"Callback does not exist any more: {what}")
    return operation


def _result_text(result: bytes | None) -> str | None:
    if result is None:
        return None
    if len(result) > limits.CALLBACK_RESULT_BYTES:
        most = limits.CALLBACK_RESULT_BYTES
        raise InvalidParameterValueException(f"Callback result size must be less than or equal to {most} bytes.")
    try:
        return result.decode()
    except UnicodeDecodeError as error:
        raise InvalidParameterValueException(f"Callback result must be UTF-8: {error}") from error


# --- Chained invokes --------------------------------------------------------------------------------


def end_invoke(state: Execution, operation_id: OperationId, end: r.ExecutionEnd, given: Given) -> Decision:
    """Let a function know how the one that it has invoked has ended."""
    decision = Decision(state, given)
    operation = state.operations.get(operation_id)
    if state.ended is None and operation is not None and operation.status is OperationStatus.STARTED:
        decision.add(_invoke_end(operation, end))
    return decision.settle()


def _invoke_end(operation: Operation, end: r.ExecutionEnd) -> r.ChainedInvokeEnd:
    identity = _identity(operation)
    match end:
        case r.ExecutionSucceeded(result=result):
            too_large = result is not None and utf8_bytes(result) > limits.CHAINED_PAYLOAD_BYTES
            if too_large:
                return r.ChainedInvokeFailed(**identity, error=_too_large())
            return r.ChainedInvokeSucceeded(**identity, result=result)
        case r.ExecutionFailed(error=error):
            return r.ChainedInvokeFailed(**identity, error=error)
        case r.ExecutionStopped(error=error):
            return r.ChainedInvokeStopped(**identity, error=error)
        case r.ExecutionTimedOut(error=error):
            return r.ChainedInvokeTimedOut(**identity, error=error)
        case _:
            raise TypeError(f"{end!r} ends no invoke")


def _too_large() -> ErrorObject:
    most = limits.CHAINED_PAYLOAD_BYTES
    message = f"CHAINED_INVOKE output payload size must be less than or equal to {most} bytes."
    return ErrorObject(error_type="InvalidParameterValueException", error_message=message)


def invoke_timeout(seconds: int) -> ErrorObject:
    """The error of a function that has invoked one which took too long."""
    message = f"CHAINED_INVOKE timed out after {seconds} seconds."
    return ErrorObject(error_type="ChainedInvoke.Timeout", error_message=message)


# --- Whole executions -------------------------------------------------------------------------------


def stop(state: Execution, error: ErrorObject | None, given: Given) -> Decision:
    """End an execution, whatever it is doing. One that has ended stays as it is."""
    decision = Decision(state, given)
    if state.ended is None:
        decision.add(r.ExecutionStopped(error=error or _STOPPED))
    return decision


def pause(state: Execution, given: Given, *, timeout_paused: bool = False, reason: str | None = None) -> Decision:
    """Invoke a function no more until it is resumed. Pausing twice leaves the first as it is.

    Raises:
        ResourceConflictException: The execution has ended.
    """
    _check_open(state, "paused")
    decision = Decision(state, given)
    if state.pause is None:
        decision.add(r.ExecutionPaused(timeout_paused=timeout_paused, reason=reason))
    return decision


def resume(state: Execution, given: Given, *, reason: str | None = None) -> Decision:
    """Go on with an execution that was paused; nothing for one that is not.

    Raises:
        ResourceConflictException: The execution has ended.
    """
    _check_open(state, "resumed")
    decision = Decision(state, given)
    if state.pause is not None:
        decision.add(r.ExecutionResumed(reason=reason))
    return decision.settle()


def delete(state: Execution, given: Given) -> Decision:
    """Show an execution no more.

    Raises:
        ResourceConflictException: It goes on.
    """
    if state.ended is None:
        raise ResourceConflictException(f"An execution that is {state.status} cannot be deleted; stop it first.")
    decision = Decision(state, given)
    if not state.deleted:
        decision.add(r.ExecutionDeleted())
    return decision


def _check_open(state: Execution, done: str) -> None:
    if state.ended is not None:
        raise ResourceConflictException(f"An execution that is {state.status} cannot be {done}.")
