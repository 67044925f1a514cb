"""Threads that functions run on: as many as are called at once, and kept for the next ones."""

import logging
import queue
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

Job = Callable[[], object]


class Workers:
    """Runs each job at once, on an idle thread or a new one. No job waits for another to end.

    The threads are daemons: one whose function never returns keeps nothing from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: dict[_Worker, None] = {}
        self._closed = False

    def run(self, job: Job) -> bool:
        """Run a job. It has to see to its own errors. Returns False after `close`: then it is dropped."""
        with self._lock:
            if self._closed:
                return False
            worker = self._idle.pop() if self._idle else None
            if worker is None:
                worker = _Worker(f"{self._name}-{len(self._all)}", self._rest, self._gone)
                self._all[worker] = None
        worker.jobs.put(job)
        return True

    def close(self, timeout: float) -> list[str]:
        """End the threads. Returns the names of those that were still busy after so many seconds."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.jobs.put(None)
        end = time.monotonic() + timeout
        return [worker.thread.name for worker in workers if not worker.join(end)]

    def _rest(self, worker: "_Worker") -> None:
        with self._lock:
            self._idle.append(worker)

    def _gone(self, worker: "_Worker") -> None:
        with self._lock:
            self._all.pop(worker, None)


class _Worker:
    def __init__(self, name: str, rest: "Callable[[_Worker], None]", gone: "Callable[[_Worker], None]") -> None:
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._rest = rest
        self._gone = gone
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def join(self, end: float) -> bool:
        if self.thread is threading.current_thread():
            return True
        self.thread.join(max(0.0, end - time.monotonic()))
        return not self.thread.is_alive()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                job()
            except BaseException:  # noqa: BLE001 - the thread goes on with the next one
                _log.exception("a job of %s failed", self.thread.name)
            del job
            self._rest(self)
        self._gone(self)
