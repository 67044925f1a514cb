"""Clients that are blocked until an orchestration has started or ended."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from steprig.durabletask.problems import RefusedError, stopping
from steprig.durabletask.records import InstanceId
from steprig.durabletask.state import InstanceState
from steprig.kernel import Clock

Reached = Callable[[InstanceState], bool]


class Waiter(Protocol):
    """A client that is blocked. It costs no thread and no task, as it is told once, by a call."""

    def told(self, state: InstanceState | None) -> None:
        """The orchestration is as wished. None when it was purged."""

    def refused(self, problem: RefusedError) -> None:
        """It waits in vain."""


class Waiters:
    """Who waits for which orchestration.

    Time may skip timers while somebody waits and a worker is there to go on with: who only waits does nothing that
    could come before a timer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[InstanceId, dict[Waiter, Reached]] = {}
        self._number = 0
        self._has_workers = False
        self._awaiting: ExitStack | None = None

    def add(self, instance_id: InstanceId, reached: Reached, waiter: Waiter) -> None:
        """Tell somebody as soon as an orchestration, which need not exist yet, is as wished."""
        self._waiting.setdefault(instance_id, {})[waiter] = reached
        self._count(+1)

    def forget(self, instance_id: InstanceId, waiter: Waiter) -> None:
        """Somebody waits no more."""
        waiting = self._waiting.get(instance_id, {})
        if waiter in waiting:
            del waiting[waiter]
            if not waiting:
                del self._waiting[instance_id]
            self._count(-1)

    def changed(self, state: InstanceState) -> None:
        """An orchestration has got on."""
        waiting = self._waiting.get(state.instance_id)
        if waiting is not None:
            for waiter in [waiter for waiter, reached in waiting.items() if reached(state)]:
                self._answer(state.instance_id, waiter, state)

    def gone(self, instance_id: InstanceId) -> None:
        """An orchestration is no more."""
        for waiter in list(self._waiting.get(instance_id, ())):
            self._answer(instance_id, waiter, None)

    def all_gone(self) -> None:
        """No orchestration is any more."""
        for instance_id in list(self._waiting):
            self.gone(instance_id)

    def close(self) -> None:
        """Send everybody away: the backend stops."""
        for instance_id, waiting in list(self._waiting.items()):
            for waiter in list(waiting):
                self.forget(instance_id, waiter)
                waiter.refused(stopping())

    def _answer(self, instance_id: InstanceId, waiter: Waiter, state: InstanceState | None) -> None:
        """From now on it waits no more, although its call is yet to return: time must not go on for its sake."""
        self.forget(instance_id, waiter)
        waiter.told(state)

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
