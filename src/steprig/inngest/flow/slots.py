"""Which calls may begin: how many are in flight for a key, how often runs start, and who of those that wait is next."""

import heapq
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple

from steprig.inngest.flow.throttles import Throttle, Throttles
from steprig.kernel import Rig, Timer, TimerKind

Go = Callable[[], None]
Key = tuple[str, ...]


class Taken(NamedTuple):
    """One limit that a call falls under: the key that is counted, and how many it admits."""

    key: Key
    limit: int


Limits = tuple[Taken, ...]


class Row(NamedTuple):
    """What calls fall under that wait in one row."""

    limits: Limits
    throttle: Throttle | None

    @property
    def keys(self) -> set[Key]:
        """Where the row is looked for."""
        return _keys(self.limits) | (set() if self.throttle is None else {_throttle_key(self.throttle)})


_OPEN = Row((), None)


class _Waiting(NamedTuple):
    score: float
    number: int
    go: Go
    is_wanted: Callable[[], bool]


class Slots:
    """Hands out places. A call takes one under each of its limits and its turn in its throttle, all of them or none.

    Those that wait come in the order of their score, the lowest first, ties in the order in which they asked. One
    whose limits are exhausted, or whose throttle is, does not hold up those behind it that fall under others.
    """

    def __init__(self, rig: Rig) -> None:
        self.throttles = Throttles()
        self._rig = rig
        self._taken: Counter[Key] = Counter()
        self._rows: dict[Row, list[_Waiting]] = {}
        self._rows_under: dict[Key, set[Row]] = {}
        self._timers: dict[Key, Timer] = {}
        self._numbers = count()

    def ask(self, row: Row, score: float, go: Go, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Call `go` as soon as there is a place under each limit and the throttle allows it, maybe at once.

        One that is wanted no more takes no place and no turn. `look_again` says when that may be so.
        """
        if row == _OPEN:
            go()
            return
        heapq.heappush(self._rows.setdefault(row, []), _Waiting(score, next(self._numbers), go, is_wanted))
        for key in row.keys:
            self._rows_under.setdefault(key, set()).add(row)
        self._hand_out({row})

    def look_again(self, row: Row) -> None:
        """Forget those who come next in a row and are wanted no more."""
        if row in self._rows:
            self._drop_unwanted(row)

    def give_back(self, limits: Limits) -> None:
        """A call is over; whoever can go now goes."""
        keys = _keys(limits)
        for key in keys:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
        self._hand_out({row for key in keys for row in self._rows_under.get(key, ())})

    def stop(self) -> None:
        """Drop every timer."""
        for timer in self._timers.values():
            timer.cancel()

    def _hand_out(self, rows: set[Row]) -> None:
        """Let in as many as there are places for, of those that stand in these rows."""
        now = self._rig.clock.now()
        while with_room := [row for row in rows if row in self._rows and self._has_room(row)]:
            open_rows = [row for row in with_room if row.throttle is None or self.throttles.is_open(row.throttle, now)]
            if not open_rows:
                break
            first = min(open_rows, key=lambda row: self._rows[row][0][:2])
            _, _, go, _ = heapq.heappop(self._rows[first])
            self._taken.update(_keys(first.limits))
            if first.throttle is not None:
                self.throttles.take(first.throttle, now)
            self._drop_unwanted(first)
            go()
        for row in with_room:
            if row.throttle is not None:
                self._wait_for(row.throttle)

    def _has_room(self, row: Row) -> bool:
        return all(self._taken[limit.key] < limit.limit for limit in row.limits)

    def _wait_for(self, throttle: Throttle) -> None:
        key = _throttle_key(throttle)
        if key not in self._timers:
            when, label = self.throttles.opens_at(throttle, self._rig.clock.now()), f"throttle of {throttle.place[0]}"
            self._timers[key] = self._rig.call_at(
                when, partial(self._has_opened, key), kind=TimerKind.DELAY, label=label
            )

    def _has_opened(self, key: Key) -> None:
        del self._timers[key]
        self._hand_out(set(self._rows_under[key]))

    def _drop_unwanted(self, row: Row) -> None:
        """And the row, when it is empty."""
        queue = self._rows[row]
        while queue and not queue[0].is_wanted():
            heapq.heappop(queue)
        if queue:
            return
        del self._rows[row]
        for key in row.keys:
            rows = self._rows_under[key]
            rows.discard(row)
            if not rows:
                del self._rows_under[key]
                if (timer := self._timers.pop(key, None)) is not None:
                    timer.cancel()


def _keys(limits: Limits) -> set[Key]:
    """What a call is counted under: once where two of its limits have come to the same key."""
    return {limit.key for limit in limits}


def _throttle_key(throttle: Throttle) -> Key:
    return ("throttle", *throttle.place)
