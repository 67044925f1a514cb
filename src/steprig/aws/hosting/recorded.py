"""What handlers in this process log, told apart by the invocation that logs it.

An invocation is known by a context variable. So all counts that its own thread prints or logs, that of a durable
function included (from 2.1 of the SDK), and whoever was given a copy of its context, such as `asyncio` tasks. A bare
`threading.Thread`, or one that the SDK runs a branch of `map` or `parallel` on, begins without a context, and what it
writes is not told apart (with plugins the SDK does hand its context on). Nor is what goes to file descriptor 1 or 2
past `sys.stdout` and `sys.stderr`, such as what a child process writes. A handler in a process of its own has no such
gaps.
"""

import copy
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from aws_durable_execution_sdk_python.execution import DurableExecutionInvocationInputWithClient

from steprig.aws.hosting.invocation_logs import InvocationLog, InvocationLogs, execution_key
from steprig.aws.in_process import Handler

_current: ContextVar[InvocationLog | None] = ContextVar("steprig_invocation_log", default=None)
_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"


def recorded(handler: Handler, logs: InvocationLogs) -> Handler:
    """A handler whose output is kept when somebody wants it; it goes where it went all the same."""

    def call(event: Any, context: Any) -> Any:
        arn = getattr(event, "durable_execution_arn", None)
        key = context.aws_request_id if arn is None else execution_key(arn)
        log = logs.open(key, context.aws_request_id, context.function_version)
        if log is None:
            return handler(event, context)
        with _output.written_to(log):
            try:
                return handler(event if arn is None else _announcing(event, log), context)
            except BaseException as error:
                log.write(_last_words(error))
                raise
            finally:
                log.end()

    return call


class _Announcing(DurableExecutionInvocationInputWithClient):
    """The input of a durable function that makes its invocation known to whatever thread looks at it.

    The SDK runs the function on a thread of its own, without the context of the one that calls it. But it looks at the
    input there before it begins. Before 2.1 it does not, and the log is without what is written there.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "durable_execution_arn":
            _current.set(super().__getattribute__("__dict__")["_log"])
        return super().__getattribute__(name)


def _announcing(event: Any, log: InvocationLog) -> Any:
    made = copy.copy(event)
    vars(made)["_log"] = log
    object.__setattr__(made, "__class__", _Announcing)
    return made


def _last_words(error: BaseException) -> str:
    """An error as Lambda's runtime for Python logs it, without the frames of this module."""
    frames = error.__traceback__ and error.__traceback__.tb_next
    return f"[ERROR] {type(error).__name__}: {error}\n" + "".join(
        ["Traceback (most recent call last):\n", *traceback.format_tb(frames)]
    )


class _Output:
    """Listens to `sys.stdout`, `sys.stderr` and the root logger while any invocation is recorded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._tees: list[tuple[str, _Tee]] = []
        self._records = _Records()

    @contextmanager
    def written_to(self, log: InvocationLog) -> Iterator[None]:
        """Write what this context says, within the block, to a log as well."""
        token = _current.set(log)
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._listen()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._listen_no_more()
            _current.reset(token)

    def _listen(self) -> None:
        logging.getLogger().addHandler(self._records)
        self._tees = [(name, _Tee(getattr(sys, name))) for name in ("stdout", "stderr") if getattr(sys, name)]
        for name, tee in self._tees:
            setattr(sys, name, tee)

    def _listen_no_more(self) -> None:
        logging.getLogger().removeHandler(self._records)
        for name, tee in self._tees:
            if getattr(sys, name) is tee:  # nobody has put another in its place
                setattr(sys, name, tee.stream)


class _Tee:
    """A stream that lets an invocation's log have what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """See `io.TextIOBase`."""
        if (log := _current.get()) is not None:
            log.write(text)
        return self.stream.write(text)

    def writelines(self, lines: Any) -> None:
        """See `io.IOBase`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Records(logging.Handler):
    """Writes records as Lambda's runtime for Python does."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if (log := _current.get()) is not None:
            formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S", defaults={"aws_request_id": log.request_id})
            formatter.converter = time.gmtime
            log.write(f"{formatter.format(record)}\n")


_output = _Output()
