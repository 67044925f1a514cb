"""Who wants to know how far executions have come."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from steprig.aws.state import Execution

_log = logging.getLogger(__name__)

Watcher = Callable[[Execution], object]


class ExecutionNotReachedError(TimeoutError):
    """An execution did not get, in time, to where somebody waited for it."""

    def __init__(self, state: Execution, timeout: float) -> None:
        self.state = state
        self.timeout = timeout
        super().__init__(f"execution {state.arn} was {state.status} after {timeout:g} s")


class Watchers:
    """Callbacks that are told of executions, and threads that wait for one.

    Args:
        lock: The engine's, under which all are told.
    """

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._watchers: dict[str | None, tuple[Watcher, ...]] = {}
        self._waiting: dict[threading.Event, None] = {}

    def add(self, arn: str | None, watcher: Watcher) -> Callable[[], None]:
        """Tell of an execution, or of all. Returns the undoing."""
        with self._lock:
            self._watchers[arn] = (*self._watchers.get(arn, ()), watcher)
        return lambda: self._remove(arn, watcher)

    def tell(self, state: Execution) -> None:
        """An invocation of an execution has ended. To be called under the lock."""
        for watcher in (*self._watchers.get(state.arn, ()), *self._watchers.get(None, ())):
            try:
                watcher(state)
            except Exception:  # noqa: BLE001 - a reader's fault must not undo what has happened
                _log.exception("a watcher failed at execution %s", state.arn)

    def wake(self) -> None:
        """Let all who wait look anew for how long they may. To be called under the lock."""
        for changed in self._waiting:
            changed.set()

    @contextmanager
    def changed(self, arn: str, reached: Callable[[Execution], bool]) -> Iterator[threading.Event]:
        """An event that is set when an execution is as wished, and at each `wake`."""
        changed = threading.Event()

        def look(state: Execution) -> None:
            if reached(state):
                changed.set()

        remove = self.add(arn, look)
        try:
            with self.woken(changed):
                yield changed
        finally:
            remove()

    @contextmanager
    def woken(self, woken: threading.Event | None = None) -> Iterator[threading.Event]:
        """An event, a new one unless it is given, that is set at each `wake`."""
        event = threading.Event() if woken is None else woken
        with self._lock:
            self._waiting[event] = None
        try:
            yield event
        finally:
            with self._lock:
                del self._waiting[event]

    def _remove(self, arn: str | None, watcher: Watcher) -> None:
        with self._lock:
            left = tuple(known for known in self._watchers.get(arn, ()) if known is not watcher)
            if left:
                self._watchers[arn] = left
            else:
                self._watchers.pop(arn, None)
