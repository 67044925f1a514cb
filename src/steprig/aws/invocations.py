"""Calls of a function: what follows from how each has ended."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.decision import Decision, Given
from steprig.aws.model import ErrorObject, InvocationId, utf8_bytes
from steprig.aws.state import Execution, Invocation
from steprig.aws.validation import output_too_large


class Returned(NamedTuple):
    """The function has returned this, whatever it is."""

    output: object


class Failed(NamedTuple):
    """The call has failed, and is repeated."""

    error: ErrorObject


class NoFunction(NamedTuple):
    """There is nothing to call."""

    name: str


Outcome = Returned | Failed | NoFunction


def timed_out(seconds: float) -> Failed:
    """The outcome of a call that takes too long."""
    message = f"Function timed out after {seconds:g} seconds"
    return Failed(ErrorObject(error_type="Sandbox.Timedout", error_message=message))


LOST = ErrorObject(
    error_type="Runtime.ExitError", error_message="The invocation was under way when the service was stopped."
)


def finish(state: Execution, invocation_id: InvocationId, outcome: Outcome, given: Given) -> Decision:
    """Take in how a call has ended. Nothing follows from one that nobody waits for any more."""
    decision = Decision(state, given)
    invocation = state.invocation
    if invocation is None or invocation.id != invocation_id:
        return decision
    if state.closing is not None:
        error = outcome.error if isinstance(outcome, Failed) else None
        return _end(decision, invocation, state.closing, error)
    match outcome:
        case Failed(error):
            return _failed(decision, invocation, error)
        case NoFunction(name):
            message = f"Function not found: {name}"
            return _fail(decision, invocation, "ResourceNotFoundException", message)
        case Returned(output):
            return _returned(decision, invocation, output)


def lose(state: Execution, given: Given) -> Decision:
    """Begin anew where a call was under way in a service that was stopped or killed. It counts as no failure."""
    decision = Decision(state, given)
    if (lost := state.invocation) is not None:
        if state.closing is not None:
            return _end(decision, lost, state.closing, LOST)
        decision.add(
            r.InvocationCompleted(
                id=lost.id, started_at=lost.started_at, error=LOST, failures=state.failures, idle=state.idle, again=True
            )
        )
    return decision.settle()


# --- What was returned ------------------------------------------------------------------------------


class Output(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """What a durable function returns."""

    status: str
    result: str | None = None
    error: ErrorObject | None = None


def _returned(decision: Decision, invocation: Invocation, output: object) -> Decision:
    try:
        told = msgspec.convert(output, Output)
    except msgspec.ValidationError as error:
        return _refuse(decision, invocation, f"Invalid invocation output: {error}")
    take = _TAKE.get(told.status)
    if take is None:
        return _refuse(decision, invocation, f"Invalid invocation output: Status {told.status!r} is not known")
    return take(decision, invocation, told)


def _succeeded(decision: Decision, invocation: Invocation, told: Output) -> Decision:
    if told.error is not None:
        return _refuse(decision, invocation, "Cannot provide an Error for SUCCEEDED status.")
    is_child, size = decision.state.started.parent is not None, utf8_bytes(told.result or "")
    if is_child and size > limits.CHAINED_PAYLOAD_BYTES:
        return _refuse(decision, invocation, output_too_large())
    return _end(decision, invocation, r.ExecutionSucceeded(result=told.result))


def _has_failed(decision: Decision, invocation: Invocation, told: Output) -> Decision:
    if told.result is not None:
        return _refuse(decision, invocation, "Cannot provide a Result for FAILED status.")
    return _end(decision, invocation, r.ExecutionFailed(error=told.error or ErrorObject()))


def _waits(decision: Decision, invocation: Invocation, told: Output) -> Decision:
    state = decision.state
    if state.pending or state.owed or invocation.revoked:
        _complete(decision, invocation, again=state.hinted)
        return decision.settle()
    message = "Cannot return PENDING status with no pending operations."
    if state.idle + 1 >= limits.IDLE_INVOCATIONS:
        return _refuse(decision, invocation, message)
    _complete(decision, invocation, idle=state.idle + 1, again=True)
    return decision.settle()


_TAKE: dict[str, Callable[[Decision, Invocation, Output], Decision]] = {
    "SUCCEEDED": _succeeded,
    "FAILED": _has_failed,
    "PENDING": _waits,
}


# --- What is recorded -------------------------------------------------------------------------------


def _failed(decision: Decision, invocation: Invocation, error: ErrorObject) -> Decision:
    failures = decision.state.failures + 1
    if failures >= limits.INVOCATION_FAILURES:
        return _end(decision, invocation, r.ExecutionFailed(error=error), error)
    decision.add(
        r.InvocationCompleted(
            id=invocation.id,
            started_at=invocation.started_at,
            error=error,
            failures=failures,
            idle=decision.state.idle,
            again=True,
            not_before=decision.given.now + limits.INVOCATION_BACKOFF,
        )
    )
    return decision


def _refuse(decision: Decision, invocation: Invocation, message: str) -> Decision:
    return _fail(decision, invocation, "InvalidParameterValueException", message)


def _fail(decision: Decision, invocation: Invocation, name: str, message: str) -> Decision:
    """End the execution for what its invocation did, which counts as no crash of it."""
    return _end(decision, invocation, r.ExecutionFailed(error=ErrorObject(error_type=name, error_message=message)))


def _end(decision: Decision, invocation: Invocation, end: r.ExecutionEnd, error: ErrorObject | None = None) -> Decision:
    _complete(decision, invocation, error=error)
    decision.add(end)
    return decision


def _complete(
    decision: Decision,
    invocation: Invocation,
    *,
    error: ErrorObject | None = None,
    idle: int = 0,
    again: bool = False,
) -> None:
    decision.add(
        r.InvocationCompleted(id=invocation.id, started_at=invocation.started_at, error=error, idle=idle, again=again)
    )
