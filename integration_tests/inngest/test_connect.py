"""Functions whose workers connect by WebSocket."""

import asyncio
import socket
import threading
from datetime import timedelta

import httpx
import inngest
import pytest
from inngest.connect._internal import conn_init_starter, isolated_worker
from inngest.connect._internal.connect import connect_test_overrides

from steprig.inngest.connect.session import Session
from steprig.inngest.dev_server import DevServer
from steprig.kernel import VirtualClock
from steprig.live import ServerStartupError

from ..waiting import until
from .connecting import NEW_ID, ConnectStage, ask_to_connect, pb, raw_worker, reply_to
from .stage import PATIENCE, output


@pytest.fixture(autouse=True)
def impatient_sdk(monkeypatch):
    """The SDK waits for seconds where it sees its connection end."""
    monkeypatch.setattr(conn_init_starter, "CONN_INIT_RETRY_INTERVAL_SEC", 0.05)
    monkeypatch.setattr(conn_init_starter, "MAX_CONN_INIT_ATTEMPTS", 1000)
    monkeypatch.setattr(isolated_worker, "POST_CONNECT_SETTLE_SEC", 0.01)
    monkeypatch.setattr(isolated_worker, "RECONNECTION_DELAY_SEC", 0.05)


@pytest.fixture
def connected(dev):
    stage = ConnectStage(dev)
    yield stage
    stage.close()


def test_steps_run_in_sequence_on_a_worker(connected):
    @connected.function("steps")
    async def steps(ctx: inngest.Context) -> list[int]:
        async def one() -> int:
            return 1

        return [await ctx.step.run(f"step {number}", one) for number in range(3)]

    connected.worker()

    run = connected.run("steps")

    assert (run.status, output(run)) == ("completed", [1, 1, 1])


def test_a_sleep_on_a_worker_takes_virtual_time_alone(connected):
    @connected.function("sleeper")
    async def sleeper(ctx: inngest.Context) -> str:
        await ctx.step.sleep("nap", timedelta(days=30))
        return "woke"

    connected.worker()
    before = connected.dev.clock.now()

    assert output(connected.run("sleeper")) == "woke"
    assert connected.dev.clock.now() - before >= timedelta(days=29)


def test_parallel_steps_on_a_worker(connected):
    both = threading.Barrier(2, timeout=PATIENCE)

    @connected.function("parallel")
    def parallel(ctx: inngest.ContextSync) -> tuple[str, ...]:
        def meet(name: str) -> str:
            both.wait()
            return name

        return ctx.group.parallel(
            (lambda: ctx.step.run("a", meet, "a"), lambda: ctx.step.run("b", meet, "b")),
        )

    connected.worker()

    assert output(connected.run("parallel")) == ["a", "b"]


def test_a_failed_attempt_on_a_worker_is_tried_again(connected):
    attempts = []

    @connected.function("flaky")
    async def flaky(ctx: inngest.Context) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt < 2:
            raise ValueError("not yet")
        return "third time lucky"

    connected.worker()

    assert output(connected.run("flaky")) == "third time lucky"
    assert attempts == [0, 1, 2]


def test_a_failure_handler_runs_on_the_worker(connected):
    failed = threading.Event()

    async def tell(ctx: inngest.Context) -> None:
        failed.set()

    @connected.function("hopeless", retries=0, on_failure=tell)
    async def hopeless(ctx: inngest.Context) -> None:
        raise ValueError("no way")

    connected.worker()

    assert connected.run("hopeless").status == "failed"
    assert failed.wait(PATIENCE)


def test_a_run_waits_for_a_worker_without_holding_up_time(connected):
    @connected.function("early")
    async def early(ctx: inngest.Context) -> int:
        return ctx.attempt

    connected.worker().stop()
    run_id = connected.send("early")
    until(lambda: not connected.dev.clock.in_flight, "rest")
    connected.dev.clock.advance(days=1)
    connected.client = connected.new_client()
    connected.functions.clear()
    connected.function("early")(_attempt)
    connected.worker()

    assert output(connected.ended(run_id)) == 0


async def _attempt(ctx: inngest.Context) -> int:
    return ctx.attempt


def test_two_workers_of_one_app_share_the_calls(dev):
    with raw_worker(dev) as one, raw_worker(dev) as two:
        one.get_ready("fn")
        two.get_ready("fn")
        ids = _send(dev, "test/fn", 2)

        for worker in (one, two):
            worker.reply(worker.take())

        for run_id in ids:
            assert dev.timeline.wait_for(run_id, lambda run: run.status.ended, timeout=PATIENCE).status == "completed"


