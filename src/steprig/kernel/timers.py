"""Timers: what happens later, and which kind of later it is."""

import heapq
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from enum import StrEnum
from itertools import count

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


class Timer:
    """One callback at one moment. Made by `Clock.call_at`; cancelling it twice, or late, does nothing."""

    __slots__ = ("_cancelled", "callback", "dispatch", "kind", "label", "when")

    def __init__(
        self, when: datetime, callback: Callback, kind: TimerKind, dispatch: Dispatch | None, label: str
    ) -> None:
        self.when = when
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
        """Forget the callback. From any thread; a callback that has been started is not interrupted."""
        self._cancelled = True

    def fire(self, then: Callback | None = None) -> None:
        """Run the callback where it asked to be run, unless cancelled by then; `then` follows in any case."""

        def run() -> None:
            try:
                if not self._cancelled:
                    self.callback()
            finally:
                if then is not None:
                    then()

        if self.dispatch is None:
            run()
            return
        try:
            self.dispatch(run)
        except RuntimeError:
            # The loop that asked is closed: nobody is left for whom the callback could matter.
            if then is not None:
                then()

    def __repr__(self) -> str:
        return f"<Timer {self.label} ({self.kind}) at {self.when.isoformat()}>"


class TimerQueue:
    """Timers in the order in which they are due, ties in the order in which they were made. Not thread-safe."""

    def __init__(self) -> None:
        self._order = count()
        self._heaps: dict[TimerKind, list[tuple[datetime, int, Timer]]] = {kind: [] for kind in TimerKind}

    def push(self, timer: Timer) -> None:
        """Add a timer."""
        heapq.heappush(self._heaps[timer.kind], (timer.when, next(self._order), timer))

    def earliest(self, kinds: Collection[TimerKind]) -> datetime | None:
        """When the first timer of these kinds is due, or None when there is none."""
        heads = [heap[0][0] for heap in self._live_heaps(kinds)]
        return min(heads, default=None)

    def pop_due(self, until: datetime, kinds: Collection[TimerKind]) -> list[Timer]:
        """Take out every timer of these kinds that is due at or before `until`, in order."""
        due: list[tuple[datetime, int, Timer]] = []
        for heap in self._live_heaps(kinds):
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

    def _live_heaps(self, kinds: Collection[TimerKind]) -> Iterator[list[tuple[datetime, int, Timer]]]:
        for kind in kinds:
            heap = self._heaps[kind]
            while heap and heap[0][2].cancelled:
                heapq.heappop(heap)
            if heap:
                yield heap
