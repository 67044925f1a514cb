"""A clock that skips waits: it jumps to the next timer as soon as nothing is in flight."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

from steprig.errors import SteprigError
from steprig.kernel.clock import TICK, Clock, Work
from steprig.kernel.timers import EVERY_KIND, Callback, Dispatch, Timer, TimerKind, TimerQueue

_BACKGROUND = frozenset({TimerKind.BACKGROUND})

_Due = list[tuple[Timer, Work]]


class ClockTimeoutError(SteprigError, TimeoutError):
    """The clock could not come to rest in time. The message says what kept it."""


class CountedWork(Work):
    """Work that a `VirtualClock` waits for."""

    __slots__ = ("_end", "what")

    def __init__(self, what: str, end: "Callable[[CountedWork], None]") -> None:
        self.what = what
        self._end = end

    def done(self) -> None:
        """See `Work.done`."""
        self._end(self)


class _ThisThread(threading.local):
    fires = False
    """True while this thread runs callbacks of timers that have come due."""


class VirtualClock(Clock):
    """Time that stands still while anything is in flight and jumps when nothing is.

    Invariants:
        - `now` never goes backwards, and no timer fires, and time does not move but for the microseconds of `stamp`,
          while work that was announced by `working` is in flight. A timer that is set for a time that is past
          waits for that, too.
        - Timers of one kind fire in the order in which they are due. Those that are due at one moment are started
          one after the other without waiting for what follows from each.
        - A `DELAY` is jumped to as soon as nothing is in flight (unless `auto` is false); an `AMBIGUOUS` timer
          only while a client is inside `awaiting_result`; a `DEADLINE` only while one is inside
          `awaiting_result(skip_deadlines=True)`.
        - `BACKGROUND` timers fire in their order when time passes them and are never jumped to.
        - A `DEADLINE` or `AMBIGUOUS` timer that a jump passed is overdue: it can still be beaten, and fires at the
          next move by hand that may fire it, or once a client waits in the way that lets time jump to it.

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
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._timers = TimerQueue()
        self._in_flight: dict[CountedWork, None] = {}
        self._waiting = 0
        self._skipping_deadlines = 0
        self._jumpable = self._kinds_to_jump_to()
        self._hand = threading.Lock()
        self._moved_by_hand = False
        self._this_thread = _ThisThread()
        self._followers: tuple[Callable[[datetime], None], ...] = ()
        self._closed = False

    def now(self) -> datetime:
        """The virtual time."""
        return self._now

    def stamp(self) -> datetime:
        """See `Clock.stamp`. The clock moves along with its marks, so that no mark lies in the future."""
        with self._lock:
            self._last_stamp = max(self._now, self._last_stamp + TICK)
            self._set_now(self._last_stamp)
            return self._last_stamp

    def ahead(self) -> timedelta:
        """See `Clock.ahead`. Negative where the machine's clock has overtaken it."""
        return self._now - datetime.now(UTC)

    def go_on_from(self, moment: datetime) -> None:
        """See `Clock.go_on_from`. For a clock on which nothing is set yet: it fires no timer."""
        with self._lock:
            if moment > self._now:
                self._set_now(moment)

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
        with self._lock:
            if self._closed:
                raise RuntimeError(f"cannot set {timer!r}: the clock is closed")
            self._timers.push(timer)
        self._jump_while_idle()
        return timer

    def working(self, what: str) -> Work:
        """See `Clock.working`."""
        work = CountedWork(what, self._end_work)
        with self._lock:
            self._in_flight[work] = None
        return work

    @contextmanager
    def awaiting_result(self, *, skip_deadlines: bool = False) -> Iterator[None]:
        """See `Clock.awaiting_result`."""
        self._count_clients(+1, skip_deadlines)
        try:
            self._jump_while_idle()
            yield
        finally:
            self._count_clients(-1, skip_deadlines)

    def advance(self, delta: timedelta = timedelta(), *, timeout: float = 10.0, **units: float) -> None:
        """Move time by hand, firing every timer on the way in order, each once what came before has settled.

        Blocks the calling thread; do not call it on a loop that a timer's callback needs.

        Args:
            delta: How far.
            timeout: Real seconds that each moment on the way may take to settle.
            **units: More to go, as for `timedelta`: `days=1`, `hours=2`.

        Raises:
            ClockTimeoutError: Work in flight did not end; the message names it.
            RuntimeError: Called by a timer's callback.
            ValueError: The sum is negative.
        """
        distance = delta + timedelta(**units)
        if distance < timedelta():
            raise ValueError(f"cannot advance by {distance}: time does not go backwards")
        patience = _Patience(timeout)
        with self._hand_on_clock(patience):
            target = self._now + distance
            before = self._now
            while self._step(target, EVERY_KIND, patience):
                if self._now > before:
                    before = self._now
                    patience.restart()

    def run_until_idle(self, *, deadlines: bool = False, timeout: float = 10.0) -> None:
        """Wait for what is in flight, jump to the next timer, and so on until neither is left.

        Args:
            deadlines: Jump to deadlines as well; nothing from outside will beat them any more.
            timeout: Real seconds for all of it.

        Raises:
            ClockTimeoutError: It did not come to rest; the message names what is in flight or goes on and on.
            RuntimeError: Called by a timer's callback.
        """
        kinds = EVERY_KIND - {TimerKind.BACKGROUND} - (frozenset() if deadlines else {TimerKind.DEADLINE})
        patience = _Patience(timeout)
        with self._hand_on_clock(patience):
            while self._step(None, kinds, patience):
                pass

    @property
    def in_flight(self) -> dict[str, int]:
        """What is in flight at this moment, with how many of each."""
        with self._lock:
            return Counter(work.what for work in self._in_flight)

    @property
    def pending(self) -> list[Timer]:
        """The timers that may still fire, in the order in which they are due."""
        with self._lock:
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
        with self._lock:
            follower(self._now)
            self._followers += (follower,)
        return lambda: self._unfollow(follower)

    def close(self) -> None:
        """See `Clock.close`. Work in flight may still end; no timer can be set any more."""
        with self._lock:
            self._closed = True
            self._timers.clear()

    def _unfollow(self, follower: Callable[[datetime], None]) -> None:
        with self._lock:
            self._followers = tuple(known for known in self._followers if known is not follower)

    def _set_now(self, now: datetime) -> None:
        """Move to `now` unless it is later already."""
        if now > self._now:
            self._now = now
            for follower in self._followers:
                follower(now)

    def _count_clients(self, number: int, skip_deadlines: bool) -> None:
        with self._lock:
            self._waiting += number
            self._skipping_deadlines += number * skip_deadlines
            self._jumpable = self._kinds_to_jump_to()

    def _kinds_to_jump_to(self) -> frozenset[TimerKind]:
        kinds = {TimerKind.DELAY}
        if self._waiting:
            kinds.add(TimerKind.AMBIGUOUS)
        if self._skipping_deadlines:
            kinds.add(TimerKind.DEADLINE)
        return frozenset(kinds)

    def _end_work(self, work: CountedWork) -> None:
        with self._lock:
            if work not in self._in_flight:
                return
            del self._in_flight[work]
            if self._in_flight:
                return
            if self._moved_by_hand:
                self._idle.notify_all()
                return
        self._jump_while_idle()

    def _jump_while_idle(self) -> None:
        """Jump until something is in flight again or nothing is left that may be jumped to."""
        if self._this_thread.fires:
            return  # called from a callback that the loop below has started, and which goes on after it
        while due := self._take_jump():
            self._fire(due)

    def _take_jump(self) -> _Due:
        with self._lock:
            if self._in_flight or self._moved_by_hand or not self._auto:
                return []
            return self._take_next(None, self._jumpable)

    def _step(self, target: datetime | None, kinds: frozenset[TimerKind], patience: "_Patience") -> bool:
        """Once all is idle, fire what is due next up to `target`, or else go there. False when nothing was due."""
        with self._lock:
            self._wait_until_idle(patience)
            self._check_patience(target, kinds, patience)
            due = self._take_next(target, kinds)
            if not due and target is not None:
                self._set_now(target)
        self._fire(due)
        return bool(due)

    def _take_next(self, until: datetime | None, kinds: frozenset[TimerKind]) -> _Due:
        """Go to the first moment at which a timer of these kinds is due, and take all that are due then.

        On the way to it background timers come first: then it goes to theirs. The timers are counted as in
        flight before the lock is released, so that nobody jumps between a timer and what follows from it.
        """
        while (moment := self._next_moment(until, kinds)) is not None:
            self._set_now(moment)
            due = self._timers.pop_due(moment, kinds | _BACKGROUND)
            if due:  # else it was cancelled just now
                return [(timer, self.working(timer.label)) for timer in due]
        return []

    def _next_moment(self, until: datetime | None, kinds: frozenset[TimerKind]) -> datetime | None:
        moment = self._timers.earliest(kinds)
        background = self._timers.earliest(_BACKGROUND)
        if background is not None and background <= (moment or self._now):
            moment = background
        if moment is not None and until is not None and moment > max(until, self._now):
            return None
        return moment

    def _fire(self, due: _Due) -> None:
        """Start each. A KeyboardInterrupt in one comes through after the others were started."""
        left = iter(due)
        self._this_thread.fires = True
        try:
            for timer, work in left:
                timer.fire(then=work.done)
        finally:
            self._this_thread.fires = False
            if rest := list(left):
                self._fire(rest)

    @contextmanager
    def _hand_on_clock(self, patience: "_Patience") -> Iterator[None]:
        if self._this_thread.fires:
            raise RuntimeError("a timer's callback cannot move the clock, which waits for the callback to end")
        if not self._hand.acquire(timeout=patience.seconds_left()):
            raise ClockTimeoutError(
                f"the clock could not move: after {patience.timeout} s another thread was still moving it"
            )
        try:
            with self._lock:
                self._moved_by_hand = True
            try:
                yield
            finally:
                with self._lock:
                    self._moved_by_hand = False
        finally:
            self._hand.release()
            self._jump_while_idle()  # whoever ended the last work left this to the hand on the clock

    def _wait_until_idle(self, patience: "_Patience") -> None:
        if not self._idle.wait_for(lambda: not self._in_flight, patience.seconds_left()):
            raise ClockTimeoutError(
                f"the clock could not move: after {patience.timeout} s still in flight: "
                + ", ".join(f"{number} x {what}" for what, number in self.in_flight.items())
                + _hint_for_loops()
            )

    def _check_patience(self, target: datetime | None, kinds: frozenset[TimerKind], patience: "_Patience") -> None:
        if patience.seconds_left() > 0 or (moment := self._next_moment(target, kinds)) is None:
            return
        coming = ", ".join(repr(timer) for timer in self._timers.pending() if timer.when == moment)
        raise ClockTimeoutError(
            f"the clock did not come to rest within {patience.timeout} s: timers follow from timers; "
            f"at {self._now.isoformat()} the next is {coming}"
        )


def _hint_for_loops() -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ""
    return (
        "; the clock was moved on the thread of an event loop, which stood still meanwhile: "
        "use `await asyncio.to_thread(clock.advance, ...)`"
    )


class _Patience:
    """How long a blocking call may still wait, in real seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.restart()

    def restart(self) -> None:
        self._end = time.monotonic() + self.timeout

    def seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())
