"""How many invocations of a function may run at once, as `PutFunctionConcurrency` says."""

import threading
from collections import Counter, deque
from collections.abc import Callable

Run = Callable[[], object]


class Concurrency:
    """Counts the invocations of each function, of all its versions together, and holds those back that are too many.

    From any thread. Functions go by their bare names.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reserved: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[Run]] = {}

    def reserve(self, function: str, most: int | None) -> None:
        """Let so many run at once; None for as many as there are. What runs already runs on."""
        with self._lock:
            if most is None:
                self._reserved.pop(function, None)
            else:
                self._reserved[function] = most
        self._go_on(function)

    def reserved(self, function: str) -> int | None:
        """What `reserve` was told."""
        return self._reserved.get(function)

    def is_full(self, function: str) -> bool:
        """Whether one more were too many."""
        with self._lock:
            return self._is_full(function)

    def try_begin(self, function: str) -> bool:
        """Count one more, unless it were too many."""
        with self._lock:
            if self._is_full(function):
                return False
            self._running[function] += 1
            return True

    def begin(self, function: str, run: Run) -> None:
        """Count one more and run it, at once or when its turn has come."""
        with self._lock:
            self._waiting.setdefault(function, deque()).append(run)
        self._go_on(function)

    def end(self, function: str) -> None:
        """One has ended."""
        with self._lock:
            self._running[function] -= 1
        self._go_on(function)

    def _go_on(self, function: str) -> None:
        while (run := self._next(function)) is not None:
            run()

    def _next(self, function: str) -> Run | None:
        with self._lock:
            waiting = self._waiting.get(function)
            if not waiting or self._is_full(function):
                return None
            self._running[function] += 1
            return waiting.popleft()

    def _is_full(self, function: str) -> bool:
        most = self._reserved.get(function)
        return most is not None and self._running[function] >= most
