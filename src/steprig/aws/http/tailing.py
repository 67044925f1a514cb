"""The end of an invocation's log, in the answer to Invoke."""

from base64 import b64encode
from contextlib import ExitStack
from typing import Self

from steprig.aws.hosting.invocation_logs import InvocationLogs


class Tail:
    """Has a log kept, within its block, when it is wanted.

    What the log of an invocation has: the lines START, END and REPORT around what a handler's process has written to
    its output; of a handler in this process what `steprig.aws.hosting.recorded` can tell to be the invocation's; of
    one at a Lambda endpoint what that tells. An execution's has all its invocations so far, one after the other.

    Args:
        logs: Keep it.
        key: What it is kept by.
        wanted: Whether it is.
    """

    def __init__(self, logs: InvocationLogs, key: str, *, wanted: bool) -> None:
        self._logs = logs
        self._key = key
        self._wanted = wanted
        self._kept = ExitStack()

    def headers(self) -> dict[str, str]:
        """What the answer has for it: the last 4 KiB of what there is."""
        tail = self._logs.tail(self._key) if self._wanted else b""
        return {"X-Amz-Log-Result": b64encode(tail).decode()} if tail else {}

    def __enter__(self) -> Self:
        if self._wanted:
            self._kept.enter_context(self._logs.wanted(self._key))
        return self

    def __exit__(self, *error: object) -> None:
        self._kept.close()
