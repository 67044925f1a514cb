"""The engine: takes what happens, records what is decided, and does what follows.

Everything here runs on the rig's loop. What a run's state is, and what is decided about it, is pure and
lives in `state` and `decide`; the engine adds the time, the ids, and the effects.
"""

import logging
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from steprig.inngest import decide, defers, endpoints, gateway, internal_events, reruns, signals
from steprig.inngest.answers_log import Answers
from steprig.inngest.apps import Apps, Registered
from steprig.inngest.call_request import CallRequest, call_request
from steprig.inngest.ceilings import LimitsOfFunctions
from steprig.inngest.checkpoints import Checkpoint, checkpoint
from steprig.inngest.decision import Decision, Given
from steprig.inngest.effects import Effects
from steprig.inngest.events import Event
from steprig.inngest.flow.arrivals import Arrivals
from steprig.inngest.functions import App, AppName
from steprig.inngest.gateway import Outcome
from steprig.inngest.ids import new_ulid
from steprig.inngest.index import Index
from steprig.inngest.opcodes import Op, StepId
from steprig.inngest.records import (
    APP,
    EVENT,
    RUN,
    AppRemoved,
    AppSynced,
    CallStarted,
    EventReceived,
    GatewayStarted,
    InvokeStarted,
    Job,
    JobId,
    MetadataSet,
    RunControl,
    RunEnded,
    RunId,
    RunQueued,
    StepEnded,
)
from steprig.inngest.replies import NoReply, Reply
from steprig.inngest.resuming import pending
from steprig.inngest.schedules import Schedules, Tick
from steprig.inngest.state import RunState
from steprig.inngest.transport import Transport
from steprig.inngest.triggers import started_by
from steprig.kernel import Entry, Rig, Status, Stream, stream_of

_log = logging.getLogger(__name__)


