"""A clock that skips waits: it jumps to the next timer as soon as nothing is in flight."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

from steprig.errors import SteprigError
from steprig.kernel.clock import Clock, Work
from steprig.kernel.timers import EVERY_KIND, Callback, Dispatch, Timer, TimerKind, TimerQueue

_JUMPS_BY_ITSELF = frozenset({TimerKind.DELAY})


_Fired = tuple[Timer, Work]


class ClockTimeoutError(SteprigError, TimeoutError):
    """What is in flight did not end in time, so the clock could not move on."""


class CountedWork(Work):
    """Work that a `VirtualClock` waits for."""

    __slots__ = ("_end", "_what")

    def __init__(self, what: str, end: Callable[[str], None]) -> None:
        self._what = what
        self._end: Callable[[str], None] | None = end

    def done(self) -> None:
        """See `Work.done`."""
        end, self._end = self._end, None
        if end is not None:
            end(self._what)


class VirtualClock(Clock):
    """Time that stands still while anything is in flight and jumps when nothing is.

    Invariants:
        - `now` never goes backwards, and never moves while work that was announced by `working` is in flight.
        - Timers of one kind fire in the order in which they are due.
        - A `DELAY` is jumped to as soon as nothing is in flight (unless `auto` is false); an `AMBIGUOUS` timer
          only while a client is inside `awaiting_result`; a `DEADLINE` only while one is inside
          `awaiting_result(skip_deadlines=True)`.
        - `BACKGROUND` timers fire in their order when time passes them and are never jumped to.
        - A deadline that a jump passed is overdue: it can still be beaten, and fires at the next move by hand.

    Args:
        start: The time at which it starts, an aware datetime. By default the real time, since the code under
            test compares what it gets with the machine's clock.
        auto: False for a clock that moves by `advance` and `run_until_idle` alone.
    """

    def __init__(self, *, start: datetime | None = None, auto: bool = True) -> None:
        super().__init__()
        if start is not None and start.tzinfo is None:
            raise ValueError(f"start={start!r} has no time zone; pass an aware datetime, e.g. with tzinfo=UTC")
        self._now = (start or datetime.now(UTC)).astimezone(UTC)
        self._auto = auto
        self._changed = threading.Condition()
        self._timers = TimerQueue()
        self._in_flight: Counter[str] = Counter()
        self._waiting = 0
        self._skipping_deadlines = 0
        self._moved_by_hand = 0
        self._by_hand = threading.RLock()
        self._jumping = threading.local()
        self._followers: list[Callable[[datetime], None]] = []

    def now(self) -> datetime:
        """The virtual time."""
        return self._now

    def stamp(self) -> datetime:
        """See `Clock.stamp`. The clock moves along with its marks, so that no mark lies in the future."""
        stamp = super().stamp()
        with self._changed:
            if stamp > self._now:
                self._set_now(stamp)
        return stamp

    def call_at(
        self,
        when: datetime,
        callback: Callback,
        *,
        kind: TimerKind = TimerKind.DELAY,
        dispatch: Dispatch | None = None,
        label: str = "",
    ) -> Timer:
        """See `Clock.call_at`. An `auto` clock on which nothing is in flight jumps at once."""
        timer = Timer(when, callback, kind, dispatch, label)
        with self._changed:
            self._timers.push(timer)
            self._changed.notify_all()
        self._jump_while_idle()
        return timer

    def working(self, what: str) -> Work:
        """See `Clock.working`."""
        with self._changed:
            self._in_flight[what] += 1
        return CountedWork(what, self._end_work)

    @contextmanager
    def awaiting_result(self, *, skip_deadlines: bool = False) -> Iterator[None]:
        """See `Clock.awaiting_result`."""
        with self._changed:
            self._waiting += 1
            self._skipping_deadlines += skip_deadlines
        try:
            self._jump_while_idle()
            yield
        finally:
            with self._changed:
                self._waiting -= 1
                self._skipping_deadlines -= skip_deadlines

    def advance(self, delta: timedelta = timedelta(), *, timeout: float = 10.0, **units: float) -> None:
        """Move time by hand, firing every timer on the way in order, each once what came before has settled.

        Blocks the calling thread; do not call it on a loop that a timer's callback needs.

        Args:
            delta: How far.
            timeout: Real seconds to wait for work in flight.
            **units: More to go, as for `timedelta`: `days=1`, `hours=2`.

        Raises:
            ClockTimeoutError: Work in flight did not end; the message names it.
            ValueError: The sum is negative.
        """
        distance = delta + timedelta(**units)
        if distance < timedelta():
            raise ValueError(f"cannot advance by {distance}: time does not go backwards")
        patience = _Patience(timeout)
        with self._hand_on_clock():
            target = self._now + distance
            while self._step(target, EVERY_KIND, patience):
                pass
            with self._changed:
                self._set_now(max(self._now, target))

    def run_until_idle(self, *, deadlines: bool = False, timeout: float = 10.0) -> None:
        """Wait for what is in flight, jump to the next timer, and so on until neither is left.

        Args:
            deadlines: Jump to deadlines as well; nothing from outside will beat them any more.
            timeout: Real seconds for all of it.

        Raises:
            ClockTimeoutError: It did not come to rest; the message names what is in flight.
        """
        kinds = EVERY_KIND - {TimerKind.BACKGROUND} - (frozenset() if deadlines else {TimerKind.DEADLINE})
        patience = _Patience(timeout)
        with self._hand_on_clock():
            while self._step(None, kinds, patience):
                pass

    @property
    def in_flight(self) -> dict[str, int]:
        """What is in flight at this moment, with how many of each."""
        with self._changed:
            return {what: number for what, number in self._in_flight.items() if number}

    @property
    def pending(self) -> list[Timer]:
        """The timers that may still fire, in the order in which they are due."""
        with self._changed:
            return self._timers.pending()

    def freeze_python_time(self) -> AbstractContextManager[None]:
        """Make `datetime.now()` and `time.time()` of this process follow the clock inside a `with` block.

        Raises:
            ImportError: time-machine is missing; install the extra `steprig[time]`.
        """
        from steprig.kernel.python_time import following

        return following(self)

    def follow(self, follower: Callable[[datetime], None]) -> Callable[[], None]:
        """Call `follower` with every new time, quickly and without touching the clock. Returns the undoing."""
        with self._changed:
            self._followers.append(follower)
            follower(self._now)
        return lambda: self._followers.remove(follower)

    def close(self) -> None:
        """See `Clock.close`."""
        with self._changed:
            self._timers.clear()

    def _set_now(self, now: datetime) -> None:
        self._now = now
        for follower in self._followers:
            follower(now)

    def _end_work(self, what: str) -> None:
        with self._changed:
            self._in_flight[what] -= 1
            if not self._in_flight[what]:
                del self._in_flight[what]
            if self._in_flight:
                return
            self._changed.notify_all()
        self._jump_while_idle()

    def _jump_while_idle(self) -> None:
        """Jump until something is in flight again or nothing is left that may be jumped to."""
        if getattr(self._jumping, "here", False):
            return  # called from a callback that the loop below has started, and which goes on after it
        self._jumping.here = True
        try:
            while due := self._take_jump():
                _fire(due)
        finally:
            self._jumping.here = False

    def _take_jump(self) -> list[_Fired]:
        with self._changed:
            if self._in_flight or self._moved_by_hand or not self._auto:
                return []
            return self._take_next(None, self._jumpable())

    def _jumpable(self) -> frozenset[TimerKind]:
        kinds = _JUMPS_BY_ITSELF
        if self._waiting:
            kinds |= {TimerKind.AMBIGUOUS}
        if self._skipping_deadlines:
            kinds |= {TimerKind.DEADLINE}
        return kinds

    def _step(self, target: datetime | None, kinds: frozenset[TimerKind], patience: "_Patience") -> bool:
        """Once all is idle, fire what is due next up to `target`. False when there is nothing."""
        with self._changed:
            self._wait_until_idle(patience)
            due = self._take_next(target, kinds)
        _fire(due)
        return bool(due)

    def _take_next(self, until: datetime | None, kinds: frozenset[TimerKind]) -> list[_Fired]:
        """Go to the first moment at which a timer of these kinds is due, and take all that are due then.

        On the way to it background timers come first: then it goes to theirs. The timers are counted as in
        flight before the lock is released, so that nobody jumps between a timer and what follows from it.
        """
        while (moment := self._timers.earliest(kinds)) is not None:
            kinds_passed = kinds | {TimerKind.BACKGROUND}
            moment = min(moment, self._timers.earliest(kinds_passed) or moment)
            if until is not None and moment > max(until, self._now):
                return []
            self._set_now(max(self._now, moment))
            due = self._timers.pop_due(moment, kinds_passed)
            if due:
                return [(timer, self.working(timer.label)) for timer in due]
        return []

    @contextmanager
    def _hand_on_clock(self) -> Iterator[None]:
        with self._by_hand:
            with self._changed:
                self._moved_by_hand += 1
            try:
                yield
            finally:
                with self._changed:
                    self._moved_by_hand -= 1
        self._jump_while_idle()

    def _wait_until_idle(self, patience: "_Patience") -> None:
        if not self._changed.wait_for(lambda: not self._in_flight, patience.seconds_left()):
            raise ClockTimeoutError(
                f"the clock could not move: after {patience.timeout} s still in flight: "
                + ", ".join(f"{number} x {what}" for what, number in self._in_flight.items())
            )


def _fire(due: list[_Fired]) -> None:
    for timer, work in due:
        timer.fire(then=work.done)


class _Patience:
    """How long a blocking call may still wait, in real seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._end = time.monotonic() + timeout

    def seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())
