"""A worker's stream of work items."""

import asyncio
from collections import deque
from collections.abc import Callable

from steprig.durabletask.filters import Filters, Kind
from steprig.durabletask.pb import pb
from steprig.durabletask.work import Item, Key

HISTORY_STREAMING = 1
"""The capability of a worker that can ask for the past of an orchestration by itself."""


class WorkerStream:
    """One open `GetWorkItems` call. It pulls the next item whenever the one before is written."""

    def __init__(self, number: int, request: pb.GetWorkItemsRequest) -> None:
        self.number = number
        self.leases: dict[str, Item] = {}
        self.reserved: deque[Item] = deque()
        """Items that other workers have given back."""
        self.pings = 0
        """How many health pings it is to be sent."""
        self.last_size = 0
        """Of the item that was written last, in bytes."""
        self.is_closed = False
        self.streams_history = HISTORY_STREAMING in request.capabilities
        self._filters = Filters(request)
        self._accepted: dict[Key, bool] = {}
        self._limits = {
            Kind.ORCHESTRATION: request.maxConcurrentOrchestrationWorkItems,
            Kind.ACTIVITY: request.maxConcurrentActivityWorkItems,
            Kind.ENTITY: request.maxConcurrentEntityWorkItems,
        }
        self._leased = dict.fromkeys(Kind, 0)
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """True while it waits for something to write."""
        return self._waiting is not None

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

    def lease(self, item: Item) -> None:
        """Its worker is given an item."""
        self.leases[item.token] = item
        self._leased[item.key[0]] += 1

    def release(self, item: Item) -> None:
        """Its worker does not have the item any more."""
        if self.leases.pop(item.token, None) is not None:
            self._leased[item.key[0]] -= 1

    async def next(self, take: Callable[["WorkerStream"], bytes | None]) -> bytes | None:
        """What to write next, as soon as there is something; None once it is closed."""
        while not self.is_closed:
            if self.pings:
                self.pings -= 1
                return _PING
            if (item := take(self)) is not None:
                self.last_size = len(item)
                return item
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return None

    def wake(self) -> None:
        """Have it look whether there is something to write."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
            self._waiting = None

    def close(self) -> None:
        """Write nothing more."""
        self.is_closed = True
        self.wake()


_PING: bytes = pb.WorkItem(healthPing=pb.HealthPing()).SerializeToString()
