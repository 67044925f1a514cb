"""Waiting for executions, and for deadlines that real time alone brings about."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from steprig.aws.state import Execution
from steprig.aws.timers import Fire, Timers
from steprig.aws.watchers import ExecutionNotReachedError, Watchers
from steprig.kernel import Clock


class Waiting:
    """Lets threads wait. Every method may be called from any thread.

    Args:
        clock: The engine's.
        timers: The engine's.
        watchers: Tells of executions.
        lock: The engine's, never held while anybody waits.
        execution: Finds an execution by its ARN, or raises `ResourceNotFoundException`.
        fire: What the timers call.
    """

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        watchers: Watchers,
        lock: AbstractContextManager[object],
        execution: Callable[[str], Execution],
        fire: Fire,
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._watchers = watchers
        self._lock = lock
        self._execution = execution
        self._fire = fire

    def wait(
        self, arn: str, reached: Callable[[Execution], bool], *, timeout: float, skip_deadlines: bool = False
    ) -> Execution:
        """See `Engine.wait`."""
        end = time.monotonic() + timeout
        with self._watchers.changed(arn, reached) as changed:
            state = self._execution(arn)
            with self._clock.awaiting_result(skip_deadlines=skip_deadlines):
                while not reached(state):
                    left = end - time.monotonic()
                    if left <= 0:
                        raise ExecutionNotReachedError(state, timeout)
                    changed.clear()
                    to_next = self._seconds_to_deadline()
                    if not reached(self._execution(arn)) and not changed.wait(min(left, to_next)):
                        self._fire_overdue()
                    state = self._execution(arn)
        return state

    def keep_deadlines(self, over: threading.Event) -> None:
        """Let deadlines come once as many real seconds have passed as they are long, until `over` is set.

        For a server, whose clients may wait at any time without it knowing. Blocks; after `over` is set, `wake` the
        watchers.
        """
        with self._watchers.woken() as woken:
            while not over.is_set():
                woken.clear()
                to_next = self._seconds_to_deadline()
                if not over.is_set() and not woken.wait(min(to_next, threading.TIMEOUT_MAX)):
                    self._fire_overdue()

    def _seconds_to_deadline(self) -> float:
        with self._lock:
            return self._timers.seconds_to_next()

    def _fire_overdue(self) -> None:
        with self._lock:
            overdue = self._timers.take_overdue()
        for arn, key, when in overdue:
            self._clock.go_on_from(when)
            self._fire(arn, key, when)
