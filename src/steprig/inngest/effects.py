"""What follows from the entries of a run: calls, timers, requests, and listening for events and signals."""

from datetime import datetime
from typing import Protocol

from steprig.inngest import gateway, signals
from steprig.inngest.calls import Callers, Calls
from steprig.inngest.events import Event
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import (
    AttemptFailed,
    GatewayStarted,
    InvokeStarted,
    Job,
    JobQueued,
    RunControl,
    RunId,
    RunQueued,
    SignalWaitStarted,
    SleepStarted,
    WaitStarted,
)
from steprig.inngest.run_timers import RunTimers
from steprig.inngest.state import RunState
from steprig.inngest.transport import Transport
from steprig.inngest.waits import Wait, Waits
from steprig.kernel import Entry, Rig, Status, TimerKind

_START, _FINISH = StepId("timeouts.start"), StepId("timeouts.finish")
"""The keys of the timers of a run's own timeouts, among those of its steps."""


class Runs(Callers, Protocol):
    """The runs, which are told of what has come to them."""

    def cancel(self, run_id: RunId) -> bool:
        """End a run."""
        ...

    def wake(self, run_id: RunId, step: StepId) -> None:
        """A sleep is over."""
        ...

    def time_out(self, run_id: RunId, step: StepId) -> None:
        """A step has waited long enough."""
        ...

    def answered(self, run_id: RunId, started: GatewayStarted, outcome: gateway.Outcome) -> None:
        """A request that was made for a step has ended."""
        ...


class Effects:
    """Does what the entries of runs ask for.

    Args:
        rig: Where it runs.
        transport: Calls the functions.
        runs: Whose they are.
    """

    def __init__(self, rig: Rig, transport: Transport, runs: Runs) -> None:
        self.signals = signals.Signals()
        self._rig = rig
        self._runs = runs
        self._waits = Waits()
        self._cancels = Waits()
        self._gateway = gateway.Gateway(rig, runs.answered)
        self._timers = RunTimers(rig)
        self._calls = Calls(rig, transport, self._timers, runs)

    def waiting_for(self, event: Event) -> tuple[list[Wait], list[Wait]]:
        """The steps that may be waiting for an event, and the runs that it may cancel."""
        return self._waits.for_event(event.name), self._cancels.for_event(event.name)

    def resume(self) -> None:
        """Count what the journal says has been used up."""
        self._calls.resume()

    def see_to(self, state: RunState, entry: Entry, at: datetime) -> None:
        """See to what is to come of an entry of this time. Done again for what was pending after a restart."""
        match entry:
            case RunQueued(control=control):
                self._control(state, control, at)
            case JobQueued(job=job) | AttemptFailed(retry=Job() as job):
                self._calls.schedule(state, job)
            case SleepStarted(step=step, until=until, title=title):
                self._timers.set(state.id, step, until, TimerKind.DELAY, f"sleep {title!r}", self._runs.wake)
            case WaitStarted(step=step, expires=expires, title=title, event=event, condition=condition):
                self._waits.add(state.id, step, event, condition)
                self._time_out_at(state, step, expires, f"wait {title!r}")
            case InvokeStarted(step=step, expires=expires, title=title):
                self._time_out_at(state, step, expires, f"invoke {title!r}")
            case GatewayStarted():
                self._gateway.start(state.id, entry)
            case SignalWaitStarted(step=step, expires=expires, title=title):
                self.signals.add(state.id, entry)
                self._time_out_at(state, step, expires, f"signal {title!r}")

    def begin_run(self, state: RunState, at: datetime) -> None:
        """A run was called for the first time."""
        self._timers.cancel(state.id, _START)
        if (finish := state.control.finish_timeout) is not None:
            self._limit(state.id, _FINISH, at + finish)

    def end_step(self, state: RunState, step: StepId) -> None:
        """Nothing is waited for by a step any more."""
        self._waits.remove(state.id, step)
        self.signals.remove(state.id, step)
        self._timers.cancel(state.id, step)

    def end_run(self, state: RunState) -> None:
        """Nothing is waited for by a run any more."""
        for step in state.open:
            self._waits.remove(state.id, step)
            self.signals.remove(state.id, step)
            self._gateway.drop(state.id, step)
        for index in range(len(state.control.cancel_when)):
            self._cancels.remove(state.id, _cancel_key(index))
        self._timers.cancel_run(state.id)
        self._calls.forget(state)

    async def stop(self) -> None:
        """Drop every timer and end the calls and requests that are being made."""
        self._timers.stop()
        await self._calls.stop()
        await self._gateway.stop()

    def _control(self, state: RunState, control: RunControl, queued_at: datetime) -> None:
        """What may end a run from outside, from its creation on."""
        for index, when in enumerate(control.cancel_when):
            self._cancels.add(state.id, _cancel_key(index), when.event, when.condition, when.until)
        if control.start_timeout is not None and state.status is Status.QUEUED:
            self._limit(state.id, _START, queued_at + control.start_timeout)

    def _time_out_at(self, state: RunState, step: StepId, at: datetime, label: str) -> None:
        self._timers.set(state.id, step, at, TimerKind.DEADLINE, label, self._runs.time_out)

    def _limit(self, run_id: RunId, key: StepId, at: datetime) -> None:
        """Cancel the run then, unless the timer is cancelled before."""
        self._timers.set(run_id, key, at, TimerKind.BACKGROUND, f"{key} of {run_id}", self._end)

    def _end(self, run_id: RunId, _: StepId) -> None:
        self._runs.cancel(run_id)


def _cancel_key(index: int) -> StepId:
    return StepId(f"cancel.{index}")
