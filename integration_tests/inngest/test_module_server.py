"""The dev server that the environment asks for."""

import contextlib
import os
import socket

import fastapi
import httpx
import inngest
import inngest.fast_api
import pytest

from steprig.inngest import (
    DevServer,
    DevServerClient,
    EnvironmentServer,
    InngestCliError,
    InngestCliServer,
    RunningDevServer,
    RunStatus,
    SettingsError,
    SyncError,
    server,
)
from steprig.live import ServerStartupError, UvicornTestServer

from .stand_in_npx import CANNOT_DOWNLOAD, SERVES, put_npx_into

KEY = "signkey-test-12345678"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """A port that is free, and nothing of the environment of whoever runs the tests."""
    for name in ("ENABLED", "LOGS", "VERSION"):
        monkeypatch.delenv(f"DEV_SERVER_{name}", raising=False)
    for name in ("INNGEST_BASE_URL", "INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY", "ENABLE_CRONS", "STEPRIG_INNGEST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEV_SERVER_PORT", str(free_port()))
    monkeypatch.chdir(tmp_path)
    yield monkeypatch
    server.stop()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def is_up(origin):
    try:
        return httpx.get(f"{origin}/health", trust_env=False).status_code == 200
    except httpx.ConnectError:
        return False


def test_it_is_started_on_its_port_and_is_gone_after_the_stop():
    before = server.origin
    assert not is_up(before)

    assert server.start() is server
    assert server.origin == before == f"http://127.0.0.1:{os.environ['DEV_SERVER_PORT']}"
    assert server.is_running
    assert is_up(before)

    server.stop()
    assert not server.is_running
    assert not is_up(before)
    server.stop()


def test_it_starts_again_and_reads_the_environment_anew(environment):
    with server:
        first = server.origin
    environment.setenv("DEV_SERVER_PORT", str(free_port()))
    with server:
        assert server.origin != first
        assert is_up(server.origin)


def test_what_changes_in_the_environment_while_it_runs_changes_nothing(environment):
    with server:
        origin = server.origin
        environment.setenv("DEV_SERVER_PORT", "1")
        assert server.origin == origin
        with pytest.raises(RuntimeError, match=f"runs already at {origin}"):
            server.start()


def test_a_port_that_is_taken_is_an_error_and_not_another_port(environment):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        environment.setenv("DEV_SERVER_PORT", str(port))
        with pytest.raises(ServerStartupError, match=f"port {port}"):
            server.start()
    assert not server.is_running
    with server:  # once the port is free
        assert server.origin.endswith(str(port))


def test_port_zero_is_a_free_port(environment):
    environment.setenv("DEV_SERVER_PORT", "0")
    with server:
        assert is_up(server.origin)


def test_disabled_it_does_nothing(environment):
    environment.setenv("DEV_SERVER_ENABLED", "0")
    environment.setenv("DEV_SERVER_PORT", "9123")
    with server:
        assert not server.is_running
        assert server.origin == "http://127.0.0.1:9123"
        assert not is_up(server.origin)
        assert list(server.logs) == []


def test_a_bad_value_is_told_at_the_start(environment):
    environment.setenv("DEV_SERVER_PORT", "abc")

    with pytest.raises(SettingsError, match="DEV_SERVER_PORT='abc' in the environment; expected a port"):
        server.start()


def test_it_logs_to_a_file_what_it_records(environment, tmp_path):
    environment.setenv("DEV_SERVER_LOGS", "1")
    log = tmp_path / "artifacts" / "dev_server.log"
    for _ in range(2):
        with server:
            httpx.post(f"{server.origin}/e/key", json={"name": "test/logged", "data": {"n": 1}}, trust_env=False)
            while_running = log.read_text()

    assert f"dev server at {server.origin}\n" in while_running
    assert "EventReceived" in while_running
    assert log.read_text().count("test/logged") == 2


def test_without_being_asked_it_logs_nothing(tmp_path):
    with server:
        pass
    assert list(tmp_path.iterdir()) == []


def test_with_an_event_key_other_keys_are_refused(environment):
    environment.setenv("INNGEST_EVENT_KEY", "mine")
    with server:
        answers = [
            httpx.post(f"{server.origin}/e/{key}", json={"name": "test/e"}, trust_env=False).status_code
            for key in ("mine", "other")
        ]
    assert answers == [200, 401]


@pytest.fixture
def app():
    """Makes an app whose function says whether the call of it was signed."""
    started = []

    def make(origin, **options):
        client = inngest.Inngest(app_id="app", api_base_url=origin, event_api_base_url=origin, **options)
        # The SDK never closes its HTTP clients, whose connections would then be found by the garbage collector.
        for http in (client._http_client._http_client, client._http_client._http_client_sync):
            http.headers["Connection"] = "close"
        seen = []

        @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="test/fn"))
        def fn(ctx: inngest.ContextSync) -> str:
            return "done"

        @client.create_function(fn_id="hourly", trigger=inngest.TriggerCron(cron="0 * * * *"))
        def hourly(ctx: inngest.ContextSync) -> None:
            """Only there to be registered."""

        api = fastapi.FastAPI()

        @api.middleware("http")
        async def note(request, call_next):
            seen.append(request.headers.get("x-inngest-signature"))
            return await call_next(request)

        inngest.fast_api.serve(api, client, [fn, hourly])
        started.append(UvicornTestServer(api).start())
        return client, started[-1].url("/api/inngest"), seen

    yield make
    for each in started:
        each.stop()


