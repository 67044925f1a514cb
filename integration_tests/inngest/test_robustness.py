"""Apps that hang or die, and a dev server that is killed while an app goes on."""

import asyncio
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import fastapi
import httpx
import inngest
import inngest.fast_api
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.kernel import RealClock, Status, VirtualClock
from steprig.kernel.virtual_clock import ClockTimeoutError
from steprig.live import ProcessServer, UvicornTestServer

from ..waiting import until
from .dev_process import STARTING, DevProcess, free_port
from .hostile import Endpoint, begin, head, never, register, whole
from .stacks import STACKS
from .stage import PATIENCE, Stage, keep_no_connection, output

UNREACHABLE = {"error": {"error": "Unable to reach SDK URL", "name": "Error", "message": "Unable to reach SDK URL"}}


# --- Apps that hang -----------------------------------------------------------------------------------------


def half(connection, request):
    """Begin to answer, and stop in the middle."""
    connection.sendall(head(200, "content-length: 100") + b'"half of it')
    never(connection, request)


@pytest.fixture(params=[never, half])
def hanging(request):
    """An app that takes a call, and does not answer it to the end."""
    with Endpoint(request.param) as app:
        yield app


def start_hanging(stage, app, **config):
    """A run whose call the app has taken."""
    before = len(app.requests)
    run_id = begin(stage, register(stage, app.url, **config))
    until(lambda: len(app.requests) > before, "the call")
    return run_id


def test_a_run_whose_app_does_not_answer_is_running(one_stage, hanging):
    run_id = start_hanging(one_stage, hanging)

    assert one_stage.dev.timeline.run(run_id).status is Status.RUNNING
    assert one_stage.get(f"/v1/runs/{run_id}")["status"] == "Running"


def test_cancelling_ends_a_run_whose_app_does_not_answer(one_stage, hanging):
    run_id = start_hanging(one_stage, hanging)

    one_stage.http.delete(f"/v1/runs/{run_id}").raise_for_status()

    assert one_stage.dev.timeline.run(run_id).status is Status.CANCELLED


def test_an_answer_after_the_cancellation_changes_nothing(one_stage):
    cancelled = threading.Event()

    def answer_late(connection, _):
        assert cancelled.wait(PATIENCE)
        connection.sendall(whole(200, b'"late"'))

    with Endpoint(answer_late) as app:
        run_id = start_hanging(one_stage, app)
        one_stage.http.delete(f"/v1/runs/{run_id}").raise_for_status()
        cancelled.set()
        until(lambda: not app.connections, "the late answer")
        until(lambda: not one_stage.clock.in_flight, "the reading of it")

    run = one_stage.dev.timeline.run(run_id)
    assert (run.status, run.output) == (Status.CANCELLED, None)


def test_calls_that_hang_hold_up_no_others(one_stage, hanging):
    @one_stage.function("healthy")
    def healthy(ctx):
        return (yield ctx.step.run("step", lambda: "well"))

    event = register(one_stage, hanging.url)
    hanging_runs = [begin(one_stage, event) for _ in range(60)]  # more than are begun at once

    assert output(one_stage.run("healthy")) == "well"
    until(lambda: len(hanging.requests) == 60, "all calls")
    assert {one_stage.dev.timeline.run(run_id).status for run_id in hanging_runs} == {Status.RUNNING}


def test_a_virtual_clock_that_is_moved_says_which_call_does_not_end(one_stage, hanging):
    start_hanging(one_stage, hanging, timeouts={"finish": "1h"})

    with pytest.raises(ClockTimeoutError, match=f"1 x call of {one_stage.app_id}-fn-fn"):
        one_stage.clock.advance(hours=2, timeout=0.1)


def test_the_finish_timeout_ends_a_run_whose_app_does_not_answer(hanging):
    with DevServer(clock=RealClock()) as dev:
        stage = Stage(STACKS[0], dev)
        run = stage.ended(start_hanging(stage, hanging, timeouts={"finish": "300ms"}))
        stage.close()

    assert run.status is Status.CANCELLED
    assert timedelta(seconds=0.3) <= run.ended_at - run.started_at < timedelta(seconds=PATIENCE)


def test_a_server_stops_while_calls_hang(hanging):
    with VirtualClock() as clock:
        dev = DevServer(clock=clock).start()
        stage = Stage(STACKS[0], dev)
        for number in range(5):
            start_hanging(stage, hanging, name=f"app-{number}")
        stage.close()

        before = time.monotonic()
        dev.stop()

        assert time.monotonic() - before < 2
        until(lambda: not hanging.connections, "the end of the connections")
        assert not clock.in_flight