def test_a_worker_takes_over_from_one_that_drains(connected):
    release, entered, took = threading.Event(), threading.Event(), []

    @connected.function("slow")
    def slow(ctx: inngest.ContextSync) -> str:
        took.append(ctx.run_id)
        if len(took) == 1:
            entered.set()
            assert release.wait(PATIENCE)
        return "done"

    old = connected.worker()
    first = connected.send("slow")
    assert entered.wait(PATIENCE)
    old.begin_to_close()
    connected.client = connected.new_client()
    connected.functions.clear()
    connected.function("slow")(_new_slow)
    connected.worker()

    assert output(connected.run("slow")) == "new"
    release.set()
    assert output(connected.ended(first)) == "done"


def _new_slow(ctx: inngest.ContextSync) -> str:
    return "new"


def test_two_sdk_workers_run_calls_at_the_same_time(connected):
    both = threading.Barrier(2, timeout=PATIENCE)

    @connected.function("meet")
    async def meet(ctx: inngest.Context) -> str:
        both.wait()  # blocks the loop of its worker
        return "met"

    connected.worker()
    connected.worker()
    run_ids = [connected.send("meet") for _ in range(2)]

    assert [output(connected.ended(run_id)) for run_id in run_ids] == ["met", "met"]


def test_a_worker_that_closes_finishes_the_call_that_it_has(connected):
    release, entered = threading.Event(), threading.Event()

    @connected.function("slow")
    def slow(ctx: inngest.ContextSync) -> str:
        entered.set()
        assert release.wait(PATIENCE)
        return "finished"

    worker = connected.worker()
    run_id = connected.send("slow")
    assert entered.wait(PATIENCE)
    worker.begin_to_close()
    release.set()

    assert output(connected.ended(run_id)) == "finished"


def test_a_worker_flushes_a_reply_that_was_not_acknowledged(connected, monkeypatch):
    monkeypatch.setattr(Session, "_reply", _forget)

    @connected.function("attempt")
    async def attempt(ctx: inngest.Context) -> int:
        return ctx.attempt

    with connect_test_overrides(extend_lease_interval=1):
        connected.worker()

    assert output(connected.run("attempt")) == 0


async def _forget(session, payload):
    del session, payload


def test_a_worker_stops_what_it_does_for_a_run_that_was_cancelled(connected):
    entered, stopped = threading.Event(), threading.Event()

    @connected.function("endless")
    async def endless(ctx: inngest.Context) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with connect_test_overrides(extend_lease_interval=1):
        connected.worker()
    run_id = connected.send("endless")
    assert entered.wait(PATIENCE)
    httpx.delete(f"{connected.dev.origin}/v1/runs/{run_id}", timeout=PATIENCE).raise_for_status()

    assert connected.ended(run_id).status == "cancelled"
    assert stopped.wait(PATIENCE)


def test_a_paused_worker_gets_no_more_calls(dev):
    with raw_worker(dev) as old, raw_worker(dev) as new:
        old.get_ready("fn")
        (first,) = _send(dev, "test/fn")
        out = old.take()
        old.say(pb.WORKER_PAUSE)
        old.say(pb.WORKER_HEARTBEAT)
        assert old.hear().kind == pb.GATEWAY_HEARTBEAT
        (second,) = _send(dev, "test/fn")
        new.get_ready("fn")

        new.reply(new.take(), b'"new"')
        old.reply(out, b'"old"')

        assert [output(_ended(dev, run_id)) for run_id in (first, second)] == ["old", "new"]


def test_a_call_that_a_worker_left_without_taking_goes_to_the_next(dev):
    with raw_worker(dev) as old:
        old.get_ready("fn")
        (run_id,) = _send(dev, "test/fn")
        assert old.hear().kind == pb.GATEWAY_EXECUTOR_REQUEST
    with raw_worker(dev) as new:
        new.get_ready("fn")
        new.reply(new.take())

    assert output(_ended(dev, run_id)) == "done"


