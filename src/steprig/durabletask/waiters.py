"""Clients that are blocked until an orchestration has started or ended."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

from steprig.durabletask.problems import stopping
from steprig.durabletask.records import InstanceId
from steprig.durabletask.state import InstanceState
from steprig.kernel import Clock

Reached = Callable[[InstanceState], bool]
_Waiter = asyncio.Future[InstanceState | None]


class Waiters:
    """Who waits for which orchestration.

    Time may skip timers while somebody waits and a worker is there to go on with: who only waits does nothing that
    could come before a timer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[InstanceId, dict[_Waiter, Reached]] = {}
        self._number = 0
        self._has_workers = False
        self._awaiting: ExitStack | None = None

    async def wait(self, instance_id: InstanceId, reached: Reached) -> InstanceState | None:
        """The state as soon as it is as wished. None when the orchestration was purged meanwhile."""
        future: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(instance_id, {})[future] = reached
        self._count(+1)
        try:
            return await future
        finally:
            self._forget(instance_id, future)

    def changed(self, state: InstanceState) -> None:
        """An orchestration has got on."""
        waiting = self._waiting.get(state.instance_id)
        if waiting is not None:
            for future in [future for future, reached in waiting.items() if reached(state)]:
                self._answer(state.instance_id, future, state)

    def gone(self, instance_id: InstanceId) -> None:
        """An orchestration is no more."""
        for future in list(self._waiting.get(instance_id, ())):
            self._answer(instance_id, future, None)

    def all_gone(self) -> None:
        """No orchestration is any more."""
        for instance_id in list(self._waiting):
            self.gone(instance_id)

    def close(self) -> None:
        """Send everybody away: the backend stops."""
        for instance_id, waiting in list(self._waiting.items()):
            for future in list(waiting):
                self._forget(instance_id, future)
                if not future.done():
                    future.set_exception(stopping())

    def _answer(self, instance_id: InstanceId, future: _Waiter, state: InstanceState | None) -> None:
        """From now on it waits no more, although its call is yet to return: time must not go on for its sake."""
        self._forget(instance_id, future)
        if not future.done():
            future.set_result(state)

    def _forget(self, instance_id: InstanceId, future: _Waiter) -> None:
        waiting = self._waiting.get(instance_id, {})
        if future in waiting:
            del waiting[future]
            if not waiting:
                del self._waiting[instance_id]
            self._count(-1)

    def workers_changed(self, has_workers: bool) -> None:
        """A worker came, or the last one left."""
        self._has_workers = has_workers
        self._tell_clock()

    def _count(self, number: int) -> None:
        self._number += number
        self._tell_clock()

    def _tell_clock(self) -> None:
        awaits = self._number > 0 and self._has_workers
        if awaits and self._awaiting is None:
            self._awaiting = ExitStack()
            self._awaiting.enter_context(self._clock.awaiting_result())
        elif not awaits and self._awaiting is not None:
            self._awaiting.close()
            self._awaiting = None
