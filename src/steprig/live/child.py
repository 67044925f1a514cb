"""A child process at the head of a group, with its output read and its end noticed by threads."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from steprig.live.log_lines import LogBuffer

_STRAGGLERS = 0.5
"""Seconds that a process's children have to end after it; then they are killed. Nothing tells
when a group is empty, but its members usually hold the output open."""


class Child:
    """Runs a command once, from its start to the end of the last process of its group.

    Args:
        command: the program and its arguments.
        cwd: directory to run in; None for the current one.
        env: the whole environment.
        log_file: file to which the output is added as it comes.
        output: where each line goes.
        awaited: a pattern whose first match in a line sets `line_seen`.

    Raises:
        OSError: the program, the directory or the log file cannot be used.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        log_file: Path | None,
        output: LogBuffer,
        awaited: re.Pattern[str] | None,
    ) -> None:
        self.ended = threading.Event()
        self.settled = threading.Event()
        self.line_seen = False
        self._output = output
        self._awaited = awaited
        self._maker = os.getpid()
        with contextlib.ExitStack() as undo:
            log = undo.enter_context(log_file.open("ab")) if log_file is not None else None
            self._popen = subprocess.Popen(  # noqa: S603 - running a command is what this is for.
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            undo.pop_all()
        self._reader = threading.Thread(target=self._read, args=(log,), name=f"output of {self.pid}", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name=f"end of {self.pid}", daemon=True)
        self._reader.start()
        self._waiter.start()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs.

        The kernel is asked, as the thread that waits for the end may hear of it a moment later.
        """
        known = self._popen.returncode
        if known is not None or self.is_foreign or not hasattr(os, "waitid"):  # Windows, and macOS before Python 3.13
            return known
        try:
            end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # that thread has it by now, and is about to tell
            return self._popen.wait()
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    @property
    def is_foreign(self) -> bool:
        """Whether this is the copy in a forked process, which is not the child's parent."""
        return os.getpid() != self._maker

    @property
    def holds_output(self) -> bool:
        """Whether the output is still open: a process has left the group and lives on."""
        return self._reader.is_alive()

    def terminate(self) -> None:
        """Ask every process of the group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End every process of the group."""
        self._signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    def join(self, timeout: float) -> bool:
        """Wait for the end of all, at most `timeout` seconds; whether it has come."""
        if self.ended.wait(timeout):
            self._waiter.join()
        return self.ended.is_set()

    def _signal(self, number: int) -> None:
        # Once it has ended, its group was killed, and its id may be someone else's.
        if self.ended.is_set():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._popen.send_signal(number)
            else:
                os.killpg(self.pid, number)

    def _wait(self) -> None:
        self._popen.wait()
        self._reader.join(_STRAGGLERS)
        self.kill()
        self._reader.join(_STRAGGLERS)
        self.ended.set()
        self.settled.set()

    def _read(self, log: IO[bytes] | None) -> None:
        with contextlib.ExitStack() as files:
            if log is not None:
                files.enter_context(log)
            for raw in files.enter_context(self._stdout):
                if log is not None:
                    log.write(raw)
                    log.flush()
                self._take(raw.decode(errors="replace").rstrip("\r\n"))

    @property
    def _stdout(self) -> IO[bytes]:
        if self._popen.stdout is None:
            raise RuntimeError("the output of a child is always a pipe")
        return self._popen.stdout

    def _take(self, line: str) -> None:
        self._output.write(line)
        if self._awaited is not None and not self.line_seen and self._awaited.search(line):
            self.line_seen = True
            self.settled.set()
