"""A pool of threads as the SDK makes one for every invocation, on threads that are kept for the next."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import Context
from types import TracebackType
from typing import Any, Self

from steprig.aws.workers import Workers

_CLOSING = 0.1
"""Seconds that idle threads have to end. Those of functions that never return are left alone."""


class PromptThreads:
    """In the place of the class `ThreadPoolExecutor`: its pools share their threads.

    Each call has a context of its own, as on a new thread. Values of a `threading.local` stay.

    Args:
        original: The class, for whoever wants another pool than the SDK is known to use.
    """

    def __init__(self, original: type[ThreadPoolExecutor]) -> None:
        self._original = original
        self._workers = Workers("steprig-durable")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a pool."""
        if args or kwargs.keys() != {"max_workers", "thread_name_prefix"}:
            return self._original(*args, **kwargs)
        return _Pool(self._workers, **kwargs)

    def close(self) -> None:
        """End the threads that are idle. Whoever still has a pool gets new threads."""
        self._workers.close(_CLOSING)


def prompt_threads(original: Any) -> PromptThreads | None:
    """What makes pools of kept threads; None when the SDK makes its own in another way than expected."""
    return PromptThreads(original) if original is ThreadPoolExecutor else None


class _Pool:
    """A `ThreadPoolExecutor` for a `with` statement."""

    def __init__(self, workers: Workers, max_workers: int, thread_name_prefix: str) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._idle = [f"{thread_name_prefix}_{number}" for number in reversed(range(max_workers))]
        self._queued: deque[Callable[[], None]] = deque()
        self._futures: list[Future[Any]] = []
        self._is_shut_down = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_shut_down = True
        wait(self._futures)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`."""
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = Context().run(function, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is for whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._futures.append(future)
            if not self._idle:
                self._queued.append(run)
                return future
            name = self._idle.pop()
        if not self._workers.run(lambda: self._work(name, run)):
            threading.Thread(target=self._work, args=(name, run), daemon=True).start()
        return future

    def _work(self, name: str, job: Callable[[], None] | None) -> None:
        thread = threading.current_thread()
        kept, thread.name = thread.name, name
        while job is not None:
            job()
            with self._lock:
                job = self._queued.popleft() if self._queued else None
                if job is None:
                    self._idle.append(name)
        thread.name = kept
