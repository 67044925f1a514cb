"""The workers that are connected, and the calls that wait for one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from steprig.errors import SteprigError
from steprig.inngest.functions import AppName, Slug

if TYPE_CHECKING:
    from steprig.inngest.connect.leases import Lease

_SECOND_LOOK = 0.001
"""Seconds until it is looked whether a call that was told of a free worker has taken it."""


class WorkerGoneError(SteprigError):
    """A worker's connection ended before it got a message."""


class Worker:
    """One connection of a worker.

    Args:
        send: Sends a frame; raises WorkerGoneError.
        functions: What it runs, each with its app.
        max_concurrency: How many calls it takes at once; None for any number.
    """

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        functions: Mapping[Slug, AppName],
        max_concurrency: int | None = None,
    ) -> None:
        self.send = send
        self.functions = functions
        self.apps = frozenset(functions.values())
        self.max_concurrency = max_concurrency
        self.leases: set[Lease] = set()

    @property
    def has_room(self) -> bool:
        """Whether it takes one call more."""
        return self.max_concurrency is None or len(self.leases) < self.max_concurrency


class Workers:
    """The workers that may be sent calls: those that are ready, and neither draining nor gone."""

    def __init__(self) -> None:
        self._ready: dict[Worker, None] = {}
        self._apps: dict[Slug, AppName] = {}
        self._waiting: dict[Callable[[], object], Slug] = {}
        self._look: asyncio.TimerHandle | None = None

    def add(self, worker: Worker) -> None:
        """It is ready."""
        self._ready[worker] = None
        self._apps |= worker.functions
        self.freed()

    def remove(self, worker: Worker) -> None:
        """It is draining, or gone. Idempotent."""
        self._ready.pop(worker, None)

    def app_of(self, function: Slug) -> AppName:
        """The app of a function that a worker was found for."""
        return self._apps[function]

    def free_for(self, function: Slug) -> Worker | None:
        """The worker to send a call of a function to: of those with room the one that is least busy.

        One that knows the function is preferred to one that has its app in another version; of equals the newest.
        """
        free = [worker for worker in self._serving(function) if worker.has_room]
        return min(reversed(free), key=lambda it: (function not in it.functions, len(it.leases)), default=None)

    def when_free(self, function: Slug, then: Callable[[], object]) -> None:
        """Call `then` as soon as a worker is free for a function, maybe at once.

        It has to look again with `free_for`: another call may be faster, or it may have no use for a worker any more.
        """
        if self.free_for(function) is not None:
            then()
        else:
            self._waiting[then] = function

    def freed(self) -> None:
        """There may be room now: tell as many as can use it, and look again whether they did."""
        if self._look is not None or not self._waiting:
            return
        for then in list(self._told()):
            del self._waiting[then]
            then()
        if self._waiting and any(self.free_for(function) for function in set(self._waiting.values())):
            self._look = asyncio.get_running_loop().call_later(_SECOND_LOOK, self._look_again)

    def close(self) -> None:
        """Nobody is told of anything any more."""
        self._waiting.clear()
        if self._look is not None:
            self._look.cancel()

    def _look_again(self) -> None:
        self._look = None
        self.freed()

    def _told(self) -> Iterator[Callable[[], object]]:
        """Those who wait, in order, no more of them than there is room for."""
        promised: dict[Worker, int] = {}
        for then, function in self._waiting.items():
            for worker in self._serving(function):
                most = worker.max_concurrency
                if most is None or len(worker.leases) + promised.get(worker, 0) < most:
                    promised[worker] = promised.get(worker, 0) + 1
                    yield then
                    break

    def _serving(self, function: Slug) -> list[Worker]:
        app = self._apps.get(function)
        return [worker for worker in self._ready if app in worker.apps]