def test_an_app_runs_on_it_and_the_client_sees_it(app):
    with server:
        client, url, seen = app(server.origin, is_production=False)
        server.sync(url)
        (event_id,) = client.send_sync(inngest.Event(name="test/fn"))
        asking = DevServerClient(server.origin).sync
        (run_id,) = asking.get_run_ids_from_event_id(event_id)

        assert asking.wait_for_run_status(run_id, RunStatus.COMPLETED).result == "done"
    assert set(seen) == {None}


def test_with_a_signing_key_calls_are_signed_and_apps_need_the_key(app, environment):
    environment.setenv("INNGEST_SIGNING_KEY", KEY)
    with server:
        client, url, seen = app(server.origin, is_production=False, signing_key=KEY)
        server.sync(url)
        (event_id,) = client.send_sync(inngest.Event(name="test/fn"))
        asking = DevServerClient(server.origin).sync
        (run_id,) = asking.get_run_ids_from_event_id(event_id)
        asking.wait_for_run_status(run_id, RunStatus.COMPLETED)
        assert seen[-1].startswith("t=")

        _, url, _ = app(server.origin, is_production=False, signing_key="signkey-test-87654321")
        with pytest.raises(SyncError, match="the signing key is missing or wrong"):
            server.sync(url)


@pytest.mark.parametrize(("value", "crons"), [("1", True), ("0", False)])
def test_crons_are_for_those_who_ask(environment, value, crons):
    environment.setenv("ENABLE_CRONS", value)
    with server as started:
        assert started._server._platform.options.crons is crons


def test_the_real_server_is_started_when_asked_for(environment, tmp_path):
    bin_directory = put_npx_into(tmp_path / "bin", SERVES)
    environment.setenv("PATH", f"{bin_directory}{os.pathsep}{os.environ['PATH']}")
    environment.setenv("STEPRIG_INNGEST", "cli")
    environment.setenv("DEV_SERVER_VERSION", "1.2.3")
    environment.setenv("DEV_SERVER_LOGS", "1")
    with server:
        assert server.origin == f"http://127.0.0.1:{os.environ['DEV_SERVER_PORT']}"
        assert "Inngest dev server online at" in server.logs
        assert is_up(server.origin)
    assert not is_up(server.origin)
    assert "Inngest dev server online at" in (tmp_path / "artifacts" / "dev_server.log").read_text()


def test_a_real_server_that_does_not_start_leaves_nothing_behind(environment, tmp_path):
    bin_directory = put_npx_into(tmp_path / "bin", CANNOT_DOWNLOAD)
    environment.setenv("PATH", f"{bin_directory}{os.pathsep}{os.environ['PATH']}")
    environment.setenv("STEPRIG_INNGEST", "cli")
    environment.setenv("DEV_SERVER_VERSION", "1.2.3")

    with pytest.raises(InngestCliError, match=r"npm could not get inngest-cli@1\.2\.3"):
        server.start()
    assert not server.is_running
    server.stop()


def test_a_server_that_runs_is_used_and_left_alone(environment):
    with DevServer() as other:
        environment.setenv("STEPRIG_INNGEST", f"{other.origin}/")
        with server:
            assert server.is_running
            assert server.origin == other.origin
        assert not server.is_running
        assert is_up(other.origin)


def test_a_server_that_is_said_to_run_and_does_not_is_told(environment):
    origin = f"http://127.0.0.1:{free_port()}"
    environment.setenv("STEPRIG_INNGEST", origin)

    with pytest.raises(ServerStartupError, match=rf"expected an Inngest dev server at {origin}; .*STEPRIG_INNGEST"):
        server.start()
    assert not server.is_running


def test_where_sdks_go_on_this_machine_is_where_it_starts(environment):
    port = free_port()
    environment.delenv("DEV_SERVER_PORT")
    environment.setenv("INNGEST_BASE_URL", f"http://localhost:{port}")
    with server:
        assert is_up(f"http://127.0.0.1:{port}")


def test_each_has_a_server_of_its_own(environment):
    environment.setenv("DEV_SERVER_PORT", "0")
    with server, EnvironmentServer() as other:
        assert server.origin != other.origin


def test_an_app_registers_with_a_server_that_runs_elsewhere(app, environment):
    with DevServer() as other:
        environment.setenv("STEPRIG_INNGEST", other.origin)
        _, url, _ = app(other.origin, is_production=False)
        with server:
            server.sync(url)
        handlers = httpx.get(f"{other.origin}/dev", trust_env=False).json()["handlers"]

    assert [(handler["sdk"]["appName"], handler["sdk"]["functions"]) for handler in handlers] == [("app", 2)]


def test_an_app_that_is_refused_elsewhere_has_not_registered(app, environment):
    """The SDK answers 200 all the same."""
    with DevServer(signing_key=KEY) as other, RunningDevServer(other.origin) as running:
        _, url, _ = app(other.origin, is_production=False, signing_key="signkey-test-87654321")
        with pytest.raises(SyncError, match=r"registration_failed: .*the signing key is missing or wrong"):
            running.sync(url)


@pytest.mark.parametrize("make", [DevServer, InngestCliServer])
def test_an_app_that_does_not_answer_is_told(make):
    url = f"http://127.0.0.1:{free_port()}/api/inngest"
    dev = make()
    with contextlib.ExitStack() as stack:
        if make is DevServer:
            stack.enter_context(dev)
        with pytest.raises(SyncError, match=f"unreachable: the app at {url} did not register: .+"):
            dev.sync(url)


def test_what_is_no_app_is_told():
    refused = pytest.raises(SyncError, match=r"status 404: the app at .*there is no PUT /nowhere")
    with DevServer() as other, RunningDevServer(other.origin) as running, refused:
        running.sync(f"{other.origin}/nowhere")
