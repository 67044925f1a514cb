"""`steprig dev`: the embedded Inngest dev server in the foreground, until Ctrl-C."""

import errno
import logging
import threading
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from steprig.commands.foreground import Foreground

if TYPE_CHECKING:
    from steprig.inngest import DevServer
    from steprig.kernel import Clock


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
    clock: ClockName
    event_keys: tuple[str, ...]
    signing_key: str | None
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
        server = DevServer(
            options.port,
            host=options.host,
            strict_port=True,
            clock=clock,
            sdk_urls=options.sdk_urls,
            event_keys=options.event_keys,
            signing_key=options.signing_key,
            retry_interval=None if options.retry_interval is None else timedelta(seconds=options.retry_interval),
            poll_interval=options.poll_interval,
            crons=True,
            discovery=options.discovery,
            log_level=options.log_level.in_python,
        )
        _tell_news(server, foreground, stack, with_runs=options.show_runs)
        stack.enter_context(server)
        foreground.say(_welcome(server.origin, options))
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


def _clock(name: ClockName) -> "Clock":
    from steprig.kernel import RealClock, VirtualClock

    return VirtualClock() if name is ClockName.SKIP else RealClock()


def _tell_news(server: "DevServer", foreground: Foreground, stack: ExitStack, *, with_runs: bool) -> None:
    from steprig.commands.news import News

    stack.callback(server.journal.listen(News(foreground.say, server.timeline if with_runs else None)))


def _welcome(origin: str, options: DevOptions) -> str:
    pace = "skipping sleeps" if options.clock is ClockName.SKIP else "in real time"
    looks = " Looking for apps on this machine's usual ports." if options.discovery else ""
    return (
        f"Inngest dev server at {origin}, {pace}. Ctrl-C stops it.\n"
        f"SDKs find it with INNGEST_DEV={origin}.{looks} Waiting for apps."
    )


def _tell_if_unsynced(server: "DevServer", url: str, foreground: Foreground) -> None:
    """The server itself goes on trying, and an app that has synced is news anyway: this tells of the first failure."""
    from steprig.inngest import SyncError

    # A server that stops meanwhile says nothing more.
    with suppress(RuntimeError, CancelledError, TimeoutError):
        try:
            server.sync(url)
        except SyncError as error:
            foreground.say(f"not synced yet: {error}; trying again every 5 s")
