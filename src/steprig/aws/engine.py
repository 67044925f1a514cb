"""The engine: takes what happens, records what is decided, and does what follows.

What the state of an execution is, and what is decided about it, is pure and lives in `state` and the modules of
decisions; the engine adds the time, the ids and the effects.

It is called by whatever thread has something to say: the SDK's own with a checkpoint, the one that moves the clock, a
test's. One lock lets them in one after the other. To hand a checkpoint to a loop and its answer back takes about as
long as all that is done about it, and there is one for every step.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import uuid4

from steprig.aws import completions, invocations, limits, paging
from steprig.aws import records as r
from steprig.aws.calls import durable_call, plain_call
from steprig.aws.checkpointing import Checkpoint, checkpoint
from steprig.aws.decision import Decision, Given
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.executions import Executions, existing
from steprig.aws.falling_due import on_time
from steprig.aws.folding import fold_record
from steprig.aws.functions import Functions
from steprig.aws.invocations import Outcome
from steprig.aws.invoker import Invoker
from steprig.aws.lane import Lane, StoppedError
from steprig.aws.model import Arn, ErrorObject, InvocationId, OperationId, OperationUpdate
from steprig.aws.resuming import under_way
from steprig.aws.starting import Start, child_of
from steprig.aws.state import Answer, Execution
from steprig.aws.timers import Timers
from steprig.aws.timing import TimerKey, appointments, same_appointments
from steprig.aws.tokens import CallbackToken
from steprig.aws.waiting import Waiting
from steprig.aws.watchers import Watchers
from steprig.kernel import Clock, Journal, Record, Work, stream_of


class Engine:
    """Runs executions. Every method may be called from any thread.

    Args:
        clock: Tells the time, and calls back.
        journal: Where executions are recorded.
        functions: Knows which functions there are.
        invoker: Calls them.
        invocation_timeout: Seconds that one call of a function may take.
        page_bytes: How much of the payloads an invocation is handed at once.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        functions: Functions,
        invoker: Invoker,
        *,
        invocation_timeout: int = limits.INVOCATION_TIMEOUT,
        page_bytes: int = limits.FIRST_PAGE_BYTES,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._functions = functions
        self._invoker = invoker
        self._invocation_timeout = invocation_timeout
        self._page_bytes = page_bytes
        self._lock = threading.RLock()
        self._lane = Lane(clock, journal, self._lock)
        self._watchers = Watchers(self._lock)
        self._timers = Timers(clock, self._fire, self._watchers.wake)
        self._executions = Executions(journal)
        self._waiting = Waiting(clock, self._timers, self._watchers, self._lock, self.execution, self._fire)
        self._in_flight: dict[str, Work] = {}
        self._deleting: set[str] = set()

    # --- What happens -------------------------------------------------------------------------------

    def start(self, start: Start) -> Arn:
        """Start an execution. Returns its ARN."""
        entry = start.entry(_new_id())
        with self._lane:
            self._begin(entry)
        return entry.arn

    def checkpoint(
        self,
        arn: str,
        token: str,
        updates: Sequence[OperationUpdate],
        client_token: str | None = None,
        *,
        revocable: bool = True,
    ) -> Answer:
        """See `Service.checkpoint`. `revocable` is false for an SDK that does not understand a token withheld."""
        with self._lane:
            state = self._open(arn)
            given = self._given(revocable=revocable and self._understands_revocation(state))
            decision, answer = checkpoint(state, Checkpoint(token, updates, client_token), given)
            self._commit(decision)
            return answer

    def state_page(self, arn: str, token: str, marker: str | None, max_items: int | None = None) -> paging.Page:
        """See `Service.state_page`."""
        with self._lock:
            return paging.state_page(self._open(arn), token, marker, max_items)

    def succeed_callback(self, callback_id: str, result: bytes | None) -> None:
        """Answer a callback. Raises `ServiceError`."""
        with self._lane:
            state, operation = self._callback(callback_id)
            self._commit(completions.succeed_callback(state, operation, result, self._given()))

    def fail_callback(self, callback_id: str, error: ErrorObject | None) -> None:
        """Answer a callback with an error. Raises `ServiceError`."""
        with self._lane:
            state, operation = self._callback(callback_id)
            self._commit(completions.fail_callback(state, operation, error, self._given()))

    def heartbeat(self, callback_id: str) -> None:
        """Give a sign of life for a callback. Raises `ServiceError`."""
        with self._lane:
            state, operation = self._callback(callback_id)
            self._commit(completions.heartbeat(state, operation, self._given()))

    def stop_execution(self, arn: str, error: ErrorObject | None = None) -> datetime:
        """End an execution. Returns when it has ended, which may be long ago. Raises `ServiceError`."""
        with self._lane:
            decision = completions.stop(self.execution(arn), error, self._given())
            self._commit(decision)
            ended = decision.state.ended_at
            assert ended is not None, "it is over now, if it was not before"
            return ended

    def pause(self, arn: str, *, timeout_paused: bool = False, reason: str | None = None) -> None:
        """Invoke the function no more until `resume_execution`. Raises `ServiceError`."""
        with self._lane:
            state, given = self.execution(arn), self._given()
            self._commit(completions.pause(state, given, timeout_paused=timeout_paused, reason=reason))

    def resume_execution(self, arn: str, *, reason: str | None = None) -> None:
        """Go on with an execution that was paused. Raises `ServiceError`."""
        with self._lane:
            self._commit(completions.resume(self.execution(arn), self._given(), reason=reason))

    def delete(self, arn: str) -> None:
        """Show an execution that has ended no more, after it was DELETING for a moment. Raises `ServiceError`."""
        with self._lane:
            decision = completions.delete(self.execution(arn), self._given())
            self._deleting.add(decision.state.arn)
            self._commit(decision)
            when = decision.given.now + limits.DELETION
            self._clock.call_at(when, lambda: self._deleting.discard(decision.state.arn), label=f"deletion of {arn}")

    # --- What there is ------------------------------------------------------------------------------

    def execution(self, arn: str) -> Execution:
        """An execution as it is. Raises `ResourceNotFoundException`."""
        with self._lock:
            state = self._executions.at_hand(Arn(arn))
        return existing(state if state is not None else self._executions.read(arn), deleting=arn in self._deleting)

    def records(self, arn: str) -> Sequence[Record]:
        """What the journal holds of an execution; nothing of one that is unknown."""
        return self._executions.records(arn)

    def wait(
        self, arn: str, reached: Callable[[Execution], bool], *, timeout: float, skip_deadlines: bool = False
    ) -> Execution:
        """Block until an execution is as wished.

        Args:
            arn: The execution.
            reached: Looks at it, quickly.
            timeout: Real seconds.
            skip_deadlines: Nothing from outside will beat a deadline any more, so a virtual clock may go to it.

        Raises:
            ExecutionNotReachedError: It took longer.
            ResourceNotFoundException: There is no such execution.
        """
        return self._waiting.wait(arn, reached, timeout=timeout, skip_deadlines=skip_deadlines)

    def keep_deadlines(self, over: threading.Event) -> None:
        """See `Waiting.keep_deadlines`; `wake` ends it once `over` is set."""
        self._waiting.keep_deadlines(over)

    def wake(self) -> None:
        """Let all who wait look anew whether they have to."""
        with self._lock:
            self._watchers.wake()

    def watch(self, arn: str | None, callback: Callable[[Execution], object]) -> Callable[[], None]:
        """Call `callback` whenever an invocation of an execution, or of any, has ended. Returns the undoing.

        The callback runs under the engine's lock, on whatever thread: it must be quick.
        """
        return self._watchers.add(arn, callback)

    # --- Beginning and end --------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on with what the journal says was under way when it was left."""
        with self._lane:
            found = under_way(self._journal)
            for one in found:
                self._executions.keep(one.state)
            for one in found:
                self._commit(invocations.lose(one.state, self._given()))
                self._keep_time(one.state.arn)
            for one in found:
                for invoke in one.to_begin:
                    self._attend(one.state, invoke)
                for operation, child, end in one.ended:
                    self._tell_parent(r.Parent(one.state.arn, operation), child, end)

    def stop(self) -> None:
        """Refuse whatever comes from now on. Executions stay as they are, in the journal."""
        with self._lock:
            self._lane.close()
            self._timers.stop()
            in_flight, self._in_flight = list(self._in_flight.values()), {}
        for work in in_flight:
            work.done()

    # --- Recording, and what follows ------------------------------------------------------------------

    def _begin(self, entry: r.ExecutionStarted) -> None:
        given = self._given()
        state = fold_record(None, Record(0, stream_of(r.EXECUTION, entry.arn), given.now, entry))
        assert state is not None, "an execution begins with this entry"
        decision = Decision(state, given)
        decision.entries.append(entry)
        self._commit(decision.settle())

    def _commit(self, decision: Decision) -> None:
        """Record a decision, then see to what follows from it."""
        if not decision.entries:
            return
        state, at = decision.state, decision.given.now
        stream = stream_of(r.EXECUTION, state.arn)
        before = self._executions.going_on(state.arn)
        self._journal.append(at, *[(stream, entry) for entry in decision.entries])
        self._executions.keep(state)
        for entry in decision.entries:
            if type(entry) not in _NOTHING_FOLLOWS:
                self._follow(state, entry)
        self._keep_time_after(before, state)

    def _follow(self, state: Execution, entry: r.Entry) -> None:
        match entry:
            case r.InvocationStarted():
                self._in_flight[state.arn] = self._clock.working(f"invocation of {state.started.function}")
                self._invoke(state)
            case r.InvocationCompleted():
                self._release(state.arn)
                self._watchers.tell(state)
            case r.ChainedInvokeStarted(target=str()):
                self._attend(state, entry)
            case (
                r.ChainedInvokeSucceeded()
                | r.ChainedInvokeFailed()
                | r.ChainedInvokeTimedOut()
                | r.ChainedInvokeStopped()
            ):
                self._release(_call_key(state.arn, entry.id))
            case r.ExecutionEnd() if state.ended is not None:
                self._finish(state, entry)

    def _attend(self, state: Execution, entry: r.ChainedInvokeStarted) -> None:
        """Run the function that another has invoked. Done again for what was under way before a restart."""
        if entry.durable:
            self._begin(child_of(state, entry))
            return
        parent, call = r.Parent(state.arn, entry.id), plain_call(state, entry, self._invocation_timeout)
        self._in_flight[_call_key(*parent)] = self._clock.working(f"call of {entry.target}")
        self._lane.then(lambda: self._invoker.call(call, lambda end: self._called(parent, end)))

    def _invoke(self, state: Execution) -> None:
        call = durable_call(state, self._invocation_timeout, self._page_bytes)
        self._lane.then(
            lambda: self._invoker.invoke(call, self, lambda outcome: self._returned(call.arn, call.invocation, outcome))
        )

    def _finish(self, state: Execution, end: r.ExecutionEnd) -> None:
        """Let everybody know who waits for an execution that has ended."""
        self._release(state.arn)
        self._watchers.tell(state)
        if (parent := state.started.parent) is not None:
            self._tell_parent(parent, state, end)

    def _tell_parent(self, parent: r.Parent, child: Execution, end: r.ExecutionEnd) -> None:
        if (state := self._executions.going_on(parent.arn)) is None:
            return
        if isinstance(end, r.ExecutionTimedOut):
            end = r.ExecutionTimedOut(error=completions.invoke_timeout(child.started.timeout))
        self._commit(completions.end_invoke(state, parent.operation, end, self._given()))

    # --- What comes back ------------------------------------------------------------------------------

    def _returned(self, arn: Arn, invocation: InvocationId, outcome: Outcome) -> None:
        with suppress(StoppedError), self._lane:
            if (state := self._executions.going_on(arn)) is not None:
                self._commit(invocations.finish(state, invocation, outcome, self._given()))

    def _called(self, parent: r.Parent, end: r.ExecutionEnd) -> None:
        with suppress(StoppedError), self._lane:
            if (state := self._executions.going_on(parent.arn)) is not None:
                self._commit(completions.end_invoke(state, parent.operation, end, self._given()))
            self._release(_call_key(parent.arn, parent.operation))

    def _fire(self, arn: Arn, key: TimerKey, when: datetime) -> None:
        with suppress(StoppedError), self._lane:
            state = self._executions.going_on(arn)
            if state is None or not self._timers.is_wanted(arn, key, when):
                return
            self._commit(on_time(state, key, self._given()))
            self._keep_time(arn)

    # --- Helpers --------------------------------------------------------------------------------------

    def _given(self, *, revocable: bool = True) -> Given:
        return Given(self._clock.stamp(), _new_id, self._functions.resolve, self._invocation_timeout, revocable)

    def _understands_revocation(self, state: Execution) -> bool:
        """Whether the SDK of the function does, which matters while the execution is paused."""
        target = self._functions.resolve(state.started.function) if state.pause is not None else None
        return target is None or target.revocable

    def _open(self, arn: str) -> Execution:
        """The execution that a function checkpoints, which may have ended just now."""
        return self._executions.going_on(Arn(arn)) or self.execution(arn)

    def _callback(self, callback_id: str) -> tuple[Execution, OperationId]:
        token = CallbackToken.decode(callback_id)
        if token is None:
            raise ResourceNotFoundException("Callback does not exist")
        return self.execution(token.arn), token.operation

    def _keep_time(self, arn: Arn) -> None:
        state = self._executions.going_on(arn)
        self._timers.keep(arn, {} if state is None else appointments(state, self._limit(state)))

    def _limit(self, state: Execution) -> int:
        """Seconds after which an invocation is given up that nothing was heard of."""
        target = self._functions.resolve(state.started.function)
        return self._invocation_timeout + (0 if target is None else target.init_seconds)

    def _keep_time_after(self, before: Execution | None, state: Execution) -> None:
        """`_keep_time` unless nothing of what it looks at has changed, as in most checkpoints."""
        if before is None or not same_appointments(before, state):
            self._keep_time(state.arn)

    def _release(self, key: str) -> None:
        """Count something as in flight no more, once all that follows from it is."""
        if (work := self._in_flight.pop(key, None)) is not None:
            self._lane.then(work.done)


_NOTHING_FOLLOWS = frozenset({r.CheckpointTaken, r.StepStarted, r.StepSucceeded, r.ContextStarted, r.ContextSucceeded})
"""What most records are. Nothing follows from some others either."""


def _call_key(arn: Arn, operation: OperationId) -> str:
    """What a call of a function that is not durable is counted by as in flight."""
    return f"{arn} {operation}"


def _new_id() -> str:
    return str(uuid4())
