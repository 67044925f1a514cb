"""The calls of functions: each at its time, under the limits of its run, a few begun at once."""

import asyncio
import logging
from typing import Protocol

from steprig.inngest.admission import Admission
from steprig.inngest.call_request import CallRequest
from steprig.inngest.flow.slots import Row, Slots
from steprig.inngest.flow.throttles import Throttle
from steprig.inngest.records import RUN, CallStarted, Job, RunControl, RunId, RunQueued
from steprig.inngest.replies import NoReply, Reply
from steprig.inngest.run_timers import RunTimers
from steprig.inngest.state import RunState
from steprig.inngest.transport import NobodyReadyError, Transport
from steprig.kernel import Rig, Status, Stream, TimerKind
from steprig.kernel.journal import records_of

_log = logging.getLogger(__name__)


class Callers(Protocol):
    """The runs that calls are made for."""

    def state(self, run_id: str) -> RunState | None:
        """The state of a run that goes on."""
        ...

    def begin_call(self, run_id: RunId, job: Job) -> tuple[str, CallRequest] | None:
        """Record that a call is made. What to send where; None when the run is over or has gone on."""
        ...

    def end_call(self, run_id: RunId, job: Job, reply: Reply | NoReply) -> None:
        """Record what a call has given."""
        ...

    def give_up(self, run_id: RunId, error: Exception) -> None:
        """End a run that cannot go on by steprig's own fault."""
        ...


class Calls:
    """Makes the calls. Each counts as work on the clock until what follows from it is done.

    Args:
        rig: Gives the clock and the loop.
        transport: Carries them.
        timers: Keeps those that are for later.
        callers: Whose they are.
    """

    def __init__(self, rig: Rig, transport: Transport, timers: RunTimers, callers: Callers) -> None:
        self._rig = rig
        self._transport = transport
        self._timers = timers
        self._callers = callers
        self._admission = Admission()
        self._slots = Slots(rig)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def schedule(self, state: RunState, job: Job) -> None:
        """Make a call when it is due."""
        if job.at is not None and job.at > self._rig.clock.now():
            label = f"attempt {job.attempt} of {state.function}"
            self._timers.set(
                state.id, job.id, job.at, TimerKind.DELAY, label, lambda run_id, _: self._call(run_id, job)
            )
        else:
            self._call(state.id, job)

    def forget(self, state: RunState) -> None:
        """A run is over: it waits for no start any more, and time need not go on for it."""
        self._slots.look_again(Row(state.control.limits, state.control.throttle))

    def resume(self) -> None:
        """Count the runs that the journal says have started."""
        to_start: dict[Stream, Throttle] = {}
        for record in records_of(self._rig.journal, RUN):
            match record.entry:
                case RunQueued(control=RunControl(throttle=Throttle() as throttle)):
                    to_start[record.stream] = throttle
                case CallStarted() if (started := to_start.pop(record.stream, None)) is not None:
                    self._slots.throttles.take(started, record.at)

    async def stop(self) -> None:
        """Cut off those that are being made, and make no more."""
        self._stopped = True
        self._slots.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, run_id: RunId, job: Job) -> None:
        state = self._callers.state(run_id)
        if state is None or job.id not in state.jobs:
            return
        control = state.control
        row = Row(control.limits, control.throttle if state.status is Status.QUEUED else None)
        score = self._rig.clock.now().timestamp() - control.priority
        self._slots.ask(row, score, lambda: self._begin(state, job), lambda: self._is_wanted(run_id, job))

    def _is_wanted(self, run_id: RunId, job: Job) -> bool:
        state = self._callers.state(run_id)
        return state is not None and job.id in state.jobs

    def _begin(self, state: RunState, job: Job) -> None:
        if self._stopped:
            return
        work = self._rig.clock.working(f"call of {state.function}")
        task = self._rig.loop.create_task(self._make(state.id, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if state.control.limits:
            task.add_done_callback(lambda _: self._slots.give_back(state.control.limits))
        task.add_done_callback(lambda _: work.done())  # at last: whoever got the place is at work by then

    async def _make(self, run_id: RunId, job: Job) -> None:
        try:
            await self._call_and_go_on(run_id, job)
        except NobodyReadyError as nobody:
            nobody.when_ready(lambda: self._call(run_id, job))
        except Exception as error:  # noqa: BLE001 - whatever it is, a run that nobody goes on with never ends
            _log.exception("run %s cannot go on", run_id)
            self._callers.give_up(run_id, error)

    async def _call_and_go_on(self, run_id: RunId, job: Job) -> None:
        async with self._admission:
            call = self._callers.begin_call(run_id, job)
            if call is None:
                return
            url, request = call
            reply = await self._transport.call(url, job.step, request)
        self._callers.end_call(run_id, job, reply)
