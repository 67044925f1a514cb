"""The log records of one run, also while others run beside it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_lines: ContextVar[list[str] | None] = ContextVar("steprig_log_lines", default=None)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines = _lines.get()
        if lines is not None:
            lines.append(self.format(record))


_handler = _Handler()
_handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
_lock = threading.Lock()
_captures = 0


@contextmanager
def captured_logs(*, enabled: bool = True) -> Iterator[list[str]]:
    """What is logged within, by this task and what it starts, as lines. Loggers keep their levels."""
    lines: list[str] = []
    if not enabled:
        yield lines
        return
    _count(+1)
    token = _lines.set(lines)
    try:
        yield lines
    finally:
        _lines.reset(token)
        _count(-1)


def _count(change: int) -> None:
    global _captures
    with _lock:
        _captures += change
        if _captures == 0:
            logging.getLogger().removeHandler(_handler)
        elif _captures == change:
            logging.getLogger().addHandler(_handler)
