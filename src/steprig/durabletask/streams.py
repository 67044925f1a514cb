"""A worker's stream of work items."""

from collections import deque
from typing import Protocol

from steprig.durabletask.filters import Filters, Kind
from steprig.durabletask.pb import pb
from steprig.durabletask.work import Item, Key

HISTORY_STREAMING = 1
"""The capability of a worker that can ask for the past of an orchestration by itself."""

_ENOUGH = 0.75
"""The part of a limit."""


class Outlet(Protocol):
    """Where items are written."""

    @property
    def is_ready(self) -> bool:
        """True when what is written next goes out at once."""

    def send(self, message: bytes) -> None:
        """Write a message."""

    def end(self) -> None:
        """Write nothing more."""


class WorkerStream:
    """One open `GetWorkItems` call."""

    def __init__(self, number: int, request: pb.GetWorkItemsRequest, outlet: Outlet) -> None:
        self.number = number
        self.leases: dict[str, Item] = {}
        self.reserved: deque[Item] = deque()
        """Items that other workers have given back."""
        self.last_size = 0
        """Of the item that was written last, in bytes."""
        self.streams_history = HISTORY_STREAMING in request.capabilities
        self._filters = Filters(request)
        self._accepted: dict[Key, bool] = {}
        self._limits = {
            Kind.ORCHESTRATION: request.maxConcurrentOrchestrationWorkItems,
            Kind.ACTIVITY: request.maxConcurrentActivityWorkItems,
            Kind.ENTITY: request.maxConcurrentEntityWorkItems,
        }
        self._leased = dict.fromkeys(Kind, 0)
        self._outlet = outlet

    @property
    def is_ready(self) -> bool:
        """True when it can be given an item: the one before is on its way."""
        return self._outlet.is_ready

    def accepts(self, key: Key) -> bool:
        """Whether its worker takes such work at all."""
        known = self._accepted.get(key)
        if known is None:
            known = self._accepted[key] = self._filters.accept(*key)
        return known

    def may_take(self, key: Key) -> bool:
        """Whether its worker takes such work, and has room for it. A limit of 0 is none."""
        limit = self._limits[key[0]]
        return (not limit or self._leased[key[0]] < limit) and self.accepts(key)

    def has_enough_of(self, key: Key) -> bool:
        """Whether its worker has nearly as much such work as it may have. A limit of 0 is none."""
        limit = self._limits[key[0]]
        return bool(limit) and self._leased[key[0]] > limit * _ENOUGH

    def lease(self, item: Item) -> None:
        """Its worker is given an item."""
        self.leases[item.token] = item
        self._leased[item.key[0]] += 1

    def release(self, item: Item) -> None:
        """Its worker does not have the item any more."""
        del self.leases[item.token]
        self._leased[item.key[0]] -= 1

    def send(self, item: bytes) -> None:
        """Write an item."""
        self.last_size = len(item)
        self._outlet.send(item)

    def ping(self) -> None:
        """Have the worker know that the stream is alive."""
        if self.is_ready:
            self._outlet.send(_PING)

    def close(self) -> None:
        """Write nothing more."""
        self._outlet.end()


_PING: bytes = pb.WorkItem(healthPing=pb.HealthPing()).SerializeToString()
