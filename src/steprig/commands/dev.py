"""`steprig dev`: the embedded Inngest dev server in the foreground, until Ctrl-C."""

import errno
import gc
import logging
import socket
import threading
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from steprig.commands.foreground import Foreground

if TYPE_CHECKING:
    from steprig.inngest import DevServer
    from steprig.kernel import Clock, Journal

DEFAULT_CONNECT_PORT: Final = 8289

_PORTS_TRIED: Final = 100


class LogLevel(StrEnum):
    """How much of its own requests the server logs, by the names of `inngest-cli`."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"

    @property
    def in_python(self) -> str:
        """The name of the level in Python's logging, and for Uvicorn."""
        return {"trace": "debug", "warn": "warning"}.get(self.value, self.value)


class ClockName(StrEnum):
    """Which clock the server goes by."""

    REAL = "real"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True, slots=True)
class DevOptions:
    """What `steprig dev` was told; see its `--help`."""

    port: int
    host: str
    sdk_urls: tuple[str, ...]
    discovery: bool
    poll_interval: float | None
    retry_interval: float | None
    connect_port: int | None
    clock: ClockName
    kept_in: Path | None
    event_keys: tuple[str, ...]
    signing_key: str | None
    signing_key_fallback: str | None
    log_level: LogLevel
    show_runs: bool


def serve(options: DevOptions) -> None:
    """Serve until the process is asked to end.

    Raises:
        SteprigError: The server did not start, or not end, as it should.
        ImportError: The extra that it needs is not installed; the message names it.
    """
    logging.basicConfig(level=options.log_level.in_python.upper(), format="%(levelname)s %(message)s")
    with ExitStack() as stack:
        foreground = stack.enter_context(Foreground())
        from steprig.inngest import DevServer  # takes its time, in which Ctrl-C is to do no harm

        clock = stack.enter_context(_clock(options.clock))
        connect_port = None if options.connect_port is None else _free_port(options.host, options.connect_port)
        server = DevServer(
            options.port,
            host=options.host,
            strict_port=True,
            clock=clock,
            journal=_journal(options.kept_in, stack),
            sdk_urls=options.sdk_urls,
            event_keys=options.event_keys,
            signing_key=options.signing_key,
            signing_key_fallback=options.signing_key_fallback,
            connect_port=connect_port,
            retry_interval=None if options.retry_interval is None else timedelta(seconds=options.retry_interval),
            poll_interval=options.poll_interval,
            crons=True,
            discovery=options.discovery,
            log_level=options.log_level.in_python,
        )
        _tell_news(server, foreground, stack, with_runs=options.show_runs)
        stack.enter_context(server)
        _keep_from_collector()
        foreground.say(_welcome(server.origin, options, connect_port))
        for url in options.sdk_urls:
            threading.Thread(target=_tell_if_unsynced, args=(server, url, foreground), daemon=True).start()
        foreground.run()


def what_to_try(error: BaseException) -> str:
    """For a start that failed because of the port: which port to take instead; otherwise nothing."""
    cause = error.__cause__
    if not isinstance(cause, OSError):
        return ""
    if cause.errno == errno.EADDRINUSE:
        return (
            "\nPerhaps another dev server runs there: stop that, or choose another port with --port "
            "(0 for any free one), and tell SDKs about it with INNGEST_DEV."
        )
    return "\nChoose another --port or --host." if cause.errno in (errno.EACCES, errno.EADDRNOTAVAIL) else ""


def _keep_from_collector() -> None:
    """Have the garbage collector look at nothing again that is there by now: it would halt every call for longer."""
    gc.collect()
    gc.freeze()


def _clock(name: ClockName) -> "Clock":
    from steprig.kernel import RealClock, VirtualClock

    return VirtualClock() if name is ClockName.SKIP else RealClock()


def _tell_news(server: "DevServer", foreground: Foreground, stack: ExitStack, *, with_runs: bool) -> None:
    from steprig.commands.news import News

    stack.callback(server.journal.listen(News(foreground.say, server.timeline if with_runs else None)))


def _welcome(origin: str, options: DevOptions, connect_port: int | None) -> str:
    pace = "skipping sleeps" if options.clock is ClockName.SKIP else "in real time"
    looks = " Looking for apps on this machine's usual ports." if options.discovery else ""
    lines = [
        f"Inngest dev server at {origin}, {pace}. Ctrl-C stops it.",
        f"SDKs find it with INNGEST_DEV={origin}.{looks} Waiting for apps.",
    ]
    if connect_port is not None:
        moved = f", as {options.connect_port} is in use" if connect_port != options.connect_port else ""
        lines.insert(1, f"Workers connect on port {connect_port}{moved if options.connect_port else ''}.")
    if options.kept_in is not None:
        lines.insert(1, f"What it is told is kept in {_file_in(options.kept_in)}.")
    return "\n".join(lines)


def _journal(directory: Path | None, stack: ExitStack) -> "Journal | None":
    """Where runs are kept, if not in memory.

    Raises:
        SteprigError: The file cannot be used.
    """
    if directory is None:
        return None
    from steprig.kernel import SqliteJournal

    with suppress(OSError):  # the journal says what is wrong
        directory.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(closing(SqliteJournal(_file_in(directory))))


def _file_in(directory: Path) -> Path:
    return directory / "steprig.db"


def _free_port(host: str, first: int) -> int:
    """The first port from `first` on that is free; any for 0."""
    for port in range(first, min(first + _PORTS_TRIED, 65535) + 1):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                sock.bind((host, port))
                free: int = sock.getsockname()[1]
                return free
    return first  # the start says what is wrong


def _tell_if_unsynced(server: "DevServer", url: str, foreground: Foreground) -> None:
    """The server itself goes on trying, and an app that has synced is news anyway: this tells of the first failure."""
    from steprig.inngest import SyncError

    # A server that stops meanwhile says nothing more.
    with suppress(RuntimeError, CancelledError, TimeoutError):
        try:
            server.sync(url)
        except SyncError as error:
            foreground.say(f"not synced yet: {error}; trying again every 5 s")
