"""`DevServerClient`, against the embedded dev server, which tells of changes, and through a proxy that does not."""

import asyncio
import socket
import threading
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest import (
    DevServer,
    DevServerClient,
    DevServerUnreachableError,
    NoStepOutputError,
    RunStatus,
    UnexpectedRunCountError,
    UnexpectedStatusError,
    WaitTimeoutError,
    ended_statuses,
)
from steprig.kernel import VirtualClock
from steprig.live import UvicornTestServer

from ..waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def requests_seen():
    return []


@pytest.fixture
def plain_origin(dev, requests_seen):
    """The dev server as one that is not steprig's: GraphQL only, and nothing that says more."""

    async def forward(request: Request) -> Response:
        requests_seen.append(request.url.path)
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{dev.origin}/v0/gql", content=await request.body())
        return Response(answer.content, answer.status_code, media_type="application/json")

    with UvicornTestServer(Starlette(routes=[Route("/v0/gql", forward, methods=["POST"])])) as proxy:
        yield proxy.base_url


@pytest.fixture(params=["steprig", "plain"])
def client(request, dev):
    """A client of each kind of server; what it does must be the same."""
    origin = dev.origin if request.param == "steprig" else request.getfixturevalue("plain_origin")
    return DevServerClient(origin, timeout=5.0)


async def in_thread(call, *args, **kwargs):
    """The stage blocks, which a test on a loop must not."""
    return await asyncio.to_thread(call, *args, **kwargs)


async def test_from_the_event_to_the_output_of_the_run(one_stage, client):
    @one_stage.function("greet")
    def greet(ctx):
        yield ctx.step.sleep("nap", 86_400_000)
        return {"hello": ctx.event.data["name"]}

    event_id = await in_thread(one_stage.send, "test/greet", {"name": "Ada"})

    (run_id,) = await client.get_run_ids_from_event_id(event_id)
    run = await client.wait_for_run_status(run_id, RunStatus.COMPLETED)

    assert (run.id, run.status, run.output) == (run_id, RunStatus.COMPLETED, '{"hello": "Ada"}')
    assert run.result == {"hello": "Ada"}
    assert run.has_ended
    assert [(event["name"], event["data"]) for event in run.events] == [("test/greet", {"name": "Ada"})]


async def test_every_run_of_an_event_is_found(one_stage, client):
    for fn_id in ("one", "two", "three"):

        @one_stage.function(fn_id, one_stage_trigger("test/many"))
        def fn(ctx):
            return "x"

    event_id = await in_thread(one_stage.send, "test/many")
    ids = await client.get_run_ids_from_event_id(event_id, run_count=3)

    assert len(set(ids)) == 3
    with pytest.raises(UnexpectedRunCountError, match=r"to start 2 run\(s\), found 3: .*run_count") as caught:
        await client.get_run_ids_from_event_id(event_id, run_count=2)
    assert caught.value.run_ids == tuple(ids)


async def test_history_and_outputs_of_steps(one_stage, client):
    @one_stage.function("steps")
    def steps(ctx):
        yield ctx.step.run("a", one_stage.written(lambda: "first"))
        yield ctx.step.sleep("nap", 1000)
        yield ctx.step.run("a", one_stage.written(lambda: ["second"]))
        yield ctx.step.run("nothing", one_stage.written(lambda: None))

    run_id = await in_thread(one_stage.start, "steps")
    await client.wait_for_run_status(run_id, RunStatus.COMPLETED)
    history = await client.get_history(run_id)

    assert [step.name for step in history] == ["a", "nap", "a", "nothing", "function success"]
    assert [step.output_id is None for step in history] == [False, True, False, False, False]
    assert (await client.get_step_output(run_id, "a")).data == "first"
    assert (await client.get_step_output(run_id, "a", occurrence=2)).data == ["second"]
    assert str(await client.get_step_output(run_id, "nothing")) == '{"data": null}'