class Engine:
    """Runs functions.

    Args:
        rig: Where it runs; gives the clock, the journal and the loop.
        transport: Calls the functions.
        retry_interval: How long to wait before each retry, instead of the dev server's backoff.
        crons: Whether cron triggers start functions.
        seed: Makes the jitter of retries and of crons repeatable.
    """

    def __init__(
        self,
        rig: Rig,
        transport: Transport,
        *,
        retry_interval: timedelta | None = None,
        crons: bool = False,
        seed: int | None = None,
    ) -> None:
        self.apps = Apps(rig.journal)
        self.index = Index(rig.journal)
        self.limits = LimitsOfFunctions()
        self.answers = Answers()
        self._rig = rig
        self._retry_interval = retry_interval
        self._jitter = random.Random(seed).random
        self._runs: dict[RunId, RunState] = {}
        self._effects = Effects(rig, transport, self)
        self._arrivals = Arrivals(rig, self.apps.last_known, self._begin, self.cancel)
        self._schedules = Schedules(rig, self.apps, self._tick, seed)
        self._crons = crons
        self._refresh_schedules()

    # --- What happens -------------------------------------------------------------------------------

    def sync(self, app: App) -> bool:
        """Register an app, or register it anew. False when nothing has changed."""
        known = self.apps.app(app.name)
        if known == app:
            return False
        self._append(stream_of(APP, app.name), AppSynced(app))
        self._refresh_schedules()
        return True

    def remove(self, name: AppName) -> None:
        """Forget an app: its functions are not started any more."""
        self._append(stream_of(APP, name), AppRemoved(name))
        self._refresh_schedules()

    def receive(self, event: Event) -> None:
        """Take an event in: start the functions and resume the steps that it is for."""
        with self._rig.journal.together():
            self._receive(event)

    def _receive(self, event: Event) -> None:
        self._append(stream_of(EVENT, event.internal_id), EventReceived(event))
        waits, cancels = self._effects.waiting_for(event)
        for registered in started_by(event, self.apps, self._rig.clock.now()):
            if not self.index.has_started(registered.function.id, event.id, self._rig.clock.now()):
                self._arrivals.arrive(registered, event)
        if not waits and not cancels:
            return
        fields, now = event.fields(), self._rig.clock.now()
        for wait in waits:
            if wait.accepts(fields, now) and (state := self._runs.get(wait.run_id)) is not None:
                self._commit(decide.match(state, wait.step, event, self._given()))
        for cancel in cancels:
            if cancel.accepts(fields, now):
                self.cancel(cancel.run_id)

    def checkpoint(self, report: Checkpoint) -> bool:
        """Keep what a call that goes on has done so far. False when the run does not wait for that call any more."""
        state = self._runs.get(RunId(report.run_id))
        decision = checkpoint(state, JobId(report.qi_id), report.steps, self._given()) if state is not None else None
        if decision is not None:
            self._commit(decision)
        return decision is not None

    def begin_endpoint(self, new: endpoints.NewRun) -> bool:
        """Take in a run that an SDK has begun by itself. False when there is one with this id."""
        if self._rig.journal.read(stream_of(RUN, new.run_id)):
            return False
        given = self._given()
        event = endpoints.event_of(new, given)
        with self._rig.journal.together():
            self.sync(endpoints.app_with(self.apps.app(new.request.domain), new))
            self._receive(event)
            self._commit(endpoints.begin(new, event, given, self._function_exists))
        return True

    def report(self, run_id: RunId, steps: list[Op]) -> None:
        """Take in how an SDK has got on with a run that it has begun by itself. Nothing follows once it is over."""
        if (state := self._runs.get(run_id)) is not None:
            self._commit(endpoints.report(state, steps, self._given(), self._function_exists))

    def cancel(self, run_id: RunId) -> bool:
        """End a run, whatever it is doing. False when it does not go on."""
        state = self._runs.get(run_id)
        if state is None:
            return False
        self._commit(decide.cancel(state, self._given()))
        return True

    def signal(self, signal: str, data: msgspec.Raw) -> RunId | None:
        """Resume the step that waits for a signal. Returns its run; None when no step does."""
        waiter = self._effects.signals.waiter(signal)
        if waiter is None:
            return None
        run_id, step = waiter
        self._commit(signals.signalled(self._runs[run_id], step, data, self._given()))
        return run_id

    def annotate(self, run_id: RunId, entries: Sequence[MetadataSet]) -> None:
        """Record metadata of a run, which may have ended."""
        if (state := self._runs.get(run_id)) is None:
            self._append(stream_of(RUN, run_id), *entries)
            return
        decision = Decision(state, self._given())
        for entry in entries:
            decision.add(entry)
        self._commit(decision)

    def state(self, run_id: str) -> RunState | None:
        """The state of a run that goes on."""
        return self._runs.get(RunId(run_id))

    async def stop(self) -> None:
        """Drop every timer and end the calls that are being made."""
        self._schedules.stop()
        self._arrivals.stop()
        await self._effects.stop()
        self.apps.close()
        self.index.close()

    def resume(self) -> None:
        """Go on with what the journal says was under way when a server that had it before was stopped or killed."""
        with self._rig.clock.working("what was under way"):  # or time would jump to the first of the timers
            self._arrivals.resume()
            self._effects.resume()
            under_way = pending(self._rig.journal)
            for _, _, state, _ in under_way:
                self._runs[state.id] = state
            for _, at, state, entry in under_way:
                if isinstance(entry, CallStarted):
                    self._effects.begin_run(state, at)
                else:
                    self._effects.see_to(state, entry, at)

    # --- Starting runs ------------------------------------------------------------------------------

    def _begin(self, registered: Registered, events: tuple[Event, ...], control: RunControl) -> None:
        function, given = registered.function, self._given()
        queued = RunQueued(
            run_id=RunId(given.new_id()),
            function=function.id,
            app=registered.app.name,
            events=events,
            max_attempts=function.max_attempts,
            correlation_id=internal_events.correlation_of(events[0], function.id),
            control=control,
        )
        asked_for = self._asked_for(events[0]) if control.batch_id is None else None
        self._commit(decide.begin(queued, given, not_before=asked_for))

    def _refresh_schedules(self) -> None:
        if self._crons:
            self._schedules.refresh()

    def _tick(self, tick: Tick) -> None:
        registered = self.apps.function(tick.function)
        if registered is not None:
            event = internal_events.scheduled(tick, self._given())
            with self._rig.journal.together():
                self._append(stream_of(EVENT, event.internal_id), EventReceived(event))
                if not self.index.has_started(tick.function, event.id, self._rig.clock.now()):
                    self._arrivals.arrive(registered, event)

    def _asked_for(self, event: Event) -> datetime | None:
        """The future time that an event asks for.

        A sender stamps its events with the machine's clock, which a virtual clock may lag behind: a time that is
        past on either of the two is past, and the nearer one counts.
        """
        at, now = datetime.fromtimestamp(event.ts / 1000, UTC), self._rig.clock.now()
        delay = min(at - now, at - datetime.now(UTC))
        return now + delay if delay > timedelta() else None

    # --- Recording, and what follows ------------------------------------------------------------------

    def _append(self, stream: Stream, *entries: Entry) -> None:
        self._rig.journal.append(self._rig.clock.stamp(), *((stream, entry) for entry in entries))

    def _commit(self, decision: Decision) -> None:
        """Record a decision, then do what follows from it.

        Both are one append to the journal where that outlives the process: calls and timers begin on the loop's
        next turn, so that what they tell of was recorded before.
        """
        if not decision.entries:
            return
        state = decision.state
        if decision.ended:
            self._runs.pop(state.id, None)
        else:
            self._runs[state.id] = state
        with self._rig.journal.together():
            self._append(stream_of(RUN, state.id), *decision.entries)
            for entry in decision.entries:
                self._follow(state, entry, decision.given.now)

    def _follow(self, state: RunState, entry: Entry, at: datetime) -> None:
        match entry:
            case StepEnded(step=step):
                self._effects.end_step(state, step)
            case RunEnded():
                self._effects.end_run(state)
                self._tell_of_end(state, entry)
            case _:
                self._effects.see_to(state, entry, at)
        if isinstance(entry, InvokeStarted):
            self.receive(entry.event)

    def _tell_of_end(self, state: RunState, ended: RunEnded) -> None:
        for event, correlation_id in internal_events.of_ended_run(state, ended, self._given()):
            self.receive(event)
            if correlation_id is not None:
                self._resume_parent(correlation_id, state, ended, event)
        for event in defers.events(state, self._given()):
            self.receive(event)

    def _resume_parent(self, correlation_id: str, child: RunState, ended: RunEnded, finished: Event) -> None:
        run_id, _, step = correlation_id.partition(".")
        parent = self._runs.get(RunId(run_id))
        if parent is not None:
            self._commit(decide.resume(parent, StepId(step), child.id, ended, finished, self._given()))

    def _given(self) -> Given:
        now = self._rig.clock.stamp()
        return Given(
            now,
            lambda: new_ulid(now),
            self._jitter,
            self._retry_interval,
            self._rig.clock.ahead(),
            self._effects.signals.waiter,
            self.limits.of,
        )

    # --- What has come to runs ------------------------------------------------------------------------

    def wake(self, run_id: RunId, step: StepId) -> None:
        """See `Runs`."""
        if (state := self._runs.get(run_id)) is not None:
            self._commit(decide.wake(state, step, self._given()))

    def time_out(self, run_id: RunId, step: StepId) -> None:
        """See `Runs`."""
        if (state := self._runs.get(run_id)) is not None:
            self._commit(decide.time_out(state, step, self._given()))

    # --- Calls ----------------------------------------------------------------------------------------

    def begin_call(self, run_id: RunId, job: Job) -> tuple[str, CallRequest] | None:
        """See `Callers`."""
        state = self._runs.get(run_id)
        if state is None or job.id not in state.jobs:
            return None
        decision = Decision(state, given := self._given())
        decision.add(CallStarted(job.id))
        self._commit(decision)
        if state.status is Status.QUEUED:
            self._effects.begin_run(state, given.now)
        if state.is_endpoint:
            return endpoints.endpoint_request(decision.state, job, given.new_id())
        function = self.apps.last_known(state.function).function
        return function.entry.runtime.url, call_request(decision.state, job, given.new_id())

    def end_call(self, run_id: RunId, job: Job, reply: Reply | NoReply) -> None:
        """See `Callers`."""
        self.answers.keep(job.id, reply)
        if (state := self._runs.get(run_id)) is not None:
            self._commit(decide.answer(state, job.id, reply, self._given(), self._function_exists))

    def give_up(self, run_id: RunId, error: Exception) -> None:
        """See `Callers`."""
        if (state := self._runs.get(run_id)) is not None:
            self._commit(decide.give_up(state, error, self._given()))

    def answered(self, run_id: RunId, started: GatewayStarted, outcome: Outcome) -> None:
        """See `Runs`."""
        if (state := self._runs.get(run_id)) is None:
            return
        try:
            decision = gateway.answered(state, started, outcome, self._given())
        except Exception as error:  # noqa: BLE001 - whatever it is, a run that nobody goes on with never ends
            _log.exception("run %s cannot go on", run_id)
            decision = decide.give_up(state, error, self._given())
        self._commit(decision)

    def _function_exists(self, slug: str) -> bool:
        return self.apps.invocable(slug) is not None

    # --- Again ----------------------------------------------------------------------------------------

    def rerun(self, run_id: RunId, from_step: reruns.FromStep | None = None) -> RunId:
        """Run a function again with the events of a run, which may have ended.

        Raises:
            RerunError: See `reruns.repeat`.
            NotStartedError: See `Arrivals.arrive_again`.
        """
        repeat = reruns.repeat(self._rig.journal.read(stream_of(RUN, run_id)), from_step)
        original = repeat.original
        registered = self.apps.last_known(original.function)
        with self._rig.journal.together():
            control = self._arrivals.arrive_again(registered, original.events, original.control.batch_id)
            decision = reruns.rerun(repeat, registered.function.max_attempts, control, self._given())
            self._commit(decision)
        return decision.state.id
