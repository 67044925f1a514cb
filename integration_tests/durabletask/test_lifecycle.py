"""Starting, stopping and resetting."""

import socket
import threading

import grpc
import pytest
from durabletask.client import TaskHubGrpcClient

from steprig.durabletask import BackendStartupError, InMemoryOrchestrationBackend, create_test_backend
from steprig.durabletask.grpc_server import frames

from ..waiting import until
from .grpc_server.serving import RawClient
from .stage import PATIENCE, RawWorker


def empty(ctx, value):
    return value


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("steprig")}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_backend_starts_and_stops_again_and_again_on_one_port():
    before, backend = threads(), InMemoryOrchestrationBackend(port=free_port())
    port = backend.port
    for _ in range(5):
        assert backend.start() == f"localhost:{port}"
        with TaskHubGrpcClient(host_address=backend.address) as client:
            assert client.get_orchestration_state("none") is None
        backend.stop()
        backend.stop()
    assert threads() <= before


def test_the_arguments_are_those_of_the_sdk():
    port = free_port()
    backend = create_test_backend(port, 100)
    assert backend.port == port
    backend.stop(grace=1.0)
    backend = InMemoryOrchestrationBackend(100, port)
    assert backend.start() == f"localhost:{port}"
    backend.stop()


def test_both_loopback_addresses_answer():
    with create_test_backend(0) as backend:
        for host in ("127.0.0.1", "[::1]"):
            with TaskHubGrpcClient(host_address=f"{host}:{backend.port}") as client:
                assert client.get_orchestration_state("none") is None


def test_a_port_that_is_taken_is_told():
    with create_test_backend(0) as backend, pytest.raises(BackendStartupError, match=str(backend.port)):
        create_test_backend(backend.port)


def test_a_backend_that_runs_cannot_be_started_again():
    with create_test_backend(0) as backend, pytest.raises(RuntimeError, match="runs already"):
        backend.start()


def test_what_is_known_survives_a_stop():
    with create_test_backend(0) as backend:
        with TaskHubGrpcClient(host_address=backend.address) as client:
            client.schedule_new_orchestration("any", instance_id="one")
        backend.stop()
        backend.start()
        with TaskHubGrpcClient(host_address=backend.address) as client:
            assert client.get_orchestration_state("one") is not None


def test_a_reset_forgets_everything_and_workers_stay(stage):
    worker = RawWorker(stage)
    stage.schedule("any", instance_id="one")
    stale = worker.next()
    waiting = []
    waiter = threading.Thread(
        target=lambda: waiting.append(stage.client.wait_for_orchestration_completion("one", timeout=20))
    )
    waiter.start()
    until(lambda: stage.backend._running[1].engine.waiters._number)
    stage.backend.reset()
    waiter.join()
    assert waiting == [None]
    assert stage.status("one") is None
    worker.finish(stale)
    assert stage.status("one") is None
    stage.schedule("any", instance_id="one")
    worker.finish(worker.next())
    assert stage.wait("one").get_output() == "done"
    worker.close()


def _wait_in_vain(stage):
    with pytest.raises(grpc.RpcError):
        stage.wait("never")


def test_stopping_does_not_wait_for_streams_and_waits(stage):
    stage.work([empty])
    stage.output(empty, 1)
    waiter = threading.Thread(target=_wait_in_vain, args=(stage,))
    waiter.start()
    until(lambda: stage.backend._running[1].engine.waiters._number)
    stopping = threading.Thread(target=stage.backend.stop)
    stopping.start()
    stopping.join(timeout=5)
    assert not stopping.is_alive()
    waiter.join()


@pytest.fixture
def client(stage):
    """One that has made a call, and answers no ping by itself, without which nobody closes its connection."""
    client = RawClient(stage.backend.port)
    client.request(1, b"", "/TaskHubSidecarService/Hello")
    client.answer(1)
    yield client
    client.close()


@pytest.fixture
def stop(stage, client):
    """Begins to stop the backend."""
    stopping = threading.Thread(target=stage.backend.stop, args=(PATIENCE,))
    yield stopping.start
    client.put(frames.PING, frames.ACK, 0, b"farewell")
    stopping.join()


def status_of(client, stream):
    """With which an answer ends, before which a server says farewell."""
    while True:
        got = client.until(frames.HEADERS, stream)
        if got.flags & frames.END_STREAM:
            return client.decoded(got)["grpc-status"]
        client.decoded(got)


def test_workers_are_told_not_to_come_back_before_their_streams_end(client, stop):
    client.request(3, b"", "/TaskHubSidecarService/GetWorkItems")
    client.until(frames.HEADERS, 3)
    stop()

    client.until(frames.GOAWAY)
    assert status_of(client, 3) == "0"


def test_what_is_asked_for_while_a_backend_stops_is_refused_and_what_workers_answer_is_taken(stage, client, stop):
    engine = stage.backend._running[1].engine
    stop()
    until(lambda: engine.is_stopped, "the stop")
    statuses = []
    for stream, call in ((3, "GetWorkItems"), (5, "WaitForInstanceCompletion"), (7, "CompleteActivityTask")):
        client.request(stream, b"", f"/TaskHubSidecarService/{call}")
        statuses.append(status_of(client, stream))

    assert statuses == ["14", "14", "0"]
    assert not stage.clock.in_flight


def test_runs_are_on_the_timeline(shared_timeline):
    run = shared_timeline
    assert (run.name, run.status.value, bytes(run.output)) == ("counting", "completed", b"2")
    assert [(span.kind, span.status.value) for span in run.spans] == [("activity", "completed"), ("event", "completed")]


def do_one(_, value):
    return value


def counting(ctx, _):
    value = yield ctx.call_activity(do_one, input=1)
    yield ctx.wait_for_external_event("go")
    return value + 1


@pytest.fixture
def shared_timeline(stage):
    stage.work([counting, do_one])
    instance_id = stage.schedule(counting)
    until(lambda: "taskCompleted" in stage.kinds(instance_id))
    stage.client.raise_orchestration_event(instance_id, "go")
    stage.wait(instance_id)
    return stage.backend.timeline.run(instance_id)