async def test_what_a_step_failed_with_is_its_output(one_stage, client):
    def fail():
        raise ValueError("no luck")

    @one_stage.function("fails", retries=0)
    def fails(ctx):
        yield ctx.step.run("bad", one_stage.written(fail))

    run_id = await in_thread(one_stage.start, "fails")
    output = await client.get_step_output(run_id, "bad")

    assert output.data is None
    assert (output.error.message, output.error.name) == ("no luck", "ValueError")
    assert "Traceback" in output.error.stack


async def test_another_final_status_ends_the_wait_at_once_and_is_told(one_stage, client):
    def fail():
        raise ValueError("no luck")

    @one_stage.function("fails", retries=0)
    def fails(ctx):
        yield ctx.step.run("good", one_stage.written(lambda: 1))
        yield ctx.step.run("bad", one_stage.written(fail))

    run_id = await in_thread(one_stage.start, "fails")
    begun = time.monotonic()
    with pytest.raises(UnexpectedStatusError, match=r"to be COMPLETED; it has ended: FAILED with .*no luck") as caught:
        await client.wait_for_run_status(run_id, RunStatus.COMPLETED)

    assert time.monotonic() - begun < 3
    assert "with the steps good, bad, function error" in str(caught.value)
    assert caught.value.run.status is RunStatus.FAILED
    assert (await client.wait_for_run_status(run_id, ended_statuses)).status is RunStatus.FAILED


async def test_at_the_deadline_the_error_says_what_was_seen_last(one_stage, client):
    @one_stage.function("waits")
    def waits(ctx):
        yield ctx.step.wait_for_event("go", event="test/never", timeout=3_600_000)

    run_id = await in_thread(one_stage.start, "waits")
    await in_thread(one_stage.waiting, run_id, "go")

    with pytest.raises(WaitTimeoutError, match=r"to be COMPLETED within 0\.2 s; last seen: .*RUNNING.*skip_deadlines"):
        await client.wait_for_run_status(run_id, RunStatus.COMPLETED, timeout=0.2)
    with pytest.raises(WaitTimeoutError, match=r"step 'later' of run .* within 0\.2 s; .*the steps go \(no output\)"):
        await client.get_step_output(run_id, "later", timeout=0.2)


async def test_unknown_ids_are_told_from_late_ones_at_the_deadline(one_stage, client):
    with pytest.raises(WaitTimeoutError, match=r"event 01J to start 1 run\(s\) within 0\.1 s; .*no rows.*registered"):
        await client.get_run_ids_from_event_id("01J", timeout=0.1)
    with pytest.raises(WaitTimeoutError, match=r"run 01J to be FAILED within 0\.1 s; last seen: .*no rows"):
        await client.wait_for_run_status("01J", RunStatus.FAILED, timeout=0.1)
    with pytest.raises(WaitTimeoutError, match=r"run 01J to have a history within 0\.1 s"):
        await client.get_history("01J", timeout=0.1)


async def test_a_step_that_never_ran_is_told_once_the_run_has_ended(one_stage, client):
    @one_stage.function("short")
    def short(ctx):
        yield ctx.step.run("a", one_stage.written(lambda: 1))

    run_id = await in_thread(one_stage.start, "short")
    with pytest.raises(
        NoStepOutputError, match=r"step 'b' of run .*the steps a, function success\. Check the step's id"
    ):
        await client.get_step_output(run_id, "b")
    with pytest.raises(NoStepOutputError, match=r"step 'a' \(number 2\)"):
        await client.get_step_output(run_id, "a", occurrence=2)


async def test_an_event_that_starts_nothing_has_no_runs(one_stage, client):
    event_id = await in_thread(one_stage.send, "test/nobody")

    assert await client.get_run_ids_from_event_id(event_id, run_count=0) == []


async def test_a_step_is_awaited_while_the_run_goes_on(one_stage, client):
    entered, may_go = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert may_go.wait(5)
        return "late"

    @one_stage.function("slow")
    def slow_function(ctx):
        return (yield ctx.step.run("slow", lambda: asyncio.to_thread(slow)))

    run_id = await in_thread(one_stage.start, "slow")
    waiting = asyncio.create_task(client.get_step_output(run_id, "slow"))
    await in_thread(entered.wait, 5)
    assert not waiting.done()
    may_go.set()

    assert (await waiting).data == "late"