def test_no_worker_gets_more_calls_than_it_wants(dev):
    with raw_worker(dev) as worker:
        worker.get_ready("fn", max_worker_concurrency=1)
        ids = _send(dev, "test/fn", 3)
        for _ in ids:
            request = worker.take()
            worker.say(pb.WORKER_HEARTBEAT)
            assert worker.hear().kind == pb.GATEWAY_HEARTBEAT
            worker.reply(request)

    assert [output(_ended(dev, run_id)) for run_id in ids] == ["done"] * 3


def test_a_lease_is_extended_until_the_reply_is_there(dev):
    with raw_worker(dev) as worker:
        worker.get_ready("fn")
        _send(dev, "test/fn")
        request = worker.take()

        first, second = worker.extend(request).new_lease_id, worker.extend(request).new_lease_id
        worker.reply(request)
        after = worker.extend(request)

    assert len({request.lease_id, first, second}) == 3
    assert not after.HasField("new_lease_id")


def test_the_lease_of_a_cancelled_run_is_not_extended(dev):
    with raw_worker(dev) as worker:
        worker.get_ready("fn")
        (run_id,) = _send(dev, "test/fn")
        request = worker.take()
        httpx.delete(f"{dev.origin}/v1/runs/{run_id}", timeout=PATIENCE).raise_for_status()

        assert not worker.extend(request).HasField("new_lease_id")


def test_a_lease_that_expires_is_a_failed_attempt():
    with VirtualClock() as clock, DevServer(clock=clock, connect_lease=0.05) as dev, raw_worker(dev) as worker:
        worker.get_ready("fn")
        (run_id,) = _send(dev, "test/fn")
        worker.take()

        run = _ended(dev, run_id)

    assert run.status == "failed"
    assert output(run)["error"]["name"] == "connect_worker_stopped_responding"


def test_a_reply_counts_that_comes_by_another_connection(dev):
    with raw_worker(dev) as old:
        old.get_ready("fn")
        (run_id,) = _send(dev, "test/fn")
        request = old.take()
    with raw_worker(dev) as new:
        new.get_ready("fn")
        new.reply(request)

    assert output(_ended(dev, run_id)) == "done"


def test_a_reply_counts_that_is_flushed(dev):
    with raw_worker(dev) as worker:
        worker.get_ready("fn")
        (run_id,) = _send(dev, "test/fn")
        request = worker.take()

    answers = [
        httpx.post(f"{dev.origin}/v0/connect/flush", content=reply_to(request), timeout=PATIENCE) for _ in range(2)
    ]

    assert output(_ended(dev, run_id)) == "done"
    assert [answer.status_code for answer in answers] == [200, 200]
    assert pb.FlushResponse.FromString(answers[0].content).request_id == request.request_id


def test_a_flush_that_is_no_reply_is_refused(dev):
    assert httpx.post(f"{dev.origin}/v0/connect/flush", content=b"\xff", timeout=PATIENCE).status_code == 400


def test_a_gateway_that_stops_says_so():
    with DevServer() as dev, raw_worker(dev) as worker:
        worker.get_ready("fn")
        dev.stop()

        assert worker.hear().kind == pb.GATEWAY_CLOSING
        assert worker.closed_with() == (1001, "connect_gateway_closing")


def test_a_worker_comes_back_to_a_gateway_that_was_restarted():
    first = DevServer().start()
    stage = ConnectStage(first)
    stage.function("attempt")(_attempt)
    try:
        worker = stage.worker()
        first.stop()
        until(lambda: worker.state != "ACTIVE", "the end of the connection")
        with DevServer(first.port, strict_port=True) as second:
            until(lambda: worker.state == "ACTIVE", "a new connection")
            stage.dev = second

            assert output(stage.run("attempt")) == 0
            stage.close()
    finally:
        first.stop()


def test_the_handshake(dev):
    with raw_worker(dev) as worker:
        assert worker.socket.subprotocol == "v0.connect.inngest.com"
        assert worker.socket.recv(PATIENCE) == b""
        worker.introduce()
        ready = worker.hear_payload(pb.GATEWAY_CONNECTION_READY, pb.GatewayConnectionReadyData)

    assert (ready.heartbeat_interval, ready.extend_lease_interval) == ("10s", "30s")


def test_a_worker_that_says_when_it_is_ready_gets_no_call_before(dev):
    with raw_worker(dev) as worker:
        worker.get_ready("fn", worker_manual_readiness_ack=True)
        _send(dev, "test/fn")
        worker.say(pb.WORKER_HEARTBEAT)
        assert worker.hear().kind == pb.GATEWAY_HEARTBEAT
        worker.say(pb.WORKER_READY)

        assert worker.take().function_slug == "raw-fn"


