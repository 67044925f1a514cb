"""Concurrency: how many calls may be in flight for a key, and which of those that wait comes next."""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

Go = Callable[[], None]


class Taken(NamedTuple):
    """One limit that a call falls under: the key that is counted, and how many it admits."""

    key: tuple[str, ...]
    limit: int


Limits = tuple[Taken, ...]


class Slots:
    """Hands out places. A call takes one under each of its limits, all of them or none.

    Those that wait come in the order of their score, the lowest first, ties in the order in which they asked. One
    whose limits are exhausted does not hold up those behind it that fall under others.
    """

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._rows: dict[Limits, list[tuple[float, int, Go]]] = {}
        self._rows_under: dict[tuple[str, ...], set[Limits]] = {}
        self._order = count()

    def ask(self, limits: Limits, score: float, go: Go) -> None:
        """Call `go` as soon as there is a place under each limit, maybe at once."""
        if not limits:
            go()
            return
        heapq.heappush(self._rows.setdefault(limits, []), (score, next(self._order), go))
        for key in _keys(limits):
            self._rows_under.setdefault(key, set()).add(limits)
        self._hand_out({limits})

    def give_back(self, limits: Limits) -> None:
        """A call is over; whoever can go now goes."""
        keys = _keys(limits)
        for key in keys:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
        self._hand_out({row for key in keys for row in self._rows_under.get(key, ())})

    def _hand_out(self, rows: set[Limits]) -> None:
        """Let in as many as there are places for, of those that stand in these rows."""
        while open_rows := [row for row in rows if row in self._rows and self._has_room(row)]:
            first = min(open_rows, key=lambda row: self._rows[row][0][:2])
            _, _, go = heapq.heappop(self._rows[first])
            self._taken.update(_keys(first))
            if not self._rows[first]:
                self._close(first)
            go()

    def _has_room(self, limits: Limits) -> bool:
        return all(self._taken[limit.key] < limit.limit for limit in limits)

    def _close(self, row: Limits) -> None:
        del self._rows[row]
        for key in _keys(row):
            rows = self._rows_under[key]
            rows.discard(row)
            if not rows:
                del self._rows_under[key]


def _keys(limits: Limits) -> set[tuple[str, ...]]:
    """What a call is counted under: once where two of its limits have come to the same key."""
    return {limit.key for limit in limits}
