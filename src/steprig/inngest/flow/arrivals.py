"""What becomes of an event that a function is to be started with (the order is the dev server's).

Batching comes first, then the rate limit, debouncing, the singleton, and at last the run, whose first call may be
throttled and each of whose calls may have to wait for others.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from steprig.errors import SteprigError
from steprig.inngest.apps import Registered
from steprig.inngest.events import Event
from steprig.inngest.expressions import ExpressionError
from steprig.inngest.flow.holds import Hold, Place, Why, batched, debounced, restored
from steprig.inngest.flow.policy import Fields, Policy, Slot
from steprig.inngest.flow.rate_limits import Mark, RateLimits
from steprig.inngest.flow.slots import Taken
from steprig.inngest.flow.throttles import Throttle
from steprig.inngest.functions import Slug
from steprig.inngest.ids import new_ulid
from steprig.inngest.records import HOLD, RUN, EventHeld, HoldReleased, RunControl, RunEnded, RunId, RunQueued
from steprig.kernel import Record, Rig, Stream, Timer, TimerKind, stream_of
from steprig.kernel.journal import records_of

Begin = Callable[[Registered, tuple[Event, ...], RunControl], None]
"""Starts a run."""


class NotStartedError(SteprigError):
    """Flow control does not let a run start now."""


class Arrivals:
    """Holds events back, drops them, or starts runs with them.

    Args:
        rig: Gives the clock and the journal.
        last_known: Finds a function, also one that is gone.
        begin: Starts a run.
        cancel: Ends a run.
    """

    def __init__(
        self,
        rig: Rig,
        last_known: Callable[[Slug], Registered],
        begin: Begin,
        cancel: Callable[[RunId], bool],
    ) -> None:
        self._rig = rig
        self._last_known = last_known
        self._begin = begin
        self._cancel = cancel
        self._rate_limits = RateLimits()
        self._holds: dict[Place, Hold] = {}
        self._timers: dict[Place, Timer] = {}
        self._singletons: dict[tuple[Slug, str], RunId] = {}
        self._keys: dict[Stream, tuple[Slug, str]] = {}
        self._stop_listening = rig.journal.listen(self, (RUN,))

    def arrive(self, registered: Registered, event: Event) -> None:
        """An event is there that a trigger of the function accepts."""
        policy = registered.policy
        if policy.is_open:
            self._begin(registered, (event,), RunControl())
            return
        fields, now = event.fields(), self._rig.clock.now()
        if policy.batch is not None and policy.batch.takes(fields, now):
            self._hold(registered, event, "batch", policy.batch.key.of_any(fields, now))
            return
        allowed, mark = self._rate_limits.take(policy.rate_limit, registered.function.id, fields, now)
        if not allowed:
            return
        if policy.debounce is not None:
            self._hold(registered, event, "debounce", policy.debounce.key.of_any(fields, now), mark)
        else:
            self._start(registered, (event,), fields, None, mark)

    def arrive_again(self, registered: Registered, events: tuple[Event, ...], batch_id: str | None) -> RunControl:
        """A run is to be repeated: what its flow control comes to. Rate limits are for events that are new.

        Raises:
            NotStartedError: It starts later, as the function is debounced, or not at all.
        """
        policy, fields = registered.policy, events[0].fields()
        if policy.debounce is not None and batch_id is None:
            key = policy.debounce.key.of_any(fields, self._rig.clock.now())
            self._hold(registered, events[0], "debounce", key)
            raise NotStartedError("function debounced: a run starts with its event when it has been quiet for a period")
        return self._admit(registered, fields, batch_id)

    def resume(self) -> None:
        """Go on with what the journal says was held, and count what it says was used up."""
        now = self._rig.clock.now()
        for record in records_of(self._rig.journal, RUN):
            self.appended(record)
            if isinstance(queued := record.entry, RunQueued):
                self._rate_limits.restore(queued.control.mark, now)
        for record in records_of(self._rig.journal, HOLD):
            if isinstance(held := record.entry, EventHeld):
                self._rate_limits.restore(held.mark, now)
        for stream in self._rig.journal.streams(HOLD, going_on=True):
            hold = restored(self._rig.journal.read(stream))
            self._holds[hold.place] = hold
            self._set_timer(hold.place, hold.due)

    def stop(self) -> None:
        """Cancel every timer."""
        self._stop_listening()
        for timer in self._timers.values():
            timer.cancel()

    def appended(self, record: Record) -> None:
        """See `JournalListener`: which singletons have a run that goes on."""
        match record.entry:
            case RunQueued(run_id=run_id, function=function, control=RunControl(singleton=str() as key)):
                self._singletons[function, key] = run_id
                self._keys[record.stream] = function, key
            case RunEnded() if record.stream in self._keys:
                place = self._keys.pop(record.stream)
                if stream_of(RUN, self._singletons[place]) == record.stream:
                    del self._singletons[place]

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`."""

    def _hold(self, registered: Registered, event: Event, why: Why, key: str, mark: Mark | None = None) -> None:
        place = Place(registered.function.id, why, key)
        before, now = self._holds.get(place), self._rig.clock.stamp()
        hold = _with_event(before, event, registered.policy, place, now)
        if hold is before:
            return
        self._holds[place] = hold
        held = EventHeld(place.function, why, key, event, hold.due, mark)
        self._rig.journal.append(now, (stream_of(HOLD, hold.id), held))
        if hold.is_full:
            self._release(place)
        elif before is None or hold.due != before.due:
            self._set_timer(place, hold.due)

    def _set_timer(self, place: Place, due: datetime) -> None:
        if (timer := self._timers.pop(place, None)) is not None:
            timer.cancel()
        label = f"{place.why} of {place.function}"
        self._timers[place] = self._rig.call_at(due, lambda: self._release(place), kind=TimerKind.DELAY, label=label)

    def _release(self, place: Place) -> None:
        if (timer := self._timers.pop(place, None)) is not None:
            timer.cancel()
        hold = self._holds.pop(place)
        batch_id = hold.id if place.why == "batch" else None
        with self._rig.journal.together():
            self._rig.journal.append(self._rig.clock.stamp(), (stream_of(HOLD, hold.id), HoldReleased()))
            self._start(self._last_known(place.function), hold.events, hold.events[0].fields(), batch_id)

    def _start(
        self,
        registered: Registered,
        events: tuple[Event, ...],
        fields: Fields,
        batch_id: str | None,
        mark: Mark | None = None,
    ) -> None:
        with suppress(NotStartedError):  # a singleton skips it
            self._begin(registered, events, self._admit(registered, fields, batch_id, mark))

    def _admit(
        self, registered: Registered, fields: Fields, batch_id: str | None, mark: Mark | None = None
    ) -> RunControl:
        policy, slug, now = registered.policy, registered.function.id, self._rig.clock.now()
        singleton = self._singleton_key(policy, fields, now)
        if singleton is not None and (active := self._singletons.get((slug, singleton))) is not None:
            if policy.singleton is not None and policy.singleton.mode == "skip":
                raise NotStartedError(f"function skipped: it is a singleton, and run {active} of it goes on")
            self._cancel(active)
        throttle = None
        if policy.throttle is not None:
            throttle = Throttle((slug, policy.throttle.key.of_any(fields, now)), policy.throttle.rate)
        return RunControl(
            limits=tuple(_taken(slot, slug, fields, now) for slot in policy.slots),
            priority=policy.priority_of(fields, now),
            singleton=singleton,
            batch_id=batch_id,
            start_timeout=policy.start_timeout,
            finish_timeout=policy.finish_timeout,
            cancel_when=tuple(cancel.of_run(fields, now) for cancel in policy.cancel_on),
            throttle=throttle,
            mark=mark,
        )

    @staticmethod
    def _singleton_key(policy: Policy, fields: Fields, now: datetime) -> str | None:
        if policy.singleton is None:
            return None
        try:
            return policy.singleton.key.of(fields, now)
        except ExpressionError:
            return None


def _with_event(hold: Hold | None, event: Event, policy: Policy, place: Place, now: datetime) -> Hold:
    if place.why == "batch":
        assert policy.batch is not None
        return batched(hold, event, policy.batch, place, new_ulid(now), now)
    assert policy.debounce is not None
    return debounced(hold, event, policy.debounce, place, new_ulid(now), now)


def _taken(slot: Slot, slug: Slug, fields: Fields, now: datetime) -> Taken:
    """The limit with its key. Beyond the function's own scope it is the value that functions share."""
    value = slot.key.of_any(fields, now)
    key = ("fn", slug, slot.key.source or "", value) if slot.scope == "fn" else (slot.scope, value)
    return Taken(key, slot.limit)
