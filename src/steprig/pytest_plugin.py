"""The pytest plugin: options and fixtures.

Nothing that a fixture needs is imported before the fixture is used, as pytest imports this module
in every run of every project that has steprig installed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from steprig.plugin.application import configured_app
from steprig.plugin.dev_address import DevAddress, point_sdks_at
from steprig.plugin.overrides import ServerOfThisTest
from steprig.plugin.reports import FailureReports, Watched

if TYPE_CHECKING:
    from steprig.aws import DurableFunctionCloudTestRunner, DurableFunctionTestRunner
    from steprig.durabletask.task_hub import TaskHub
    from steprig.inngest import DevServer, DevServerClient, DevServerLike
    from steprig.kernel import VirtualClock
    from steprig.live import UvicornTestServer

_reports = pytest.StashKey[FailureReports]()
_address = pytest.StashKey[DevAddress]()

Application = Callable[..., object] | str
"""What `asgi_app` may give: an application, a factory of one, or an import string."""


class UvicornServerFactory(Protocol):
    """The type of the fixture `uvicorn_server_factory`."""

    def __call__(self, app: Application | None = None, **options: object) -> "UvicornTestServer":
        """Start a server, which is stopped when the test ends.

        Args:
            app: what to serve; by default what `asgi_app` gives, with the options of `uvicorn_options`.
            **options: as for `UvicornTestServer`.
        """
        ...


class DurableFunctionRunnerFactory(Protocol):
    """The type of the fixture `durable_function_runner`."""

    mode: str
    """Where functions run: `local`, `web` or `cloud`."""

    def __call__(
        self, handler: Callable[..., Any], *, deployed_as: str | None = None, **options: Any
    ) -> "DurableFunctionTestRunner | DurableFunctionCloudTestRunner":
        """Make a runner, which is closed when the test ends.

        Args:
            handler: A function decorated with `@durable_execution`.
            deployed_as: What it is called where it is deployed; by default what --steprig-aws-function says.
            **options: As for the runner of the mode.
        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("steprig")
    group.addoption(
        "--steprig-aws",
        default=None,
        metavar="local|web|cloud",
        help="Where durable_function_runner runs functions: in the test's process (local, the default), on a server "
        "beside it and by boto3 (web), or where they are deployed (cloud).",
    )
    group.addoption(
        "--steprig-aws-function",
        action="append",
        default=[],
        metavar="[HANDLER=]NAME",
        help="With --steprig-aws=cloud, the name or ARN of the deployed function that a handler stands for, or of all "
        "for which there is no other; {handler} in it is the handler's name. May be repeated.",
    )
    group.addoption(
        "--steprig-durabletask",
        default="embedded",
        metavar="embedded|HOST:PORT[/TASKHUB]",
        help="What the fixture durable_task_backend gives: the embedded backend (default), or a Durable Task sidecar, "
        "emulator or scheduler that runs already.",
    )
    parser.addini(
        "steprig_app",
        'The application that servers serve: "module:app", or "module:create_app()" to make one for each server. '
        "Overriding the fixture asgi_app is the other way to give it.",
        default="",
    )
    parser.addini(
        "steprig_log_level",
        'Level from which steprig\'s servers log, e.g. "info" for a line per request (default: warning).',
        default="warning",
    )
    parser.addini(
        "steprig_inngest_dev",
        "Have INNGEST_DEV name the address of the fixture dev_server from the start, so that an Inngest client that "
        "is made while tests are collected talks to it.",
        type="bool",
        default=False,
    )
    parser.addini(
        "steprig_inngest_path",
        "Path at which the application serves its Inngest functions (default: /api/inngest).",
        default="/api/inngest",
    )

    parser.addini(
        "steprig_aws",
        "Where durable_function_runner runs functions unless --steprig-aws says so: local (default), web or cloud.",
        default="local",
    )
    parser.addini(
        "steprig_aws_functions",
        "What is deployed, a [HANDLER=]NAME a line; --steprig-aws-function goes before.",
        type="linelist",
        default=[],
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Say where the dev server will be before a conftest imports an app."""
    _find_address(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the parts."""
    config.stash[_reports] = FailureReports()
    config.pluginmanager.register(config.stash[_reports], "steprig failure reports")
    config.pluginmanager.register(_find_address(config), "steprig dev address")
    config.pluginmanager.register(ServerOfThisTest(), "steprig server of this test")


def _find_address(config: pytest.Config) -> DevAddress:
    if _address not in config.stash:
        config.stash[_address] = DevAddress(config)
        if config.getini("steprig_inngest_dev"):
            config.stash[_address].announce()
    return config.stash[_address]


@pytest.fixture(scope="session")
def asgi_app(pytestconfig: pytest.Config) -> Application:
    """The application that servers serve: what the ini option `steprig_app` names, unless overridden.

    An override has the scope "session" for `running_server`, any for the others. It may give an
    application, a factory of one, or an import string.
    """
    return configured_app(pytestconfig)


@pytest.fixture(scope="session")
def uvicorn_options(pytestconfig: pytest.Config) -> Mapping[str, object]:
    """Options of `UvicornTestServer` for the servers of `asgi_app`; override it for TLS, WSGI and so on."""
    return {"log_level": pytestconfig.getini("steprig_log_level")}


@pytest.fixture(scope="session")
def running_server(asgi_app: Application, uvicorn_options: Mapping[str, object]) -> Iterator["UvicornTestServer"]:
    """A server of `asgi_app` that all tests share."""
    from steprig.live import UvicornTestServer

    with UvicornTestServer(asgi_app, **uvicorn_options) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture
def fresh_server(asgi_app: Application, uvicorn_options: Mapping[str, object]) -> Iterator["UvicornTestServer"]:
    """A server of `asgi_app` for this test alone."""
    from steprig.live import UvicornTestServer

    with UvicornTestServer(asgi_app, **uvicorn_options) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture
def uvicorn_server_factory(request: pytest.FixtureRequest) -> Iterator[UvicornServerFactory]:
    """A function `(app=None, **options)` that starts servers; they are stopped in reverse order at the end."""
    from steprig.live import UvicornTestServer

    reports = request.config.stash[_reports]
    watched: list[Watched] = []

    def start(app: Application | None = None, **options: object) -> UvicornTestServer:
        if app is None:
            app = request.getfixturevalue("asgi_app")
            options = {**request.getfixturevalue("uvicorn_options"), **options}
        options.setdefault("log_level", request.config.getini("steprig_log_level"))
        server = UvicornTestServer(app, **options)  # type: ignore[arg-type]
        server.start()
        stops.callback(server.stop)
        watched.append(reports.watch(f"uvicorn_server_factory, server {len(watched) + 1}", server))
        return server

    try:
        with ExitStack() as stops:
            yield start
    finally:
        for each in watched:
            each.is_gone = True


@pytest.fixture
def virtual_clock() -> Iterator["VirtualClock"]:
    """A `VirtualClock`: time jumps to the next timer as soon as nothing is in flight."""
    from steprig.kernel import VirtualClock

    clock = VirtualClock()
    yield clock
    clock.close()


@pytest.fixture(scope="session")
def dev_server(request: pytest.FixtureRequest) -> Iterator["DevServerLike"]:
    """The Inngest dev server that all tests share, and that INNGEST_DEV points clients at.

    By default the embedded one, on a `VirtualClock` and a free port. The variable STEPRIG_INNGEST
    chooses another: `cli` for the real `inngest-cli dev`, or the URL of one that runs already.
    """
    from steprig.plugin.inngest import open_dev_server

    with open_dev_server(request.config.stash[_address]) as server:
        yield server


@pytest.fixture
def fresh_dev_server(virtual_clock: "VirtualClock", monkeypatch: pytest.MonkeyPatch) -> Iterator["DevServer"]:
    """An embedded Inngest dev server for this test alone, on the test's `virtual_clock`.

    INNGEST_DEV points at it during the test, so make the app in the test, or in fixtures of its scope.
    """
    from steprig.inngest import DevServer

    with DevServer(clock=virtual_clock) as server:
        point_sdks_at(server.origin, monkeypatch)
        yield server


@pytest.fixture
def dev_server_client(request: pytest.FixtureRequest) -> "DevServerClient":
    """A `DevServerClient` of `fresh_dev_server` if the test uses that, else of `dev_server`."""
    from steprig.inngest import DevServerClient

    return DevServerClient(_dev_server_of(request).origin)


@pytest.fixture
def inngest_app(request: pytest.FixtureRequest) -> "UvicornTestServer":
    """The server of `asgi_app`, with its Inngest functions registered with the dev server.

    It is `fresh_server` if the test uses that, else `running_server`; and it is registered with
    `fresh_dev_server` if the test uses that, else with `dev_server`. The functions are looked for
    at /api/inngest, or where the ini option `steprig_inngest_path` says.
    """
    from steprig.plugin.inngest import register

    dev_server = _dev_server_of(request)  # first: a client that is made with the app has to find it
    name = "fresh_server" if "fresh_server" in request.fixturenames else "running_server"
    server: UvicornTestServer = request.getfixturevalue(name)
    register(server.url(request.config.getini("steprig_inngest_path")), dev_server)
    return server


@pytest.fixture
def durable_function_runner(request: pytest.FixtureRequest) -> Iterator[DurableFunctionRunnerFactory]:
    """A function `(handler, **options)` that makes runners of AWS durable functions; they are closed at the end.

    They run in this process, on the test's `virtual_clock` if it uses that. With the option --steprig-aws=web they run
    on a server beside it, and are called by boto3; with --steprig-aws=cloud where they are deployed.
    """
    from steprig.plugin.aws import DurableFunctionRunners

    config = request.config
    mode: str = config.getoption("--steprig-aws") or config.getini("steprig_aws")
    deployed: list[str] = [*config.getoption("--steprig-aws-function"), *config.getini("steprig_aws_functions")]
    clock = request.getfixturevalue("virtual_clock") if "virtual_clock" in request.fixturenames else None
    with ExitStack() as opened:
        runners = DurableFunctionRunners(mode, deployed, opened, config.stash[_reports], clock)
        opened.callback(runners.end)
        yield runners


@pytest.fixture
def durable_task_backend(request: pytest.FixtureRequest) -> Iterator["TaskHub"]:
    """A Durable Task backend for this test alone, on a free port and the test's `virtual_clock`.

    It makes clients and workers that end with the test. With the option --steprig-durabletask=HOST:PORT the test
    runs, in real time, on a sidecar, emulator or scheduler instead; what it leaves there stays.
    """
    from steprig.plugin.durabletask import EMBEDDED, open_task_hub, remote_task_hub

    target: str = request.config.getoption("--steprig-durabletask")
    if target == EMBEDDED:
        with open_task_hub(request.getfixturevalue("virtual_clock")) as hub:
            yield hub
    else:
        with remote_task_hub(target) as hub:
            yield hub


def _dev_server_of(request: pytest.FixtureRequest) -> "DevServerLike":
    name = "fresh_dev_server" if "fresh_dev_server" in request.fixturenames else "dev_server"
    server: DevServerLike = request.getfixturevalue(name)
    return server
