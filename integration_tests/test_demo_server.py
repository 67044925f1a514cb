"""The demo as somebody meets it: started, its lines pasted into a shell, and stopped by Ctrl-C."""

import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from steprig.live import ProcessServer

from .waiting import until

DEMO = Path(__file__).parent.parent / "demo_server.py"

PATIENCE = 30.0
"""Seconds for what takes one or two on a machine that is not busy; importing takes most of them."""

A_SECOND = 3.0
"""Within which Ctrl-C is to end the demo: a second, on a machine that is not busy."""


COMPACT = {"separators": (",", ":")}


def demo(*arguments, port=0, dev_server_port=0):
    ports = ("--port", str(port), "--dev-server-port", str(dev_server_port))
    return ProcessServer(
        [sys.executable, str(DEMO), *ports, *arguments],
        # Its own addresses are what is tested: none from the environment may stand in for them.
        env={name: None for name in os.environ if name.startswith("INNGEST_")},
        ready_log="Ctrl-C stops",
        startup_timeout=PATIENCE,
    )


class Pasted:
    """What the demo has printed, and what comes of pasting it."""

    def __init__(self, server):
        self.server = server
        self.lines = [line.strip() for line in server.logs if line.startswith("  curl")]
        self.app, self.dev_server = re.findall(r"^The (?:app|dev server): +(\S+)$", str(server.logs), re.MULTILINE)

    def paste(self, index):
        """Paste a line into a shell of its own."""
        if shutil.which("curl") is None:
            pytest.skip("there is no curl on PATH to run the printed lines with")
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            ["sh", "-c", self.lines[index]], env=env, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return json.loads(done.stdout)

    def shown_run(self):
        return self.paste(4)["data"]["run"]

    def send(self):
        """Send the event, and wait until its run is there."""
        (event_id,) = self.paste(3)["ids"]
        runs = f"{self.dev_server}/v1/events/{event_id}/runs"
        assert until(lambda: httpx.get(runs).json()["data"])
        return event_id


@pytest.fixture(scope="module")
def skipping():
    """A demo whose sleeps take no time, for all tests that leave it as it is."""
    with demo("--clock", "skip") as server:
        yield Pasted(server)


@pytest.fixture
def real():
    """A demo in real time."""
    with demo() as server:
        yield Pasted(server)


def test_it_prints_one_line_for_each_thing_to_try(skipping):
    assert len(skipping.lines) == 5


def test_the_lines_for_the_app_work_when_they_are_pasted(skipping):
    assert skipping.paste(0) == {"message": "OK"}
    assert "message" in skipping.paste(1)
    assert skipping.paste(2) == {"hello": "world"}


def test_the_line_that_sends_an_event_and_the_line_that_shows_its_run_work_when_they_are_pasted(skipping):
    skipping.send()
    run = until(lambda: (shown := skipping.shown_run())["status"] == "COMPLETED" and shown)

    assert json.loads(run["output"])["status"] == "A-1 shipped at attempt 2"
    attempts = {span["name"]: span["attempts"] for span in run["trace"]["childrenSpans"]}
    assert list(attempts)[:1] == ["reserve"]
    assert {"pack", "invoice", "wait for the courier", "ship", "tell"} <= set(attempts)
    assert attempts["ship"] == 1


def test_the_line_shows_the_newest_run_when_there_are_several(skipping):
    def newest():
        return httpx.get(f"{skipping.dev_server}/v1/events?name=demo/order.placed&limit=1").json()["data"][0]

    orders = []
    for order in ("B-2", "C-3"):
        httpx.post(f"{skipping.dev_server}/e/demo", json={"name": "demo/order.placed", "data": {"order": order}})
        assert newest()["data"] == {"order": order}
        orders.append(json.loads(until(lambda: skipping.shown_run()["output"]))["order"])

    assert orders == ["B-2", "C-3"]


