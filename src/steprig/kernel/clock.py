"""The clock that every platform tells time by, and the one that follows the wall."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from steprig.kernel.timers import EVERY_KIND, Callback, Dispatch, Timer, TimerKind, TimerQueue

TICK = timedelta(microseconds=1)
_LONGEST_WAIT = 1.0
_SHORTEST_WAIT = 0.0001


class Work:
    """Something in flight. While any is, a `VirtualClock` stands still. End it with `done` or a `with` block."""

    __slots__ = ()

    def done(self) -> None:
        """The work has ended, and all that follows from it is in flight or on the clock already. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()


class Clock(ABC):
    """Tells the time and calls back at a given time. Every method may be called from any thread.

    Times are aware datetimes in UTC, to the microsecond.
    """

    def __init__(self) -> None:
        self._stamp_lock = threading.Lock()
        self._last_stamp = datetime.min.replace(tzinfo=UTC)

    @abstractmethod
    def now(self) -> datetime:
        """The time. Never goes backwards on a `VirtualClock`."""

    @abstractmethod
    def call_at(
        self,
        when: datetime,
        callback: Callback,
        *,
        kind: TimerKind = TimerKind.DELAY,
        dispatch: Dispatch | None = None,
        label: str = "",
    ) -> Timer:
        """Call `callback` once, at `when` or as soon after it as can be; at once when that is past.

        Args:
            when: An aware datetime.
            callback: Takes no arguments. Quick; long work belongs on a loop or thread of its own. An exception
                is logged and does no more.
            kind: Why the timer exists; see `TimerKind`.
            dispatch: Runs the callback elsewhere, e.g. `loop.call_soon_threadsafe`. Without it the callback
                runs on the thread that moves the clock, maybe before this call returns.
            label: What the timer is for, for messages: "sleep until ...".

        Returns:
            The timer, which can be cancelled.

        Raises:
            RuntimeError: The clock is closed.
            ValueError: `when` has no time zone.
        """

    @abstractmethod
    def working(self, what: str) -> Work:
        """Count something as in flight until `Work.done`. `what` names it in messages: "call of my-fn"."""

    @abstractmethod
    def awaiting_result(self, *, skip_deadlines: bool = False) -> AbstractContextManager[None]:
        """Say that a client is blocked until a result is there, and will do nothing else before.

        Args:
            skip_deadlines: The client also says that nothing from outside will beat a pending deadline.
        """

    @abstractmethod
    def close(self) -> None:
        """Drop every timer and end what the clock runs. Idempotent."""

    def call_later(
        self,
        delay: timedelta,
        callback: Callback,
        *,
        kind: TimerKind = TimerKind.DELAY,
        dispatch: Dispatch | None = None,
        label: str = "",
    ) -> Timer:
        """`call_at` for a time relative to `now`."""
        return self.call_at(self.now() + delay, callback, kind=kind, dispatch=dispatch, label=label)

    def stamp(self) -> datetime:
        """The time as a mark that differs from every mark before it: strictly increasing.

        SDKs derive ids from the timestamps they are given, so two must not be equal even while time stands.
        """
        with self._stamp_lock:
            self._last_stamp = max(self.now(), self._last_stamp + TICK)
            return self._last_stamp

    def ahead(self) -> timedelta:
        """How far it is ahead of the machine's clock, by which the code under test tells the time unless frozen."""
        return timedelta()

    def go_on_from(self, moment: datetime) -> None:  # noqa: B027 - nothing to do for a clock that nobody can move
        """Let time go on from a moment that has been recorded, if it has not come that far yet and can be moved."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RealClock(Clock):
    """Wall-clock time. Timers fire from one thread, started with the first timer and ended by `close`.

    When the wall clock is set anew, or the machine was asleep, a timer that this made due fires within a second.
    """

    _uncounted = Work()

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._timers = TimerQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def now(self) -> datetime:
        """The wall-clock time."""
        return datetime.now(UTC)

    def call_at(
        self,
        when: datetime,
        callback: Callback,
        *,
        kind: TimerKind = TimerKind.DELAY,
        dispatch: Dispatch | None = None,
        label: str = "",
    ) -> Timer:
        """See `Clock.call_at`."""
        timer = Timer(when, callback, kind, dispatch, label)
        with self._changed:
            if self._closed:
                raise RuntimeError(f"cannot set {timer!r}: the clock is closed")
            self._timers.push(timer)
            self._ensure_thread()
            self._changed.notify()
        return timer

    def working(self, what: str) -> Work:
        """See `Clock.working`; real time passes all the same, so nothing is counted."""
        return self._uncounted

    @contextmanager
    def awaiting_result(self, *, skip_deadlines: bool = False) -> Iterator[None]:
        """See `Clock.awaiting_result`; real time passes all the same."""
        yield

    def close(self) -> None:
        """See `Clock.close`. Joins the timer thread, unless called from it."""
        with self._changed:
            self._closed = True
            self._timers.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="steprig-clock", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (due := self._wait_for_due()) is not None:
            for timer in due:
                if self._closed:
                    return
                timer.fire()

    def _wait_for_due(self) -> list[Timer] | None:
        with self._changed:
            while not self._closed:
                if due := self._timers.pop_due(self.now(), EVERY_KIND):
                    return due
                self._changed.wait(self._seconds_to_next())
            return None

    def _seconds_to_next(self) -> float | None:
        when = self._timers.earliest(EVERY_KIND)
        if when is None:
            return None
        # Waiting goes by the monotonic clock, which does not notice that the wall clock is set, so look at times.
        # And wall time may stand, frozen by a test, just before a timer: look not too often.
        return min(max(_SHORTEST_WAIT, (when - self.now()).total_seconds()), _LONGEST_WAIT)
