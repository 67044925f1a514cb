"""Timers: what happens later, and which kind of later it is."""

import heapq
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count

_log = logging.getLogger(__name__)

Callback = Callable[[], None]
Dispatch = Callable[[Callback], object]
"""Hands a callback to the thread or loop that has to run it, such as `loop.call_soon_threadsafe`."""


class TimerKind(StrEnum):
    """Why a timer exists, which decides when a `VirtualClock` may jump to it."""

    DELAY = "delay"
    """The platform will do this by itself: a sleep, a retry backoff, a debounce. Jumped to when all is idle."""

    DEADLINE = "deadline"
    """A timeout that something from outside may still beat. Fires only when a test moves the clock or says so."""

    AMBIGUOUS = "ambiguous"
    """A sleep or a timeout, the wire does not say. Jumped to only while a client waits for a result."""

    BACKGROUND = "background"
    """Happens along the way: a cron tick, a limit on a run. Fires when time passes it, and never moves time."""


EVERY_KIND = frozenset(TimerKind)


def _nothing() -> None:
    """What a cancelled timer calls."""


class Timer:
    """One callback at one moment. Made by `Clock.call_at`; cancelling it twice, or late, does nothing.

    Raises:
        ValueError: `when` has no time zone.
    """

    __slots__ = ("_cancelled", "callback", "dispatch", "kind", "label", "when")

    def __init__(
        self, when: datetime, callback: Callback, kind: TimerKind, dispatch: Dispatch | None, label: str
    ) -> None:
        if when.tzinfo is None:
            raise ValueError(f"when={when!r} has no time zone; pass an aware datetime, e.g. with tzinfo=UTC")
        # Two datetimes of one zone compare by what its clocks show, which an hour of the autumn shows twice.
        self.when = when.astimezone(UTC)
        self.callback = callback
        self.kind = kind
        self.dispatch = dispatch
        self.label = label or kind.value
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """True from `cancel` on: the callback will not be started any more."""
        return self._cancelled

    def cancel(self) -> None:
        """Forget the callback. From any thread; one that another thread is just starting is not interrupted."""
        self._cancelled = True
        self.callback = _nothing  # the timer may wait long in its queue yet; what the callback holds need not

    def fire(self, then: Callback | None = None) -> None:
        """Run the callback where it asked to be run, unless cancelled by then; `then` follows in any case.

        What the callback raises is logged: the thread that happens to move the clock has no part in it.
        """
        firing = _Firing(self, then)
        try:
            if self.dispatch is None:
                firing()
            else:
                self.dispatch(firing)
        except Exception as error:  # noqa: BLE001 - one caller's fault must not end the timers of all others
            firing.end_unstarted(error)

    def __repr__(self) -> str:
        return f"<Timer {self.label} ({self.kind}) at {self.when.isoformat()}>"


class _Firing:
    """The one start of a timer's callback."""

    __slots__ = ("_started", "_then", "_timer")

    def __init__(self, timer: Timer, then: Callback | None) -> None:
        self._timer = timer
        self._then = then
        self._started = False

    def __call__(self) -> None:
        self._started = True
        try:
            self._timer.callback()
        finally:
            self._end()

    def end_unstarted(self, error: Exception) -> None:
        """Give up after an error of the callback, or of the dispatch, which then never starts it."""
        if self._started:
            _log.error("the callback of %r failed", self._timer, exc_info=error)
            return
        if isinstance(error, RuntimeError):
            # The loop that asked is closed: nobody is left for whom the callback could matter.
            _log.debug("%r fired for nobody: %s", self._timer, error)
        else:
            _log.error("%r could not be dispatched", self._timer, exc_info=error)
        self._end()

    def _end(self) -> None:
        if self._then is not None:
            self._then()


_FEW = 64


class TimerQueue:
    """Timers in the order in which they are due, ties in the order in which they were made. Not thread-safe."""

    def __init__(self) -> None:
        self._order = count()
        self._heaps: dict[TimerKind, list[tuple[datetime, int, Timer]]] = {kind: [] for kind in TimerKind}
        self._sweep_at = dict.fromkeys(TimerKind, _FEW)

    def push(self, timer: Timer) -> None:
        """Add a timer."""
        heap = self._heaps[timer.kind]
        if len(heap) >= self._sweep_at[timer.kind]:
            self._sweep(timer.kind)
        heapq.heappush(heap, (timer.when, next(self._order), timer))

    def earliest(self, kinds: Collection[TimerKind]) -> datetime | None:
        """When the first timer of these kinds is due, or None when there is none."""
        earliest: datetime | None = None
        for kind in kinds:
            heap = self._heaps[kind]
            while heap and heap[0][2].cancelled:
                heapq.heappop(heap)
            if heap and (earliest is None or heap[0][0] < earliest):
                earliest = heap[0][0]
        return earliest

    def pop_due(self, until: datetime, kinds: Collection[TimerKind]) -> list[Timer]:
        """Take out every timer of these kinds that is due at or before `until`, in order."""
        due: list[tuple[datetime, int, Timer]] = []
        for kind in kinds:
            heap = self._heaps[kind]
            while heap and heap[0][0] <= until:
                due.append(heapq.heappop(heap))
        return [timer for _, _, timer in sorted(due, key=lambda entry: entry[:2]) if not timer.cancelled]

    def pending(self) -> list[Timer]:
        """Every timer that may still fire, in order."""
        entries = (entry for heap in self._heaps.values() for entry in heap)
        return [timer for _, _, timer in sorted(entries, key=lambda entry: entry[:2]) if not timer.cancelled]

    def clear(self) -> None:
        """Drop every timer."""
        for heap in self._heaps.values():
            heap.clear()

    def _sweep(self, kind: TimerKind) -> None:
        """Forget the cancelled ones, so that timeouts that are set and beaten do not pile up until they are due."""
        heap = self._heaps[kind]
        heap[:] = [entry for entry in heap if not entry[2].cancelled]
        heapq.heapify(heap)
        self._sweep_at[kind] = max(_FEW, 2 * len(heap))
