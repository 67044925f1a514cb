"""Steps that wait for a signal (opcode `WaitForSignal`): one for each signal, wherever it runs."""

import msgspec

from steprig.inngest import problems
from steprig.inngest.decision import Decision, Given
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import RunId, SignalWaitStarted, StepEnded
from steprig.inngest.state import RunState

Waiter = tuple[RunId, StepId]
"""A step that waits, in its run."""


class Signals:
    """Who waits for which signal."""

    def __init__(self) -> None:
        self._waiters: dict[str, Waiter] = {}
        self._signals: dict[Waiter, str] = {}

    def add(self, run_id: RunId, started: SignalWaitStarted) -> None:
        """A step begins to wait. One that waited for the same signal before will not be given it."""
        waiter = run_id, started.step
        replaced = self._waiters.get(started.signal)
        if replaced is not None:
            del self._signals[replaced]
        self._waiters[started.signal] = waiter
        self._signals[waiter] = started.signal

    def remove(self, run_id: RunId, step: StepId) -> None:
        """A step waits no longer, if it did."""
        signal = self._signals.pop((run_id, step), None)
        if signal is not None:
            del self._waiters[signal]

    def waiter(self, signal: str) -> Waiter | None:
        """Who waits for a signal."""
        return self._waiters.get(signal)


def start(decision: Decision, started: SignalWaitStarted, *, replace: bool) -> None:
    """A step asks for a signal. It fails its run where another waits for the same one, and is not to be replaced."""
    if not started.signal:
        raise msgspec.ValidationError("it names no signal")
    if not replace and _is_taken(decision, started):
        decision.fail(problems.signal_conflict())
        return
    decision.add(started)


def signalled(state: RunState, step: StepId, data: msgspec.Raw, given: Given) -> Decision:
    """The signal that a step waits for is there."""
    decision = Decision(state, given)
    if isinstance(waited := state.open.get(step), SignalWaitStarted):
        output = msgspec.Raw(msgspec.json.encode({"signal": waited.signal, "data": data}))
        memo = msgspec.Raw(b'{"data":' + bytes(output) + b"}")
        decision.end_step(StepEnded(step=step, title=waited.title, op="WAIT_FOR_SIGNAL", memo=memo, output=output))
    return decision


def _is_taken(decision: Decision, started: SignalWaitStarted) -> bool:
    if decision.given.signal_waiter(started.signal) is not None:
        return True
    opened = decision.state.open.values()
    return any(isinstance(other, SignalWaitStarted) and other.signal == started.signal for other in opened)
