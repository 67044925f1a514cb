"""Who gets which piece of work. Everything here runs on the rig's loop, and no step of it awaits."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from itertools import count

from steprig.durabletask.pb import pb
from steprig.durabletask.streams import Outlet, WorkerStream
from steprig.durabletask.work import Backlog, Item
from steprig.kernel import Clock

_log = logging.getLogger(__name__)

LEASE_GRACE = 2.0
"""Real seconds that a worker whose stream has ended has to answer to what it took: one that stops does."""

PING_INTERVAL = 30.0
"""Real seconds between health pings: a worker takes a stream for dead that was silent for 120 s."""

FIRST_REST, LONGEST_REST = 1.0, 30.0
"""Real seconds for which an item rests that every worker gave back; doubled each time."""

_BURST = 16
"""How many items each worker is given at most before others get their turn at the loop."""

_REFILL = 0.002
"""Real seconds for which a worker that has enough to do is not given what it has room for: items that come together
cost it less."""

LARGE_ITEM = 4 * 1024 * 1024 - 1024
"""Bytes above which an item may be more than a worker's channel takes: gRPC's default, less a little."""


class Dispatcher:
    """Hands items out: each to one worker at a time, first come first served, evenly among the workers.

    Args:
        clock: Stands still while an item is leased, or queued for a worker that is connected.
        workers_changed: Called when a stream was opened or has ended.
        lease_grace: See `LEASE_GRACE`.
    """

    def __init__(self, clock: Clock, workers_changed: Callable[[], None], *, lease_grace: float = LEASE_GRACE) -> None:
        self._clock = clock
        self._workers_changed = workers_changed
        self._lease_grace = lease_grace
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog()
        self._streams: dict[int, WorkerStream] = {}
        self._leases: dict[str, tuple[Item, WorkerStream | None]] = {}
        """By token. Without a stream when that has ended, and another may be given the item."""
        self._numbers = count(1)
        self._prefix = secrets.token_hex(4)
        self._tokens = count(1)
        self._later: set[asyncio.TimerHandle] = set()
        self._resting: dict[Item, asyncio.TimerHandle] = {}
        self._is_roused = self._is_refilling = False
        self._pinging = self._loop.call_later(PING_INTERVAL, self._ping)

    @property
    def has_workers(self) -> bool:
        """True while a worker is connected."""
        return bool(self._streams)

    # --- Workers ------------------------------------------------------------------------------------

    def connect(self, request: pb.GetWorkItemsRequest, outlet: Outlet) -> WorkerStream:
        """A worker has opened a stream."""
        stream = WorkerStream(next(self._numbers), request, outlet)
        self._streams[stream.number] = stream
        for item in list(self._resting):
            self._wake_up(item)
        self._count_in_flight()
        self._workers_changed()
        self.rouse()
        return stream

    def disconnect(self, stream: WorkerStream) -> None:
        """A stream has ended, whoever ended it."""
        stream.close()
        if self._streams.pop(stream.number, None) is None:
            return
        leases = list(stream.leases.values())
        if leases:
            too_large = leases[-1] if stream.last_size > LARGE_ITEM else None
            if too_large is not None:
                leases.pop()
                self._broke_on(too_large, stream)
            self._after(self._lease_grace, lambda: self._release(stream, leases))
        while stream.reserved:
            self._queue(stream.reserved.popleft())
        self._count_in_flight()
        self._workers_changed()

    def rouse(self) -> None:
        """Give workers what there is for them, once all is done that is being done: results that come together are
        told together."""
        if not self._is_roused:
            self._is_roused = True
            self._loop.call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._is_roused = False
        takers = [stream for stream in self._in_turn() if stream.is_ready]
        for _ in range(_BURST):
            takers = [stream for stream in takers if self._give(stream)]
            if not takers:
                return
        self.rouse()

    def _give(self, stream: WorkerStream) -> bool:
        """Whether the stream can be given another item after the one that it is given."""
        item = self.take(stream)
        if item is not None:
            stream.send(item)
        return item is not None and stream.is_ready

    def take(self, stream: WorkerStream) -> bytes | None:
        """The next item for a worker, encoded; None when there is none for it."""
        while (item := self._next_for(stream)) is not None:
            self._leases.pop(item.token, None)
            item.token = f"{self._prefix}-{next(self._tokens)}"
            encoded = item.write(item.token, streams_history=stream.streams_history)
            if encoded is None:
                self._end(item)
                continue
            self._leases[item.token] = (item, stream)
            stream.lease(item)
            return encoded
        return None

    def _next_for(self, stream: WorkerStream) -> Item | None:
        for _ in range(len(stream.reserved)):
            item = stream.reserved.popleft()
            if item.is_over:
                continue
            if stream.may_take(item.key):
                return item
            stream.reserved.append(item)
        return self._backlog.pop(stream.may_take)

    # --- Items --------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Queue an item."""
        self._queue(item)

    def settle(self, token: str) -> Item | None:
        """A worker has answered: the item is over. None when nobody waits for that answer any more.

        The caller sees to what follows, and then calls `Item.finish`.
        """
        leased = self._leases.pop(token, None)
        if leased is None:
            return None
        item, stream = leased
        if stream is None:
            self._backlog.remove(item)
        else:
            stream.release(item)
            self._rouse_for_room(stream, item)
        return item

    def repeat(self, token: str) -> None:
        """Queue an item again whose worker asks for it in another form."""
        leased = self._leases.pop(token, None)
        if leased is not None and leased[1] is not None:
            leased[1].release(leased[0])
            self._queue(leased[0])

    def find(self, token: str) -> Item | None:
        """The item that was leased under a token, while its answer is waited for."""
        leased = self._leases.get(token)
        return None if leased is None else leased[0]

    def abandon(self, token: str) -> None:
        """A worker gives an item back. Another gets it at once; the same one, if it is the only one, after a while."""
        leased = self._leases.pop(token, None)
        if leased is None:
            return
        item, stream = leased
        if stream is None:
            return  # it is queued again already
        stream.release(item)
        item.refused_by |= {stream.number}
        item.attempts += 1
        for other in self._in_turn():
            if other.number not in item.refused_by and other.accepts(item.key):
                other.reserved.append(item)
                self.rouse()
                return
        self._rest(item)

    def drop(self, item: Item) -> None:
        """Nobody wants the item any more; an answer to it changes nothing."""
        leased = self._leases.pop(item.token, None)
        if leased is not None and leased[1] is not None:
            leased[1].release(item)
            self._rouse_for_room(leased[1], item)
        self._end(item)

    def close(self) -> None:
        """End every stream, and forget every item."""
        self._pinging.cancel()
        for stream in list(self._streams.values()):
            stream.close()
        for item in self._all():
            self.drop(item)
        for handle in self._later:
            handle.cancel()
        self._streams.clear()
        self._workers_changed()

    def drop_all(self) -> None:
        """Forget every item; workers stay connected."""
        for item in self._all():
            self.drop(item)

    # --- Inside -------------------------------------------------------------------------------------

    def _all(self) -> list[Item]:
        reserved = [item for stream in self._streams.values() for item in stream.reserved]
        leased = [item for item, _ in self._leases.values()]
        return [*self._backlog, *self._resting, *reserved, *leased]

    def _queue(self, item: Item) -> None:
        if item.is_over:
            return
        self._backlog.add(item)
        if item.work is None and any(stream.accepts(item.key) for stream in self._streams.values()):
            item.work = self._clock.working(item.label)
        self.rouse()

    def _in_turn(self) -> Iterator[WorkerStream]:
        """The streams, each time another one first."""
        if len(self._streams) > 1:
            number, stream = next(iter(self._streams.items()))
            del self._streams[number]
            self._streams[number] = stream
        return iter(list(self._streams.values()))

    def _end(self, item: Item) -> None:
        """Nothing is to come of an item any more."""
        item.is_over = True
        self._backlog.remove(item)
        if (handle := self._resting.pop(item, None)) is not None:
            handle.cancel()
        item.finish()

    def _release(self, stream: WorkerStream, leases: list[Item]) -> None:
        """The worker had time enough to answer: queue again what it had. The first answer will count."""
        for item in leases:
            if stream.leases.get(item.token) is item:
                stream.release(item)
                self._leases[item.token] = (item, None)
                self._queue(item)
        self._count_in_flight()

    def _broke_on(self, item: Item, stream: WorkerStream) -> None:
        stream.release(item)
        self._leases.pop(item.token, None)
        item.deaths += 1
        if item.deaths == 1:
            _log.warning("a stream ended as it was sent %s of %d bytes", item.label, stream.last_size)
            self._queue(item)
            return
        reason = (
            f"{item.label} could not be sent to a worker: it is {stream.last_size} bytes, and the stream ended each "
            "time; pass the worker channel options with a larger grpc.max_receive_message_length"
        )
        item.is_over = True
        item.give_up(reason)
        self._end(item)

    def _rest(self, item: Item) -> None:
        """Offer it again to those who gave it back, later; meanwhile it is not in flight."""
        seconds = min(FIRST_REST * 2 ** (item.attempts - 1), LONGEST_REST)
        self._resting[item] = self._loop.call_later(seconds, self._wake_up, item)
        item.pause()

    def _wake_up(self, item: Item) -> None:
        self._resting.pop(item).cancel()
        item.refused_by = frozenset()
        self._queue(item)

    def _count_in_flight(self) -> None:
        """Queued items are in flight while somebody could take them."""
        for item in list(self._backlog):
            wanted = any(stream.accepts(item.key) for stream in self._streams.values())
            if wanted and item.work is None:
                item.work = self._clock.working(item.label)
            elif not wanted:
                item.pause()

    def _rouse_for_room(self, stream: WorkerStream, released: Item) -> None:
        if not self._backlog and not stream.reserved:
            return
        if not stream.has_enough_of(released.key):
            self.rouse()
        elif not self._is_refilling:
            self._is_refilling = True
            self._after(_REFILL, self._refill)

    def _refill(self) -> None:
        self._is_refilling = False
        self._hand_out()

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        def run() -> None:
            self._later.discard(handle)
            callback()

        handle = self._loop.call_later(seconds, run)
        self._later.add(handle)

    def _ping(self) -> None:
        self._pinging = self._loop.call_later(PING_INTERVAL, self._ping)
        for stream in self._streams.values():
            stream.ping()