async def test_a_step_that_does_not_come_is_awaited_no_longer_than_the_run(one_stage, client):
    entered, may_go = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert may_go.wait(5)

    @one_stage.function("slow")
    def slow_function(ctx):
        yield ctx.step.run("slow", lambda: asyncio.to_thread(slow))

    run_id = await in_thread(one_stage.start, "slow")
    waiting = asyncio.create_task(client.get_step_output(run_id, "other", timeout=20))
    await in_thread(entered.wait, 5)
    assert not waiting.done()
    may_go.set()

    with pytest.raises(NoStepOutputError, match="the steps slow, function success"):
        await asyncio.wait_for(waiting, 10)


async def test_a_timeout_is_skipped_only_when_the_client_says_so(one_stage, dev):
    @one_stage.function("waits")
    def waits(ctx):
        event = yield ctx.step.wait_for_event("go", event="test/never", timeout=3_600_000)
        return event

    client = DevServerClient(dev.origin)
    run_id = await in_thread(one_stage.start, "waits")
    with pytest.raises(WaitTimeoutError):
        await client.wait_for_run_status(run_id, RunStatus.COMPLETED, timeout=0.2)

    run = await client.wait_for_run_status(run_id, RunStatus.COMPLETED, skip_deadlines=True)
    assert run.result is None


async def test_a_client_that_is_cancelled_does_not_go_on_skipping_deadlines(one_stage, dev):
    """The jump must not come later, when nobody waits any more."""
    entered, may_go = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert may_go.wait(5)

    @one_stage.function("waits")
    def waits(ctx):
        yield ctx.step.run("slow", lambda: asyncio.to_thread(slow))
        yield ctx.step.wait_for_event("go", event="test/never", timeout=3_600_000)

    run_id = await in_thread(one_stage.start, "waits")
    client = DevServerClient(dev.origin)
    waiting = asyncio.create_task(client.wait_for_run_status(run_id, RunStatus.COMPLETED, skip_deadlines=True))
    await in_thread(entered.wait, 5)
    await in_thread(until, lambda: skipping(dev) == 1, "the wait at the server")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await in_thread(until, lambda: skipping(dev) == 0, "the end of the wait at the server")
    may_go.set()

    run = await in_thread(one_stage.waiting, run_id, "go")
    assert not run.status.ended


def skipping(dev):
    return dev.clock._skipping_deadlines


async def test_a_steprig_server_is_waited_for_and_not_polled(one_stage, dev, monkeypatch):
    @one_stage.function("waits")
    def waits(ctx):
        yield ctx.step.wait_for_event("go", event="test/never", timeout=3_600_000)

    run_id = await in_thread(one_stage.start, "waits")
    await in_thread(one_stage.waiting, run_id, "go")
    asked = []
    look = dev.timeline.run
    monkeypatch.setattr(dev.timeline, "run", lambda run_id: asked.append(run_id) or look(run_id))

    with pytest.raises(WaitTimeoutError):
        await DevServerClient(dev.origin).wait_for_run_status(run_id, RunStatus.COMPLETED, timeout=1.0)

    # The client asks twice, for run and trigger, before the wait and after it; the wait looks as it begins and ends.
    assert len(asked) == 6


async def test_a_plain_server_is_asked_nothing_that_it_does_not_know(plain_origin, requests_seen):
    with pytest.raises(WaitTimeoutError):
        await DevServerClient(plain_origin).wait_for_run_status("01J", RunStatus.COMPLETED, timeout=0.2)

    assert set(requests_seen) == {"/v0/gql"}


