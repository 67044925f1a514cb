"""A piece of work for a worker, and the queue in which it waits."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count

from steprig.durabletask.filters import Kind
from steprig.kernel import Work

Key = tuple[Kind, str, str | None]
"""What decides who may take it: kind, name and version."""


class Item(ABC):
    """A piece of work. It is queued, leased by a worker, at rest for a while, or over."""

    __slots__ = ("attempts", "deaths", "is_over", "is_queued", "key", "order", "refused_by", "token", "work")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.order = 0
        """Its place among all."""
        self.token = ""
        """By which a worker answers; the one of the last lease."""
        self.work: Work | None = None
        """Held while it is in flight."""
        self.is_queued = False
        self.is_over = False
        self.attempts = 0
        """How often workers gave it back."""
        self.refused_by: frozenset[int] = frozenset()
        """The streams whose workers did."""
        self.deaths = 0
        """How many streams broke as they were sent it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is, for messages: "turn of my-orchestration"."""

    @abstractmethod
    def write(self, token: str, *, streams_history: bool) -> bytes | None:
        """The encoded `WorkItem`, with all that is known at this moment. None when there is nothing to do any more.

        Args:
            token: By which the worker is to answer.
            streams_history: The worker can ask for the past of an orchestration by itself.
        """

    def finish(self) -> None:
        """All that follows from it is in flight, or on the clock."""
        self.is_over = True
        self.pause()

    def pause(self) -> None:
        """It is not in flight."""
        if self.work is not None:
            self.work.done()
            self.work = None

    @abstractmethod
    def give_up(self, reason: str) -> None:
        """No worker can be sent it."""


class Backlog:
    """The queued items, first come first served, found by who may take them."""

    def __init__(self) -> None:
        self._next = count()
        self._groups: dict[Key, list[tuple[int, Item]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Item]:
        for group in self._groups.values():
            for _, item in group:
                if item.is_queued:
                    yield item

    def add(self, item: Item) -> None:
        """Queue an item: at the end, or in its old place if it was queued before."""
        item.order = item.order or next(self._next) + 1
        item.is_queued = True
        self._size += 1
        heapq.heappush(self._groups.setdefault(item.key, []), (item.order, item))

    def remove(self, item: Item) -> None:
        """Forget an item."""
        if item.is_queued:
            item.is_queued = False
            self._size -= 1
            self._trim(item.key)

    def pop(self, may_take: Callable[[Key], bool]) -> Item | None:
        """Take out the first item that may be taken."""
        if not self._size:
            return None
        first: list[tuple[int, Item]] | None = None
        for key, group in self._groups.items():
            if (first is None or group[0][0] < first[0][0]) and may_take(key):
                first = group
        if first is None:
            return None
        item = first[0][1]
        self.remove(item)
        return item

    def _trim(self, key: Key) -> None:
        """Keep at the head of the group one that is queued."""
        group = self._groups[key]
        while group and not group[0][1].is_queued:
            heapq.heappop(group)
        if not group:
            del self._groups[key]
