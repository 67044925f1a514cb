"""`steprig dev` and `steprig doctor` as child processes, with an app on the real SDK beside them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from steprig.inngest import DevServerClient, RunStatus
from steprig.live import ProcessServer, UvicornTestServer

from .waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
    import fastapi
    import inngest
    import inngest.fast_api

PATIENCE = 30.0
"""Seconds for what takes one or two on a machine that is not busy; importing takes most of them."""

A_SECOND = 3.0
"""Within which Ctrl-C is to end the server: a second, on a machine that is not busy."""

STEPRIG = [sys.executable, "-m", "steprig.cli"]


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("INNGEST_")}


def steprig(*arguments):
    return subprocess.run([*STEPRIG, *arguments], env=environment(), capture_output=True, text=True, timeout=PATIENCE)


def dev(*arguments, port):
    return ProcessServer(
        [*STEPRIG, "dev", "--no-discovery", "--port", str(port), *arguments],
        env={name: None for name in os.environ if name.startswith("INNGEST_")},
        ready_log="Waiting for apps",
        startup_timeout=PATIENCE,
    )


@pytest.fixture
def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def shop(dev_port, *more_functions):
    """An app with a function that sleeps for a month, and others that do nothing."""
    origin = f"http://127.0.0.1:{dev_port}"
    client = inngest.Inngest(app_id="shop", is_production=False, api_base_url=origin, event_api_base_url=origin)
    # The SDK never closes its HTTP clients: a socket that they keep open would be found by the garbage collector.
    for pooled in (client._http_client._http_client, client._http_client._http_client_sync):
        pooled.headers["Connection"] = "close"

    @client.create_function(fn_id="remind", trigger=inngest.TriggerEvent(event="shop/left"))
    async def remind(ctx):
        await ctx.step.sleep("a month", timedelta(days=30))
        return "come back"

    def idle(name):
        @client.create_function(fn_id=name, trigger=inngest.TriggerEvent(event=f"shop/{name}"))
        async def function(ctx):
            return None

        return function

    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [remind, *map(idle, more_functions)])
    return app


def send(port, name="shop/left"):
    (event_id,) = httpx.post(f"http://127.0.0.1:{port}/e/key", json={"name": name}).json()["ids"]
    return event_id


def the_run(port, event_id):
    client = DevServerClient(f"http://127.0.0.1:{port}", timeout=PATIENCE).sync
    (run_id,) = client.get_run_ids_from_event_id(event_id)
    return client.wait_for_run_status(run_id, RunStatus.COMPLETED)


# --- steprig dev --------------------------------------------------------------------------------------


def test_dev_syncs_an_app_runs_its_functions_and_shows_them(free_port):
    app = UvicornTestServer(shop(free_port))
    url = app.url("/api/inngest")
    with app, dev("-u", url, "--clock", "skip", "-v", port=free_port) as server:
        assert until(lambda: f"synced shop: 1 function at {url}" in server.logs)

        assert the_run(free_port, send(free_port)).result == "come back"

        assert until(lambda: "a month  (SLEEP)  completed  30 d" in server.logs)
    assert "Traceback" not in server.logs


def test_dev_keeps_trying_an_app_that_is_not_up_yet_and_says_so(free_port):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        app_port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{app_port}/api/inngest"
    with dev("-u", url, "--no-poll", port=free_port) as server:
        assert until(lambda: "not synced yet: unreachable" in server.logs)

        with UvicornTestServer(shop(free_port), port=app_port, strict_port=True):
            assert until(lambda: f"synced shop: 1 function at {url}" in server.logs)


def test_dev_notices_functions_that_are_added_later(free_port):
    before, after = UvicornTestServer(shop(free_port)), shop(free_port, "second")
    url = before.url("/api/inngest")
    with dev("-u", url, "--poll-interval", "0.1", port=free_port) as server:
        with before:
            assert until(lambda: "synced shop: 1 function " in server.logs)
        with UvicornTestServer(after, port=before.port, strict_port=True):
            assert until(lambda: "synced shop: 2 functions " in server.logs)


def test_dev_tells_why_an_app_does_not_register(free_port):
    app = UvicornTestServer(fastapi.FastAPI())
    with app, dev("-u", app.url("/api/inngest"), port=free_port) as server:
        assert until(lambda: "not synced yet: url_not_found" in server.logs)


def test_dev_says_where_it_is_and_which_clock_it_goes_by(free_port):
    with dev("--clock", "skip", port=free_port) as server:
        assert f"Inngest dev server at http://127.0.0.1:{free_port}, skipping sleeps." in server.logs
        assert f"INNGEST_DEV=http://127.0.0.1:{free_port}" in server.logs
        assert httpx.get(f"http://127.0.0.1:{free_port}/health").json()["message"] == "OK"


def test_dev_shows_requests_when_it_is_told_to(free_port):
    with dev("--log-level", "info", port=free_port) as server:
        httpx.get(f"http://127.0.0.1:{free_port}/health")

        assert until(lambda: '"GET /health HTTP/1.1" 200' in server.logs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_dev_within_a_second_even_while_a_run_sleeps_and_a_client_waits(free_port, number):
    app = UvicornTestServer(shop(free_port))
    with app, dev("-u", app.url("/api/inngest"), port=free_port) as server:
        assert until(lambda: "synced shop" in server.logs)
        event_id = send(free_port)
        (run_id,) = DevServerClient(f"http://127.0.0.1:{free_port}").sync.get_run_ids_from_event_id(event_id)
        wait = f"http://127.0.0.1:{free_port}/steprig/runs/{run_id}/wait?status=COMPLETED"
        with httpx.stream("GET", wait, timeout=PATIENCE):
            begun = time.monotonic()
            os.killpg(server.pid, number)
            assert until(lambda: server.returncode is not None)

    assert time.monotonic() - begun < A_SECOND
    assert server.returncode == 0
    assert "Traceback" not in server.logs


def test_dev_does_not_take_another_port_than_the_one_it_is_given():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = steprig("dev", "--port", str(port))

    assert done.returncode == 1
    assert f"steprig dev: cannot listen on port {port} of 127.0.0.1" in done.stderr
    assert "Perhaps another dev server runs there" in done.stderr
    assert "Traceback" not in done.stderr


def test_dev_without_the_extra_names_it_in_one_line():
    code = "import sys; sys.modules['ariadne'] = None; from steprig.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "dev", "--port", "0"], capture_output=True, text=True, timeout=PATIENCE
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install 'steprig[inngest]'" in line


def test_workers_are_sent_to_the_port_of_their_own(free_port):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        connect_port = sock.getsockname()[1]
    with dev("--connect-gateway-port", str(connect_port), port=free_port) as server:
        start = httpx.post(f"http://127.0.0.1:{free_port}/v0/connect/start")

        assert f"Workers connect on port {connect_port}." in server.logs
        assert f"ws://127.0.0.1:{connect_port}/v0/connect".encode() in start.content
        assert httpx.get(f"http://127.0.0.1:{connect_port}/health").json()["message"] == "OK"


def test_workers_are_sent_to_the_next_port_where_theirs_is_in_use(free_port):
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = other.getsockname()[1]
        with dev("--connect-gateway-port", str(busy), port=free_port) as server:
            told = re.search(rf"Workers connect on port (\d+), as {busy} is in use\.", "\n".join(server.logs))
            start = httpx.post(f"http://127.0.0.1:{free_port}/v0/connect/start")

            assert told
            assert int(told[1]) > busy
            assert f"ws://127.0.0.1:{told[1]}/v0/connect".encode() in start.content


def test_what_is_kept_outlives_a_restart(free_port, tmp_path):
    kept = ("--sqlite-dir", str(tmp_path / "kept"))
    app = UvicornTestServer(shop(free_port))
    origin = f"http://127.0.0.1:{free_port}"
    with app:
        with dev("-u", app.url("/api/inngest"), *kept, port=free_port) as server:
            assert f"What it is told is kept in {tmp_path / 'kept' / 'steprig.db'}." in server.logs
            assert until(lambda: "synced shop" in server.logs)
            event_id = send(free_port)
            (run_id,) = DevServerClient(origin).sync.get_run_ids_from_event_id(event_id)
            assert until(lambda: "remind" in httpx.get(f"{origin}/dev").text)
        with dev(*kept, "--clock", "skip", port=free_port):
            assert the_run(free_port, event_id).result == "come back"
            assert DevServerClient(origin).sync.get_run_ids_from_event_id(event_id) == [run_id]


def test_a_file_that_is_no_journal_is_named(tmp_path):
    (tmp_path / "steprig.db").write_text("no database, but a text that is longer than any header of one would be")

    done = steprig("dev", "--port", "0", "--sqlite-dir", str(tmp_path))

    assert done.returncode == 1
    assert str(tmp_path / "steprig.db") in done.stderr
    assert "Traceback" not in done.stderr


# --- steprig doctor -----------------------------------------------------------------------------------


def test_the_doctor_finds_a_working_core_and_writes_plain_text_to_a_pipe():
    done = steprig("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = {tuple(line.split()[:3]) for line in done.stdout.splitlines()}
    assert {("ok", "test", "server"), ("ok", "dev", "server")} <= lines
    assert any(line[:2] == ("ok", "inngest") for line in lines)


def test_the_command_is_installed():
    done = subprocess.run(
        [Path(sys.executable).parent / "steprig", "--version"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert done.stdout.startswith("steprig ")
