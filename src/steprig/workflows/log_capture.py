"""The log records of one run, also while others run beside it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_lines: ContextVar[list[str] | None] = ContextVar("steprig_log_lines", default=None)
_takers_of_strays: list[list[str]] = []


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines = _lines.get()
        for taker in [lines] if lines is not None else [*_takers_of_strays]:
            taker.append(self.format(record))


_handler = _Handler()
_handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
_lock = threading.Lock()
_captures = 0


class captured_logs:  # noqa: N801 - used as a function; a generator would cost a tenth of what a short run does
    """What is logged within a `with` block, by this task and what it starts, as lines. Loggers keep their levels."""

    __slots__ = ("_enabled", "_token")

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled

    def __enter__(self) -> list[str]:
        lines: list[str] = []
        if self._enabled:
            _count(+1)
            self._token = _lines.set(lines)
        return lines

    def __exit__(self, *error: object) -> None:
        if self._enabled:
            _lines.reset(self._token)
            _count(-1)


@contextmanager
def stray_logs_taken() -> Iterator[None]:
    """Count what is logged within, in the context of no run, as this run's. Of several runs at once each gets it."""
    lines = _lines.get()
    if lines is None:
        yield
        return
    with _lock:
        _takers_of_strays.append(lines)
    try:
        yield
    finally:
        with _lock:
            _takers_of_strays[:] = [taker for taker in _takers_of_strays if taker is not lines]


def _count(change: int) -> None:
    global _captures
    with _lock:
        _captures += change
        if _captures == 0:
            logging.root.removeHandler(_handler)
        elif _captures == change:
            logging.root.addHandler(_handler)