# --- Apps that die ------------------------------------------------------------------------------------------


@pytest.fixture
def patient_stage():
    """Its clock moves by hand alone: a retry waits until the test says that a minute has passed."""
    with VirtualClock(auto=False) as clock, DevServer(clock=clock, retry_interval=timedelta(minutes=1)) as dev:
        stage = Stage(STACKS[0], dev)
        yield stage
        stage.close()


def test_a_run_survives_the_death_of_its_app_in_the_middle_of_a_step(patient_stage, tmp_path):
    stage, notes, port = patient_stage, tmp_path / "notes", free_port()
    notes.touch()
    script = Path(__file__).with_name("mortal_app.py")
    app = ProcessServer(
        [sys.executable, script, str(port), stage.dev.origin, notes],
        ready_port=port,
        startup_timeout=STARTING,
    )
    with app:
        stage.dev.sync(f"http://127.0.0.1:{port}/api/inngest")
        run_id = begin(stage, "mortal/steps")
        until(lambda: not app.is_running, "its death")
        failed = stage.reached(run_id, lambda run: any(span.id == "function" for span in run.spans))
        assert (failed.status, app.returncode) == (Status.RUNNING, 1)
        assert failed.span("function").children[0].failure.message == "Unable to reach SDK URL"

        stage.clock.advance(minutes=1)  # to an attempt that finds nobody
        app.start()
        stage.clock.advance(minutes=1)

        run = stage.ended(run_id)

    assert output(run) == ["first", "second", "third"]
    assert notes.read_text().split() == ["first", "died", "second", "third"]
    assert [attempt.failure.message for attempt in run.span("function").children if attempt.failure] == [
        "Unable to reach SDK URL"
    ] * 2


def test_a_run_fails_when_its_app_stays_dead(one_stage):
    with Endpoint(lambda connection, _: None) as app:
        event = register(one_stage, app.url, retries=1)
    run = one_stage.ended(begin(one_stage, event))

    assert output(run) == UNREACHABLE
    assert run.span("function").attempts == 2


# --- A dev server that is killed ------------------------------------------------------------------------------


@pytest.fixture
def dev_process():
    dev = DevProcess()
    yield dev
    dev.stop()


@pytest.fixture
def greeter(dev_process):
    """An app on the real SDK, which goes on whatever happens to the dev server."""
    client = inngest.Inngest(
        app_id="greeter",
        is_production=False,
        api_base_url=dev_process.origin,
        event_api_base_url=dev_process.origin,
    )
    keep_no_connection(client)
    greeted = []

    @client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="test/greet"))
    async def greet(ctx):
        async def hello():
            greeted.append(ctx.event.data["who"])
            if ctx.event.data["who"] == "nobody":
                await asyncio.to_thread(until, lambda: not dev_process.server.is_running)
            return f"hello {ctx.event.data['who']}"

        return await ctx.step.run("hello", hello)

    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [greet])
    with UvicornTestServer(app) as server:
        server.greeted = greeted
        yield server


def greeting(dev_process, who):
    """What the app says, once it has registered."""
    until(dev_process.knows_an_app, "the registration")
    return dev_process.result_of(dev_process.send("test/greet", who=who))


def test_an_app_is_found_again_by_a_dev_server_that_was_killed(dev_process, greeter):
    url = greeter.url("/api/inngest")
    dev_process.start("--sdk-url", url)
    assert greeting(dev_process, "world") == "hello world"

    dev_process.kill()
    dev_process.start("--sdk-url", url)

    assert greeting(dev_process, "again") == "hello again"
    assert greeter.greeted == ["world", "again"]


def test_an_app_registers_itself_with_a_dev_server_that_was_killed(dev_process, greeter):
    def register():
        assert httpx.put(greeter.url("/api/inngest")).json()["ok"]

    dev_process.start()
    register()
    assert greeting(dev_process, "world") == "hello world"

    dev_process.kill()
    dev_process.start()
    assert not dev_process.knows_an_app()
    register()

    assert greeting(dev_process, "again") == "hello again"


def test_an_app_gets_over_the_death_of_the_dev_server_during_a_call(dev_process, greeter):
    url = greeter.url("/api/inngest")
    dev_process.start("--sdk-url", url)
    until(dev_process.knows_an_app, "the registration")
    dev_process.send("test/greet", who="nobody")
    until(lambda: greeter.greeted, "the call")

    dev_process.kill()
    dev_process.start("--sdk-url", url)

    assert greeting(dev_process, "somebody") == "hello somebody"
