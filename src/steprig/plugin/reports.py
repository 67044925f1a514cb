"""What a failing test's report gets: the log and the runs of the servers that were up meanwhile."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

import pytest

_LINES = 200
_RUNS = 20

_CATCH_UP = 0.1
"""Seconds that a server's loop gets to log what it has done: a traceback comes after its response."""


class Server(Protocol):
    """A server whose log can be read."""

    @property
    def logs(self) -> Sequence[str]:
        """What it has logged so far."""
        ...


def is_server(value: object) -> bool:
    """Whether a fixture's value is one of steprig's servers, found out without importing any."""
    cls = type(value)
    is_ours = any(base.__module__.startswith("steprig.") for base in cls.__mro__)
    return is_ours and isinstance(getattr(cls, "logs", None), property)


class FailureReports:
    """Plugin: adds sections to the reports of failing tests.

    A server is watched from the moment that its fixture has it until the end of the test in which
    the fixture ends. Sections hold what has come since the test began, or since the last report
    of the same test.
    """

    def __init__(self) -> None:
        self._watched: list[Watched] = []

    def watch(self, name: str, server: Server, fixture: object = None) -> "Watched":
        """Watch a server from now on, unless it is watched already.

        Args:
            name: what the sections call it.
            server: anything with a log, and perhaps with a timeline.
            fixture: what ends it.
        """
        for known in self._watched:
            if known.server is server and not known.is_gone:
                return known
        watched = Watched(name, server, fixture)
        self._watched.append(watched)
        return watched

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Watch the servers that fixtures give."""
        value = yield
        if is_server(value):
            self.watch(fixturedef.argname, cast("Server", value), fixturedef)
        return value

    @pytest.hookimpl
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[object]) -> None:
        """Note which servers end."""
        for watched in self._watched:
            if watched.fixture is fixturedef:
                watched.is_gone = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """A test begins: what was logged before is not its doing."""
        for watched in self._watched:
            if watched.is_gone:
                watched.close()
        self._watched = [watched for watched in self._watched if not watched.is_gone]
        self._mark()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the sections once the outcome is known."""
        if call.excinfo is not None:
            for watched in self._watched:
                # Before pytest formats the failure: in some releases of CPython 3.11 two threads that format
                # tracebacks at once fail with a SystemError.
                watched.catch_up()
        report = yield
        if report.failed:
            for watched in self._watched:
                report.sections += watched.sections()
            self._mark()
        return report

    def _mark(self) -> None:
        for watched in self._watched:
            watched.mark()


class Watched:
    """A server, and how much of its past belongs to earlier tests."""

    def __init__(self, name: str, server: Server, fixture: object) -> None:
        self.name = name
        self.server = server
        self.fixture = fixture
        self.is_gone = False
        self._lines_before = 0
        self._last_line_before = ""
        self._runs = _Runs(server) if hasattr(server, "timeline") and hasattr(server, "journal") else None

    def mark(self) -> None:
        """What there is now is from before."""
        lines = self._lines()
        self._lines_before = len(lines)
        self._last_line_before = lines[-1] if lines else ""
        if self._runs is not None:
            self._runs.mark()

    def sections(self) -> list[tuple[str, str]]:
        """What has come since the mark, as sections of a report: only those with something in them."""
        texts = {"server log": self._read(self._log)}
        if self._runs is not None:
            texts["runs"] = self._read(self._runs.text)
        return [(f"steprig {what}: {self.name}", text) for what, text in texts.items() if text]

    def close(self) -> None:
        """Stop listening to what the server does."""
        if self._runs is not None:
            self._runs.close()

    def catch_up(self) -> None:
        """Let the server's loop log what it has done."""
        with suppress(AttributeError, RuntimeError):  # it has no loop of its own, or does not run
            caught_up = threading.Event()
            cast("Any", self.server).loop.call_soon_threadsafe(caught_up.set)
            caught_up.wait(_CATCH_UP)

    def _lines(self) -> Sequence[str]:
        self.catch_up()
        return self.server.logs

    def _log(self) -> str:
        lines = self._lines()
        new = list(lines[self._lines_before :]) if self._mark_holds(lines) else list(lines)
        left_out = [f"... {len(new) - _LINES} lines before these"] if len(new) > _LINES else []
        return "\n".join([*left_out, *new[-_LINES:]])

    def _mark_holds(self, lines: Sequence[str]) -> bool:
        """A full log drops its oldest lines, and then all its lines move."""
        at = self._lines_before
        return at == 0 or (len(lines) >= at and lines[at - 1] == self._last_line_before)

    @staticmethod
    def _read(read: Callable[[], str]) -> str:
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - a report that cannot be completed must not end the session.
            return f"it cannot be read: {error!r}"


class _Runs:
    """The runs that a server's journal got since the mark."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._last_seq = self._since = 0
        self.close: Callable[[], None] = server.journal.listen(self)

    def appended(self, record: Any) -> None:
        """See `JournalListener`."""
        self._last_seq = record.seq

    def dropped(self, stream: Any) -> None:
        """See `JournalListener`."""

    def mark(self) -> None:
        self._since = self._last_seq

    def text(self) -> str:
        from steprig.kernel.tree import run_tree

        runs = self._server.timeline.runs(since=self._since)
        left_out = [f"... {len(runs) - _RUNS} runs before these"] if len(runs) > _RUNS else []
        waiting = [self._clock()] if any(not run.status.ended for run in runs) else []
        return "\n\n".join([*left_out, *map(run_tree, runs[-_RUNS:]), *filter(None, waiting)])

    def _clock(self) -> str:
        """Why the runs do not go on: what time waits for."""
        from steprig.kernel import VirtualClock

        clock = getattr(self._server, "clock", None)
        if not isinstance(clock, VirtualClock):
            return ""
        in_flight = ", ".join(f"{number} x {what}" for what, number in clock.in_flight.items()) or "nothing"
        timers = "".join(f"\n  {timer!r}" for timer in clock.pending[:_RUNS]) or " none"
        return f"the virtual clock stands at {clock.now():%Y-%m-%d %H:%M:%S}; in flight: {in_flight}; timers:{timers}"
