"""A server in a child process, for tests: ready when `start` returns, gone with all its children after `stop`."""

import os
import re
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from steprig.live.at_exit import forget, stop_at_exit
from steprig.live.child import Child
from steprig.live.deadline import Deadline
from steprig.live.errors import ServerShutdownError, ServerStartupError
from steprig.live.log_lines import LogBuffer, LogLines
from steprig.live.managed import Managed
from steprig.live.readiness import HttpProbe, PortProbe, wait_until_ready
from steprig.live.sockets import accepts, netloc

_CLEANUP = 0.5
"""Seconds that a process which did not become ready gets to end by itself."""

_KILL_WAIT = 2.0
"""Seconds within which a killed process is gone, unless the kernel holds it."""

_PRE_CHECK = 0.2
"""Seconds to find out whether something answers already; on one machine it takes microseconds."""


class ProcessServer(Managed):
    """A server that runs as a child process.

    `start` returns when every condition given as `ready_...` holds; without any, as soon as the
    process runs. An exit before that is reported at once, with the last output. `stop` asks the
    process and all its children to end, and kills what is left after `shutdown_timeout`.

        with ProcessServer(["python", "-m", "http.server", "8000"], ready_port=8000) as server:
            ...

    Args:
        command: the program and its arguments.
        cwd: directory to run in; None for the current one.
        env: variables to add to this process's environment, or with None to take out of it.
            PYTHONUNBUFFERED is set, so that a Python child's lines come when they are written.
        ready_host: the host that belongs to `ready_port`.
        ready_port: a port that has to accept connections. It must be free before.
        ready_url: a URL that has to answer GET with a status below 400, or an `HttpProbe` with a
            method and status of its own. Nothing may answer there before.
        ready_log: a regular expression that has to match a line of the output.
        log_file: a file to which output is added as it comes.
        startup_timeout: seconds until a start is given up.
        shutdown_timeout: seconds between asking to end and killing.
        name: what messages call the server; the program's name if None.

    Raises:
        TypeError: `command` is a string.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        ready_host: str = "127.0.0.1",
        ready_port: int | None = None,
        ready_url: str | HttpProbe | None = None,
        ready_log: str | re.Pattern[str] | None = None,
        log_file: str | os.PathLike[str] | None = None,
        startup_timeout: float = 10.0,
        shutdown_timeout: float = 5.0,
        name: str | None = None,
    ) -> None:
        if isinstance(command, str):
            raise TypeError(f"command has to be a sequence of arguments, such as shlex.split({command!r})")
        self._command = [os.fspath(part) for part in command]
        self._cwd = Path(cwd) if cwd is not None else None
        self._env = dict(env or {})
        self._probes = _probes(ready_host, ready_port, ready_url)
        self._ready_log = re.compile(ready_log) if ready_log is not None else None
        self._log_file = Path(log_file) if log_file is not None else None
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self.name = name if name is not None else Path(self._command[0]).name
        self.output = LogBuffer()
        """What the process writes, as it comes; `logs` is what has come."""
        self._lock = threading.Lock()
        self._child: Child | None = None

    def start(self) -> Self:
        """Start the process, and return once it is ready.

        Returns:
            The server itself.

        Raises:
            ServerStartupError: the program cannot be run, exited, or was not ready in time; or
                something else answers already where it is to answer.
            RuntimeError: it is running already.
        """
        deadline = Deadline.after(self._startup_timeout)
        child = self._spawn()
        try:
            self._await_line(child, deadline)
            for probe in self._probes:
                self._await_answer(child, probe, deadline)
        except BaseException:
            self._end(child, _CLEANUP)
            raise
        return self

    def stop(self) -> None:
        """End the process and all its children, and return once they are gone.

        One that has ended already, or never ran, is no error; `returncode` tells how it ended.

        Raises:
            ServerShutdownError: something survives being killed, or has left the process group.
        """
        child = self._child
        if child is None or child.is_foreign:
            return
        self._end(child, self._shutdown_timeout)
        if not child.ended.is_set():
            raise ServerShutdownError(f"{self.name} (process {child.pid}) does not end, though it was killed")
        if child.holds_output:
            raise ServerShutdownError(
                f"{self.name} has ended, but a process that it started has left its process group and "
                "lives on: its output is still open"
            )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the process to end by itself, with all its children.

        Args:
            timeout: seconds; None for as long as it takes.

        Returns:
            Whether it has ended. One that never ran has.
        """
        child = self._child
        return child is None or child.ended.wait(timeout)

    def restart(self) -> Self:
        """Stop, and start again with the same command.

        Returns:
            The server itself.

        Raises:
            ServerStartupError: as for `start`.
            ServerShutdownError: as for `stop`.
        """
        self.stop()
        return self.start()

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        child = self._child
        return child is not None and not child.is_foreign and child.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id, also that of its group; None before the first start."""
        return self._child.pid if self._child is not None else None

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None before the end."""
        return self._child.returncode if self._child is not None else None

    @property
    def logs(self) -> LogLines:
        """What the process has written to stdout and stderr so far, over all its starts."""
        return self.output.read()

    def __repr__(self) -> str:
        state = f"running as {self.pid}" if self.is_running else "stopped"
        return f"<{type(self).__name__} {self.name} {state}>"

    def _spawn(self) -> Child:
        with self._lock:
            if self.is_running:
                raise RuntimeError(f"{self.name} is running already; restart() stops it first")
            self._refuse_squatters()
            try:
                child = Child(
                    self._command,
                    cwd=self._cwd,
                    env=self._environment(),
                    log_file=self._log_file,
                    output=self.output,
                    awaited=self._ready_log,
                )
            except OSError as error:
                raise ServerStartupError(f"cannot run {self._command[0]!r}: {error}") from error
            self._child = child
            stop_at_exit(child, partial(self._end, child, self._shutdown_timeout))
            return child

    def _refuse_squatters(self) -> None:
        """What answers before the start would be taken for the server."""
        for probe in self._probes:
            host, port = probe.address
            if accepts(host, port, _PRE_CHECK):
                raise ServerStartupError(
                    f"{self.name} cannot be told from what is listening on {netloc(host, port)} already; "
                    "stop that, or use another port"
                )

    def _environment(self) -> dict[str, str]:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._env}
        return {name: value for name, value in env.items() if value is not None}

    def _await_line(self, child: Child, deadline: Deadline) -> None:
        if self._ready_log is None:
            return
        child.settled.wait(deadline.remaining)
        if not child.line_seen:
            raise self._not_ready(child, f"no line of its output matches {self._ready_log.pattern!r}")

    def _await_answer(self, child: Child, probe: HttpProbe | PortProbe, deadline: Deadline) -> None:
        seen = wait_until_ready(probe.attempt, deadline, child.ended)
        # An answer may come from someone who was quicker to take the port than a child that died of it.
        if seen is not None or child.returncode is not None:
            raise self._not_ready(child, f"awaited {probe}; last seen: {seen}")

    def _not_ready(self, child: Child, missing: str) -> ServerStartupError:
        if child.returncode is not None:
            child.join(_KILL_WAIT)  # until its last words are read
            text = f"{self.name} {_how_it_ended(child.returncode)} before it was ready"
        else:
            text = f"{self.name} was not ready within {self._startup_timeout:g} s: {missing}"
        return ServerStartupError(f"{text}\n--- its last output ---\n{self.logs.tail() or '(none)'}")

    def _end(self, child: Child, grace: float) -> None:
        if child.is_foreign:
            return
        child.terminate()
        if not child.join(grace):
            child.kill()
            child.join(_KILL_WAIT)
        forget(child)


def _probes(host: str, port: int | None, url: str | HttpProbe | None) -> list[HttpProbe | PortProbe]:
    probes: list[HttpProbe | PortProbe] = []
    if port is not None:
        probes.append(PortProbe(host, port))
    if url is not None:
        probes.append(HttpProbe(url) if isinstance(url, str) else url)
    return probes


def _how_it_ended(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with code {returncode}"
    number = -returncode
    with suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}"
    return f"was ended by signal {number}"
