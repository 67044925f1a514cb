"""What invocations have logged, for who asks for it along with the answer to Invoke (`LogType=Tail`)."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

TAIL_BYTES = 4096
_MEMORY = "128 MB"


class InvocationLog:
    """The log of one invocation, between the lines that Lambda puts around it. From any thread.

    `render` has the lines START, END and REPORT as Lambda writes them. How much memory was used is not measured:
    REPORT gives the function's memory size for it, as SAM's local Lambda does.

    Args:
        request_id: Of the invocation.
        version: Of the function.
    """

    def __init__(self, request_id: str, version: str) -> None:
        self.request_id = request_id
        self._version = version
        self._parts: list[str] = []
        self._began = time.perf_counter()
        self._took: float | None = None
        self._limit: float | None = None
        self._init: float | None = None

    def write(self, text: str) -> None:
        """Add what the function has written."""
        self._parts.append(text)

    def end(self, init: float | None = None, *, since: float | None = None) -> None:
        """The invocation has ended.

        Args:
            init: Seconds that its process took to begin, if it was new.
            since: When it has begun, by `time.perf_counter`, if not when this log was opened.
        """
        self._took = time.perf_counter() - (self._began if since is None else since)
        self._init = init

    def begin(self) -> None:
        """Count its time from now."""
        self._began = time.perf_counter()

    def time_out(self, seconds: float) -> None:
        """The invocation was given up after so many seconds, unless it has ended."""
        if self._took is None:
            self._limit = seconds

    def render(self) -> str:
        """The text. While the invocation goes on, there is no END yet and no REPORT."""
        body = "".join(self._parts)
        if body and not body.endswith("\n"):
            body += "\n"
        took = self._took if self._limit is None else self._limit
        begin = f"START RequestId: {self.request_id} Version: {self._version}\n{body}"
        if took is None:
            return begin
        if self._limit is not None:
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3]
            begin += f"{now}Z {self.request_id} Task timed out after {took:.2f} seconds\n"
        return f"{begin}END RequestId: {self.request_id}\n{self._report(took)}\n"

    def _report(self, took: float) -> str:
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {took * 1000:.2f} ms",
            f"Billed Duration: {math.ceil((took + (self._init or 0)) * 1000)} ms",
            f"Memory Size: {_MEMORY}",
            f"Max Memory Used: {_MEMORY}",
        ]
        if self._init is not None:
            parts.append(f"Init Duration: {self._init * 1000:.2f} ms")
        if self._limit is not None:
            parts.append("Status: timeout")
        return "\t".join(parts)


class _Kept:
    def __init__(self) -> None:
        self.readers = 0
        self.logs: list[InvocationLog | str] = []


class InvocationLogs:
    """Keeps the logs of those invocations that somebody wants them of. From any thread.

    They are found by what the reader knows before they begin: the id of a single call, and of an execution, which may
    have any number of them, its ARN without the last part; see `execution_key`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    @contextmanager
    def wanted(self, key: str) -> Iterator[None]:
        """Keep, within the block, what is logged for a key."""
        with self._lock:
            self._kept.setdefault(key, _Kept()).readers += 1
        try:
            yield
        finally:
            with self._lock:
                kept = self._kept[key]
                kept.readers -= 1
                if not kept.readers:
                    del self._kept[key]

    def is_wanted(self, key: str) -> bool:
        """Whether anybody wants what is logged for a key."""
        return key in self._kept

    def open(self, key: str, request_id: str, version: str) -> InvocationLog | None:
        """The log to write an invocation's in; None if nobody wants it."""
        if key not in self._kept:
            return None
        log = InvocationLog(request_id, version)
        return log if self._add(key, log) else None

    def add(self, key: str, text: str) -> None:
        """Keep a log that somebody else has put together."""
        self._add(key, text)

    def time_out(self, key: str, seconds: float) -> None:
        """Whoever waited for an invocation has given it up after so many seconds."""
        with self._lock:
            logs = self._kept[key].logs if key in self._kept else []
            for log in logs:
                if isinstance(log, InvocationLog):
                    log.time_out(seconds)

    def tail(self, key: str) -> bytes:
        """The end of what was logged so far, in whole characters; to be asked for within `wanted`."""
        with self._lock:
            logs = list(self._kept[key].logs)
        whole = "".join(log if isinstance(log, str) else log.render() for log in logs).encode()
        return whole[-TAIL_BYTES:].decode(errors="ignore").encode()

    def _add(self, key: str, log: InvocationLog | str) -> bool:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                kept.logs.append(log)
            return kept is not None


def execution_key(arn: str) -> str:
    """By what the logs of an execution's invocations are found."""
    return arn.rpartition("/")[0]