def test_runs_are_shown_in_its_own_output_too(skipping):
    skipping.send()

    assert until(lambda: "Thank you for order A-1!" in skipping.server.logs)
    assert "ConnectionError: the courier cannot be reached" in skipping.server.logs
    assert "Traceback" not in skipping.server.logs


def test_data_is_echoed_as_it_came(skipping):
    for body in (b'{"a": [1, 2.50, null], "b": "\\ud83d\\ude00"}', b'"text"', b"[]", b"12345678901234567890123"):
        response = httpx.post(f"{skipping.app}/api/data", content=body)
        assert (response.status_code, response.content) == (200, body)
        assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b"NaN", b"\xff\xfe\xfa", b"[" * 100_000])
def test_bad_json_is_answered_with_400_and_what_is_wrong(skipping, body):
    response = httpx.post(f"{skipping.app}/api/data", content=body)

    assert response.status_code == 400
    assert response.json()["error"].startswith("the body is not valid JSON: ")


def test_the_functions_are_served_and_known_to_the_dev_server(skipping):
    assert httpx.get(f"{skipping.app}/api/inngest").headers["x-inngest-sdk"]

    known = httpx.get(f"{skipping.dev_server}/dev").json()
    assert {function["id"] for function in known["functions"]} == {"demo-fulfil-order", "demo-thank-customer"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_a_second_even_while_a_run_sleeps(real, number):
    real.send()
    assert until(lambda: '"name":"wait for the courier","status":"WAITING"' in json.dumps(real.shown_run(), **COMPACT))

    begun = time.monotonic()
    os.killpg(real.server.pid, number)
    assert until(lambda: real.server.returncode is not None)

    assert time.monotonic() - begun < A_SECOND
    assert real.server.returncode == 0
    assert "Traceback" not in real.server.logs
    for url in (real.app, real.dev_server):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_ctrl_c_pressed_all_the_time_ends_it_all_the_same(real):
    deadline = time.monotonic() + PATIENCE
    while real.server.returncode is None and time.monotonic() < deadline:
        with suppress(ProcessLookupError):
            os.killpg(real.server.pid, signal.SIGINT)

    assert real.server.wait(PATIENCE)
    assert real.server.returncode == 0
    assert "Traceback" not in real.server.logs


def test_busy_ports_are_replaced_and_it_says_so():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        busy, busy_too = one.getsockname()[1], other.getsockname()[1]
        with demo("--clock", "skip", port=busy, dev_server_port=busy_too) as server:
            pasted = Pasted(server)
            ports = [httpx.URL(url).port for url in (pasted.app, pasted.dev_server)]

            assert f"Port {busy} is not free; the app listens on {ports[0]} instead." in server.logs
            assert f"Port {busy_too} is not free; the dev server listens on {ports[1]} instead." in server.logs
            assert pasted.paste(0) == {"message": "OK"}
            pasted.send()


def test_a_reader_who_goes_away_does_not_end_it():
    command = [sys.executable, str(DEMO), "--port", "0", "--dev-server-port", "0", "--clock", "skip"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        text = "".join(
            iter(process.stdout.readline, "Runs are shown here, too, when they end. Ctrl-C stops both servers.\n")
        )
        process.stdout.close()
        dev_server = re.search(r"^The dev server: +(\S+)$", text, re.MULTILINE)[1]
        event = httpx.post(f"{dev_server}/e/demo", json={"name": "demo/order.placed"}).json()["ids"][0]
        runs = f"{dev_server}/v1/events/{event}/runs"
        assert until(lambda: [run["status"] for run in httpx.get(runs).json()["data"]] == ["Completed"])
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--dev-server-port", "x"), ("--clock", "fast")])
def test_wrong_usage_ends_with_2_and_says_what_was_expected(arguments, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
        main = runpy.run_path(str(DEMO))["main"]

    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_importing_it_does_nothing():
    code = "import threading, demo_server; print(threading.active_count(), demo_server.create_app.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=DEMO.parent, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "1 create_app"
