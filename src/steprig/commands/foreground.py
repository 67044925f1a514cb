"""What the main thread does while servers run in theirs: it writes what it is told, until it is told to stop."""

import os
import queue
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import ClassVar, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

INTERRUPTED: Final = 130
"""The exit code of a process that Ctrl-C has ended, by the custom of shells."""

_WINDOWS_TICK: Final = 0.2
"""Seconds. On Windows a signal does not wake a thread that waits for a lock."""

Text = str | Callable[[], str]


class Foreground:
    """Within the block, Ctrl-C and SIGTERM raise nothing: they end `run`, now or as soon as it is called.

    So servers that are entered inside the block are always left in the usual way, however often
    and however early somebody presses Ctrl-C. Only the main thread may enter it.

        with Foreground() as foreground, UvicornTestServer(app):
            foreground.run()
    """

    ends_process: ClassVar[bool] = False
    """Set by a program that ends when its foreground does. Signals then do nothing from the end of the
    block on, instead of what they did before it: a second Ctrl-C cannot interrupt the program's end."""

    def __init__(self) -> None:
        # `SimpleQueue.put` never waits, and may interrupt itself: signal handlers may call it.
        self._texts: queue.SimpleQueue[Text | None] = queue.SimpleQueue()
        self.was_interrupted = False
        """Whether it was Ctrl-C that ended it."""

    def say(self, text: Text) -> None:
        """Have `run` write a text, or what `text()` gives then, to standard output.

        Any thread may call it, and never waits for whoever reads the output.
        """
        self._texts.put(text)

    def run(self) -> None:
        """Write what is said, until the process is asked to end. A reader who goes away is no reason to end."""
        while (text := self._next()) is not None:
            _write(text if isinstance(text, str) else text())

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ends_process:
            _ignore_signals()
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.was_interrupted |= number == signal.SIGINT
        self._texts.put(None)

    def _next(self) -> Text | None:
        if sys.platform != "win32":
            return self._texts.get()
        while True:
            with suppress(queue.Empty):
                return self._texts.get(timeout=_WINDOWS_TICK)


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        # What is written later, and what Python flushes at its end, goes nowhere, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ignore_signals() -> None:
    # Python reports a signal that comes while its handler is being changed, and cannot be kept from it.
    report = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, OSError) else report(lost)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.unraisablehook = report
