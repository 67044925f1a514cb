"""Gives each server its own log, though uvicorn's loggers belong to the whole process.

While at least one server runs, a filter and a handler sit on uvicorn's loggers. The filter
applies the log level of the server that a record comes from; the handler writes the record to
that server's log. With the last server both go, and the loggers are as they were before.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from steprig.live.log_lines import LogBuffer

_LEVELLED = ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")
"""The loggers that uvicorn writes to."""

_LOUD = ("uvicorn", *_LEVELLED)
"""Those whose records have to reach the root logger, where caplog listens. A default
`uvicorn.Config` built by anyone in the process turns propagation off, for good."""

_HEARD = (*_LEVELLED, "asyncio")
"""Those that a server's log is made of: asyncio reports what died in background tasks."""

_FORMATTER = logging.Formatter("%(levelname)-9s%(message)s")


@dataclass(eq=False, slots=True)
class ServerLog:
    """One server's log.

    Args:
        level: the least severe level that this server's records have to have to be made.
        access: whether there is a line for each request (at level INFO).
    """

    level: int
    access: bool = True
    buffer: LogBuffer = field(default_factory=LogBuffer)

    def wants(self, record: logging.LogRecord) -> bool:
        """Whether a record of this server is to be made at all."""
        return record.levelno >= self.level and (self.access or record.name != "uvicorn.access")


_owner: ContextVar[ServerLog | None] = ContextVar("steprig_server_log", default=None)
"""Set in a server's thread, inherited by its tasks and by worker threads that copy the context."""

_thread_owners: dict[int, ServerLog] = {}
"""By thread: for tasks that run in an empty context (uvicorn's `reset_contextvars`)."""


def _owner_of_this_record() -> ServerLog | None:
    return _owner.get() or _thread_owners.get(threading.get_ident())


class _Gate(logging.Filter):
    """Lets pass what the owning server wants, and foreign records as if no server ran."""

    def __init__(self, own_level: int) -> None:
        super().__init__()
        self._own_level = own_level

    def filter(self, record: logging.LogRecord) -> bool:
        log = _owner_of_this_record()
        if log is not None:
            return log.wants(record)
        return record.levelno >= (self._own_level or logging.getLogger("uvicorn").getEffectiveLevel())


class _Recorder(logging.Handler):
    """Writes each record to the log of the server that it comes from."""

    def emit(self, record: logging.LogRecord) -> None:
        log = _owner_of_this_record()
        if log is not None:
            log.buffer.write(_FORMATTER.format(record))
        if not logging.getLogger().handlers and not logging.getLogger("uvicorn").handlers:
            self._show_unhandled(record)

    def _show_unhandled(self, record: logging.LogRecord) -> None:
        """In a script that configures no logging, this handler must not be what silences errors."""
        if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)


@dataclass(frozen=True)
class _LoggerState:
    level: int
    propagate: bool
    disabled: bool

    @classmethod
    def of(cls, logger: logging.Logger) -> "_LoggerState":
        return cls(logger.level, logger.propagate, logger.disabled)

    def restore(self, logger: logging.Logger) -> None:
        logger.setLevel(self.level)
        logger.propagate = self.propagate
        logger.disabled = self.disabled


class _Tap:
    """What sits on the process's loggers while servers run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: list[ServerLog] = []
        self._recorder = _Recorder()
        self._before: dict[str, _LoggerState] = {}
        self._gates: dict[str, _Gate] = {}

    def attach(self, log: ServerLog) -> None:
        with self._lock:
            self._logs.append(log)
            if len(self._logs) == 1:
                self._install()
            self._set_levels()

    def detach(self, log: ServerLog) -> None:
        with self._lock:
            self._logs.remove(log)
            if self._logs:
                self._set_levels()
            else:
                self._uninstall()

    def _install(self) -> None:
        for name in _LOUD:
            logger = logging.getLogger(name)
            self._before[name] = _LoggerState.of(logger)
            logger.propagate, logger.disabled = True, False
        for name in _LEVELLED:
            self._gates[name] = _Gate(self._before[name].level)
            logging.getLogger(name).addFilter(self._gates[name])
        for name in _HEARD:
            logging.getLogger(name).addHandler(self._recorder)

    def _uninstall(self) -> None:
        for name in _HEARD:
            logging.getLogger(name).removeHandler(self._recorder)
        for name, gate in self._gates.items():
            logging.getLogger(name).removeFilter(gate)
        for name, state in self._before.items():
            state.restore(logging.getLogger(name))
        self._gates.clear()
        self._before.clear()

    def _set_levels(self) -> None:
        """Open each logger as far as the most talkative server needs; the gates do the rest."""
        most_talkative = min(log.level for log in self._logs)
        for name in _LEVELLED:
            own = self._before[name].level
            level = min(most_talkative, own) if own else most_talkative
            logger = logging.getLogger(name)
            if logger.level != level:
                logger.setLevel(level)


_tap = _Tap()


@contextmanager
def records_go_to(log: ServerLog) -> Iterator[None]:
    """Within the block, what uvicorn logs from this thread and its tasks goes to `log`."""
    _tap.attach(log)
    token = _owner.set(log)
    thread = threading.get_ident()
    _thread_owners[thread] = log
    try:
        yield
    finally:
        # Thread identifiers are used again for later threads.
        del _thread_owners[thread]
        _owner.reset(token)
        _tap.detach(log)
