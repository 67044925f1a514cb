"""What a server has logged, as something a test can search, print and index."""

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import overload

_KEPT_ENTRIES = 10_000
"""Bounds the memory of a server that logs for hours; a failing test needs the end of a log."""


class LogLines(Sequence[str]):
    """The lines of a log at one moment.

    A sequence of lines, except that `in` looks for a substring of the whole text, as one
    greps a log: ``assert "GET /health" in server.logs``. `str()` gives the text.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._text = "\n".join(entries)
        self._lines = self._text.splitlines()

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<LogLines of {len(self)} lines:\n{self._text}>"

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._lines[index]

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text in self._text

    def tail(self, count: int = 50) -> str:
        """The last `count` lines as one text."""
        return "\n".join(self._lines[-count:])


class LogBuffer:
    """Collects log entries, each of one or more lines; any thread may write, read or wait."""

    def __init__(self) -> None:
        # Appending to a deque and copying it are atomic, so no lock is needed for them.
        self._entries: deque[tuple[int, str]] = deque(maxlen=_KEPT_ENTRIES)
        self._numbers = itertools.count()
        self._more = threading.Condition()
        self._waiting = 0

    def write(self, entry: str) -> None:
        """Add one entry; the oldest is dropped once the buffer is full."""
        self._entries.append((next(self._numbers), entry))
        if self._waiting:
            with self._more:
                self._more.notify_all()

    @property
    def position(self) -> int:
        """How many entries have ever been written, by the one that writes, for `read` and `wait_for_more`."""
        return self._entries[-1][0] + 1 if self._entries else 0

    def read(self, since: int = 0) -> LogLines:
        """A snapshot of what is held now, of what was written after a `position`."""
        return LogLines(entry for number, entry in self._entries.copy() if number >= since)

    def wait_for_more(self, position: int, timeout: float) -> bool:
        """Wait until something was written after a `position`, at most `timeout` seconds; whether it was."""
        with self._more:
            self._waiting += 1
            try:
                return self._more.wait_for(lambda: self.position > position, timeout)
            finally:
                self._waiting -= 1
