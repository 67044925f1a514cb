"""When something will happen to an execution by itself, read from its state alone."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from steprig.aws.model import OperationId
from steprig.aws.state import Execution
from steprig.kernel import TimerKind

WAKE, TIMEOUT, INVOCATION, OPERATION, HEARTBEAT = "wake", "timeout", "invocation", "operation", "heartbeat"


class TimerKey(NamedTuple):
    """What a timer is for."""

    what: str
    """`wake`, `timeout`, `invocation`; of an operation `operation`, or `heartbeat`."""
    operation: OperationId | None = None


class Appointment(NamedTuple):
    """A moment, and why a clock may or may not jump to it."""

    when: datetime
    kind: TimerKind
    real_seconds: float | None = None
    """Set when only so many real seconds count, while somebody waits."""


def appointments(state: Execution, invocation_timeout: float) -> Mapping[TimerKey, Appointment]:
    """All that is to come of an execution.

    Args:
        state: The execution.
        invocation_timeout: Seconds that one invocation may take.
    """
    if state.ended is not None:
        return {}
    found: dict[TimerKey, Appointment] = {}
    if state.pause is None or not state.pause.timeout_paused:
        started = state.started
        real_seconds = None if started.timeout_by_clock else float(started.timeout)
        found[_TIMEOUT] = Appointment(state.timeout_at, TimerKind.DEADLINE, real_seconds)
    if (invocation := state.invocation) is not None:
        limit = invocation.started_at + timedelta(seconds=invocation_timeout)
        found[_INVOCATION] = Appointment(limit, TimerKind.DEADLINE)
    if state.pending:
        _of_operations(state, found)
    if (again := state.not_before) is not None and state.invocation is None and state.pause is None:
        earlier = found.get(_WAKE)
        found[_WAKE] = Appointment(again if earlier is None else min(again, earlier.when), TimerKind.DELAY)
    return found


def same_appointments(before: Execution, after: Execution) -> bool:
    """True when nothing has changed that `appointments` reads. False may mean nothing."""
    return (
        before.pending is after.pending
        and before.invocation is after.invocation
        and before.not_before is after.not_before
        and before.pause is after.pause
        and before.timeout_at is after.timeout_at
        and before.ended is after.ended
    )


_WAKE, _TIMEOUT, _INVOCATION = TimerKey(WAKE), TimerKey(TIMEOUT), TimerKey(INVOCATION)


def _of_operations(state: Execution, found: dict[TimerKey, Appointment]) -> None:
    first: datetime | None = None
    for operation in state.pending.values():
        due = operation.due_at
        if due is not None and (first is None or due < first):
            first = due
        if operation.timeout_at is not None:
            found[TimerKey(OPERATION, operation.id)] = Appointment(operation.timeout_at, TimerKind.DEADLINE)
        if operation.heartbeat_at is not None:
            found[TimerKey(HEARTBEAT, operation.id)] = Appointment(operation.heartbeat_at, TimerKind.DEADLINE)
    if first is not None:
        found[_WAKE] = Appointment(first, TimerKind.DELAY)
