"""The way into the engine: one after the other, and what follows afterwards."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import RLock
from types import TracebackType

from steprig.aws.errors import ServiceException
from steprig.kernel import Clock, Journal, Work

_log = logging.getLogger(__name__)


class StoppedError(ServiceException):
    """Something came after the engine was stopped."""

    code = ServiceException.__name__


class Lane:
    """Lets nobody else in, lets no time pass, and begins what follows once all is recorded.

    Args:
        clock: Stands still meanwhile.
        journal: What is recorded meanwhile is durable together.
        lock: Keeps the others out.
    """

    def __init__(self, clock: Clock, journal: Journal, lock: "RLock") -> None:
        self._clock = clock
        self._journal = journal
        self._lock = lock
        self._inside: list[tuple[Work, AbstractContextManager[None]]] = []
        self._then: list[Callable[[], object]] = []
        self._closed = False

    def then(self, effect: Callable[[], object]) -> None:
        """Have this done when all is recorded, and others may come in. To be called inside."""
        self._then.append(effect)

    def close(self) -> None:
        """Let nobody in any more. To be called under the lock."""
        self._closed = True

    def __enter__(self) -> None:
        """Come in. Raises `StoppedError`, and what the journal raises."""
        work = self._clock.working("the engine")
        self._lock.acquire()
        try:
            if self._closed:
                raise StoppedError("The service was stopped.")
            together = self._journal.together()
            together.__enter__()
        except BaseException:
            self._lock.release()
            work.done()
            raise
        self._inside.append((work, together))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        work, together = self._inside.pop()
        then: list[Callable[[], object]] = []
        try:
            try:
                together.__exit__(kind, error, trace)
                if error is None:
                    then, self._then = self._then, []
            finally:
                self._lock.release()
            for effect in then:
                _perform(effect)
        finally:
            work.done()


def _perform(effect: Callable[[], object]) -> None:
    try:
        effect()
    except Exception:  # noqa: BLE001 - what else follows has to follow
        _log.exception("what follows from a decision could not be done")