def test_what_a_call_says(dev):
    with raw_worker(dev) as worker:
        worker.get_ready("fn")
        (run_id,) = _send(dev, "test/fn")
        request = worker.take()

    assert (request.app_name, request.function_slug, request.step_id) == ("raw", "raw-fn", "step")
    assert request.run_id == run_id
    assert len(request.lease_id) == len(request.request_id) == 26


@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        (lambda it: it.say(pb.WORKER_HEARTBEAT), "connect_worker_hello_invalid_msg"),
        (lambda it: it.socket.send("text"), "connect_worker_hello_invalid_msg"),
        (lambda it: it.socket.send(b"\xff\xff"), "connect_worker_hello_invalid_msg"),
        (lambda it: it.say(pb.WORKER_CONNECT, b"\xff"), "connect_worker_hello_invalid_payload"),
        (lambda it: it.introduce(auth_data=pb.AuthData(session_token="no")), "connect_authentication_failed"),
        (lambda it: it.introduce(apps=()), "connect_worker_hello_invalid_payload"),
        (lambda it: it.introduce(connection_id="x"), "connect_worker_hello_invalid_payload"),
        (lambda it: it.introduce(instance_id=""), "connect_worker_hello_invalid_payload"),
        (lambda it: it.introduce(apps=tuple("abcdefghijk")), "connect_too_many_apps_per_connection"),
    ],
)
def test_a_bad_handshake(dev, speak, reason):
    with raw_worker(dev) as worker:
        speak(worker)

        assert worker.closed_with() == (1008, reason)


def test_an_app_that_cannot_be_registered(dev):
    with raw_worker(dev) as worker:
        assert worker.socket.recv(PATIENCE) == b""
        worker.introduce(b'[{"id":"","name":"","triggers":[],"steps":{}}]')

        failure = worker.hear_payload(pb.SYNC_FAILED, pb.SystemError)
        code, reason = worker.closed_with()

    assert "At least one function is invalid" in failure.message
    assert code == 1008
    assert "At least one function is invalid" in reason


def test_a_lease_id_that_is_none_ends_the_connection(dev):
    with raw_worker(dev) as worker:
        worker.get_ready()
        data = pb.WorkerRequestExtendLeaseData(request_id=NEW_ID, lease_id="no ulid").SerializeToString()
        worker.say(pb.WORKER_REQUEST_EXTEND_LEASE, data)

        assert worker.closed_with() == (1008, "connect_worker_request_extend_lease_invalid_payload")


def test_the_way_to_the_gateway_has_the_host_that_was_asked(dev):
    answer = httpx.post(f"http://localhost:{dev.port}/v0/connect/start", headers={"Host": "gate.test:1"})

    start = pb.StartResponse.FromString(answer.content)

    assert start.gateway_endpoint == f"ws://gate.test:{dev.port}/v0/connect"
    assert start.gateway_group == "gw-dev"
    assert ask_to_connect(dev).connection_id != start.connection_id


def test_a_gateway_on_a_port_of_its_own(unused_port):
    with DevServer(connect_port=unused_port) as dev:
        assert ask_to_connect(dev).gateway_endpoint == f"ws://127.0.0.1:{unused_port}/v0/connect"
        with raw_worker(dev) as worker:
            worker.get_ready("fn")
            (run_id,) = _send(dev, "test/fn")
            worker.reply(worker.take())

            assert output(_ended(dev, run_id)) == "done"


def test_a_port_of_its_own_that_is_taken():
    with DevServer() as other, pytest.raises(ServerStartupError, match="connect_port"):
        DevServer(connect_port=other.port).start()


@pytest.fixture
def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_connecting_takes_a_signing_key_where_one_is_set():
    with DevServer(signing_key="signkey-test-deadbeef") as dev:
        assert httpx.post(f"{dev.origin}/v0/connect/start").status_code == 401


def _send(dev, name, number=1):
    body = [{"name": name, "data": {}} for _ in range(number)]
    ids = httpx.post(f"{dev.origin}/e/key", json=body, timeout=PATIENCE).raise_for_status().json()["ids"]
    return [run_id for event_id in ids for run_id in dev.runs_of(event_id)]


def _ended(dev, run_id):
    return dev.timeline.wait_for(run_id, lambda run: run.status.ended, timeout=PATIENCE)