async def test_the_run_may_start_after_the_client_began_to_wait(one_stage, dev):
    @one_stage.function("later")
    def later(ctx):
        return "here"

    await in_thread(one_stage.serve)
    client = DevServerClient(dev.origin)
    event_id = "01JD1XG1H8Z8Z8Z8Z8Z8Z8Z8Z8"
    waiting = asyncio.create_task(client.get_run_ids_from_event_id(event_id, timeout=5.0))
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{dev.origin}/e/key", json={"name": "test/later"})
        (sent,) = answer.json()["ids"]
    assert len(await client.get_run_ids_from_event_id(sent)) == 1
    assert not waiting.done()  # it is for another event
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_when_the_server_stops_a_waiting_client_is_told_and_does_not_hold_it_up():
    clock = VirtualClock()
    server = DevServer(clock=clock).start()
    client = DevServerClient(server.origin)
    waiting = asyncio.create_task(
        client.wait_for_run_status("01J", RunStatus.COMPLETED, timeout=30, skip_deadlines=True)
    )
    await in_thread(until, lambda: clock._skipping_deadlines, "the wait at the server")

    begun = time.monotonic()
    await in_thread(server.stop)

    assert time.monotonic() - begun < 2
    with pytest.raises(DevServerUnreachableError, match="it went away while run 01J to be COMPLETED was awaited"):
        await waiting
    clock.close()


def test_the_sync_face_does_the_same_without_a_loop(one_stage, dev):
    @one_stage.function("steps")
    def steps(ctx):
        yield ctx.step.run("a", one_stage.written(lambda: 7))
        return "done"

    client = DevServerClient(dev.origin).sync
    event_id = one_stage.send("test/steps")
    (run_id,) = client.get_run_ids_from_event_id(event_id)

    assert client.wait_for_run_status(run_id, RunStatus.COMPLETED).result == "done"
    assert client.get_step_output(run_id, "a").data == 7
    assert [step.name for step in client.get_history(run_id)] == ["a", "function success"]
    with pytest.raises(UnexpectedStatusError):
        client.wait_for_run_status(run_id, RunStatus.CANCELLED)


async def test_the_sync_face_may_be_used_inside_a_running_loop(one_stage, dev):
    @one_stage.function("fn")
    def fn(ctx):
        return 1

    run_id = await in_thread(one_stage.start, "fn")

    assert DevServerClient(dev.origin).sync.wait_for_run_status(run_id, RunStatus.COMPLETED).result == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/steprig/runs/01J/wait?status=DONE", "status is 'DONE'; expected one or more of QUEUED"),
        ("/steprig/runs/01J/wait?timeout=soon", "timeout is 'soon'; expected seconds"),
        ("/steprig/runs/01J/wait?timeout=nan", "timeout is 'nan'"),
        ("/steprig/runs/01J/wait?step=a&occurrence=-1", "occurrence is '-1'; expected a whole number"),
        ("/steprig/events/01J/wait?runs=x", "runs is 'x'"),
    ],
)
def test_a_bad_wait_is_refused_by_name(dev, path, message):
    answer = httpx.get(f"{dev.origin}{path}", trust_env=False)

    assert answer.status_code == 400
    assert message in answer.json()["error"]


def one_stage_trigger(event):
    import inngest

    return inngest.TriggerEvent(event=event)


def test_a_question_that_finds_nothing_is_no_invalid_one(dev):
    """Test clients ask again after a 200 with errors, and give up after a 422."""
    query = 'query { run(runID: "01J") { id } runTrigger(runID: "01J") { payloads } }'
    answer = httpx.post(f"{dev.origin}/v0/gql", json={"query": query}, trust_env=False)

    assert answer.status_code == 200
    assert answer.json()["data"] is None
    assert {error["path"][0] for error in answer.json()["errors"]} == {"run", "runTrigger"}


def test_nothing_listens_at_the_origin():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen: nobody else can take the port meanwhile
        origin = f"http://127.0.0.1:{bound.getsockname()[1]}"

        with pytest.raises(DevServerUnreachableError, match=f"no Inngest dev server answers at {origin}: ConnectError"):
            DevServerClient(origin).sync.get_history("01J")
