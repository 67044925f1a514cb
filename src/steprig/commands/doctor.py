"""`steprig doctor`: whether what steprig needs is there and works, and what else is on this machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Final, NamedTuple

import typer
from packaging.requirements import Requirement  # comes with pytest

from steprig.errors import SteprigError
from steprig.live.sockets import listen

_TOOL_TIMEOUT = 15.0
"""Seconds. npx reads its configuration before it says its version."""

_ANSWER_TIMEOUT = 5.0

_VERSION: Final = re.compile(r"\d+(\.\d+)+")

_PORTS: Final = {8000: "the demo's app", 8288: "the dev server", 8289: "Connect"}

_SDKS: Final = {
    "inngest": "inngest",
    "aws-durable-execution-sdk-python": "aws",
    "boto3": "aws",
    "durabletask": "durabletask",
    "grpcio": "durabletask",
    "kailash": "kailash",
}
"""Distributions, and the extra of steprig that has to do with each."""

_TOOLS: Final = {
    "uv": "python -m pip install uv",
    "node": "needed only for the real inngest-cli",
    "npx": "comes with Node.js; needed only for the real inngest-cli",
    "curl": "needed only for the lines that demo_server.py prints",
}
"""Programs, and what to say where one is missing."""


class State(StrEnum):
    """What is to be thought of a finding."""

    OK = "ok"
    NOTE = "-"
    BROKEN = "FAIL"


class Finding(NamedTuple):
    """Something that was looked at."""

    state: State
    subject: str
    detail: str

    @property
    def is_broken(self) -> bool:
        """Whether steprig cannot work as long as it is so."""
        return self.state is State.BROKEN


def examine() -> list[Finding]:
    """Look at everything. Takes about as long as `npx --version`, as programs are asked at the same time."""
    with ThreadPoolExecutor(len(_TOOLS)) as pool:
        tools = [pool.submit(tool, name, hint) for name, hint in _TOOLS.items()]
        return [
            python(),
            *dependencies(),
            *map(sdk, _SDKS),
            trial("test server", _try_test_server),
            trial("dev server", _try_dev_server, extra="inngest"),
            *map(port, _PORTS),
            *(each.result() for each in tools),
        ]


def show(findings: Iterable[Finding]) -> None:
    """Write findings as a table: in colour on a terminal, plain elsewhere."""
    findings = list(findings)
    width = max(len(finding.subject) for finding in findings)
    colours = {State.OK: typer.colors.GREEN, State.NOTE: typer.colors.YELLOW, State.BROKEN: typer.colors.RED}
    for state, subject, detail in findings:
        typer.echo(f"{typer.style(f'{state.value:<5}', fg=colours[state])} {subject:<{width}}  {detail}")


def python() -> Finding:
    """The interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - it can be run where it could not be installed
        return Finding(State.BROKEN, "Python", f"{found}; steprig needs 3.11 or later")
    return Finding(State.OK, "Python", f"{found} at {sys.executable}")


def dependencies() -> Iterator[Finding]:
    """steprig itself, and each package that it cannot be without and that is missing or too old."""
    yield Finding(State.OK, "steprig", version("steprig"))
    for needed in _requirements(extra=""):
        if (problem := _problem(needed)) is not None:
            yield Finding(State.BROKEN, needed.name, f"{problem}: pip install '{_without_marker(needed)}'")


def sdk(name: str) -> Finding:
    """A package that steprig tests programs for."""
    extra = _SDKS[name]
    is_offered = extra in (metadata("steprig").get_all("Provides-Extra") or ())
    try:
        found = version(name)
    except PackageNotFoundError:
        hint = f": pip install 'steprig[{extra}]'" if is_offered else "; steprig has no support for it yet"
        return Finding(State.NOTE, name, f"not installed{hint}")
    wanted = [needed for needed in _requirements(extra) if needed.name == name]
    problems = [problem for needed in wanted if (problem := _problem(needed)) is not None]
    if problems:
        return Finding(State.BROKEN, name, f"{problems[0]}: pip install --upgrade 'steprig[{extra}]'")
    return Finding(State.OK, name, found if is_offered else f"{found}; steprig has no support for it yet")


def port(number: int) -> Finding:
    """Whether a port that is used by default can be bound on loopback."""
    subject = f"port {number}"
    try:
        listen("127.0.0.1", number).close()
    except OSError as error:
        return Finding(State.NOTE, subject, f"{error.strerror or error}; {_PORTS[number]} would need another")
    return Finding(State.OK, subject, f"free for {_PORTS[number]}")


def tool(name: str, hint: str) -> Finding:
    """A program that is found on PATH, and the version that it says."""
    path = shutil.which(name)
    if path is None:
        return Finding(State.NOTE, name, f"not on PATH: {hint}")
    try:
        done = subprocess.run(  # noqa: S603 - asks a program on PATH for its version.
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TOOL_TIMEOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(State.NOTE, name, f"`{path} --version` fails: {error}")
    lines = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode != 0:
        return Finding(State.NOTE, name, f"`{path} --version` fails: {lines[-1] if lines else done.returncode}")
    number = _VERSION.search(done.stdout)
    return Finding(State.OK, name, f"{number[0] if number else 'present'} at {path}")


def trial(subject: str, start: Callable[[], str | None], *, extra: str | None = None) -> Finding:
    """Start a server, have it answer, and stop it.

    Args:
        subject: What it is.
        start: Does it, and returns what was seen in place of an answer.
        extra: The extra without which it cannot be, if any.
    """
    try:
        problem = start()
    except ImportError as error:
        # One who has not asked for an extra misses nothing.
        is_asked_for = extra is None or not _lacks(extra)
        return Finding(State.BROKEN if is_asked_for else State.NOTE, subject, str(error))
    except (SteprigError, OSError) as error:
        problem = str(error)
    if problem is not None:
        return Finding(State.BROKEN, subject, f"does not work: {problem}")
    return Finding(State.OK, subject, "starts, answers and stops")


def _try_test_server() -> str | None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from steprig.live import HttpProbe, UvicornTestServer

    app = Starlette(routes=[Route("/health", lambda request: PlainTextResponse("OK"))])
    with UvicornTestServer(app) as server:
        return HttpProbe(server.url("/health")).attempt(_ANSWER_TIMEOUT)


def _try_dev_server() -> str | None:
    from steprig.inngest import DevServer
    from steprig.live import HttpProbe

    with DevServer() as server:
        return HttpProbe(f"{server.origin}/health").attempt(_ANSWER_TIMEOUT)


def _requirements(extra: str) -> Iterator[Requirement]:
    """What steprig needs here for an extra, or with "" always."""
    for line in requires("steprig") or ():
        needed = Requirement(line)
        marker = needed.marker
        is_core = marker is None or marker.evaluate({"extra": ""})
        if (is_core and not extra) or (not is_core and marker is not None and marker.evaluate({"extra": extra})):
            yield needed


def _problem(needed: Requirement) -> str | None:
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return "not installed"
    if needed.specifier.contains(found, prereleases=True):
        return None
    return f"{found} is installed, {needed.specifier} is needed"


def _lacks(extra: str) -> bool:
    return any(_problem(needed) is not None for needed in _requirements(extra))


def _without_marker(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"
