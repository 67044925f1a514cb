"""A backend that is stopped, or killed, goes on from its journal."""

import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from durabletask import entities, task
from durabletask.client import TaskHubGrpcClient
from durabletask.entities import EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs

from steprig.durabletask import create_test_backend
from steprig.durabletask.records import ActivityEnded
from steprig.kernel import MemoryJournal, SqliteJournal, VirtualClock

from ..waiting import until
from .stage import RawWorker, Stage, completed, scheduled

NUMBER = 60


def do_square(_, number):
    return number * number


def squares(ctx, number):
    return (yield task.when_all([ctx.call_activity(do_square, input=n) for n in range(number)]))


def sleeper(ctx, _):
    yield ctx.create_timer(timedelta(days=1))
    return (yield ctx.wait_for_external_event("go"))


def parent(ctx, _):
    return (yield ctx.call_sub_orchestrator(sleeper, instance_id="child"))


def entity_counter(ctx: entities.EntityContext, value):
    ctx.set_state(ctx.get_state(int, 0) + (value or 0))
    return ctx.get_state(int)


class Process:
    """A backend in a process that can be killed."""

    def __init__(self, path, port=0):
        script = Path(__file__).with_name("mortal_backend.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(path), str(port)], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())
        self.address = f"localhost:{self.port}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_a_backend_that_is_killed_amid_a_fan_out_keeps_every_result(tmp_path):
    """A worker runs activities and is answered or not; what was recorded is never run again."""
    path = tmp_path / "journal.db"
    first = Process(path)
    ran = Counter()
    answered = set()
    client = TaskHubGrpcClient(host_address=first.address)
    client.schedule_new_orchestration("any", instance_id="one")
    channel = grpc.insecure_channel(first.address)
    stub = stubs.TaskHubSidecarServiceStub(channel)
    kill_at = threading.Timer(0, lambda: None)
    try:
        for item in stub.GetWorkItems(pb.GetWorkItemsRequest(maxConcurrentActivityWorkItems=10)):
            if item.HasField("orchestratorRequest"):
                actions = [] if item.orchestratorRequest.pastEvents else [scheduled(n, "do") for n in range(1, NUMBER)]
                stub.CompleteOrchestratorTask(
                    pb.OrchestratorResponse(completionToken=item.completionToken, actions=actions)
                )
                continue
            task_id = item.activityRequest.taskId
            ran[task_id] += 1
            response = pb.ActivityResponse(completionToken=item.completionToken)
            response.result.value = str(task_id)
            stub.CompleteActivityTask(response)
            answered.add(task_id)
            if len(answered) == NUMBER // 2:
                first.process.kill()
    except grpc.RpcError:
        pass
    finally:
        kill_at.cancel()
        first.kill()
        channel.close()
        client.close()
    assert NUMBER // 2 <= len(answered) < NUMBER - 1
    with SqliteJournalAt(path) as journal:
        recorded = {
            record.entry.occurrence + 1
            for stream in journal.streams("durabletask.orchestration")
            for record in journal.read(stream)
            if isinstance(record.entry, ActivityEnded)
        }
        assert answered <= recorded
        with create_test_backend(0, journal=journal) as backend:
            stage = Stage(backend)
            worker = RawWorker(stage)
            again = set()
            seen = {}
            while len(seen) < NUMBER - 1:
                item = worker.next()
                if item.HasField("activityRequest"):
                    again.add(item.activityRequest.taskId)
                    response = pb.ActivityResponse(completionToken=item.completionToken)
                    response.result.value = str(item.activityRequest.taskId)
                    worker.stub.CompleteActivityTask(response)
                    continue
                request = item.orchestratorRequest
                for event in [*request.pastEvents, *request.newEvents]:
                    if event.HasField("taskCompleted"):
                        seen[event.taskCompleted.taskScheduledId] = event.taskCompleted.result.value
                worker.complete(item, *([completed()] if len(seen) == NUMBER - 1 else []))
            assert stage.wait("one").get_output() == "done"
            worker.close()
            stage.close()
    assert seen == {n: str(n) for n in range(1, NUMBER)}
    assert again == set(range(1, NUMBER)) - recorded


class SqliteJournalAt:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.journal = SqliteJournal(self.path)
        return self.journal

    def __exit__(self, *_):
        self.journal.close()


def test_the_real_worker_goes_on_with_a_backend_that_was_killed_and_came_back(tmp_path):
    path = tmp_path / "journal.db"
    first = Process(path)
    client = TaskHubGrpcClient(host_address=first.address)
    client.schedule_new_orchestration(squares, input=40, instance_id="one")
    client.schedule_new_orchestration(sleeper, instance_id="gone")
    client.terminate_orchestration("gone")
    client.purge_orchestration("gone")
    client.close()
    first.kill()
    second = Process(path)
    try:
        stage = Stage(_Backend(second))
        assert stage.client.get_orchestration_state("gone") is None
        stage.work([squares, do_square])
        assert stage.wait("one").get_output() == [n * n for n in range(40)]
        stage.close()
    finally:
        second.kill()


class _Backend:
    """What a stage needs of a backend in another process."""

    def __init__(self, process):
        self.address = process.address


@pytest.fixture(params=["memory", "sqlite"])
def lives(request, tmp_path):
    """Starts backends, one after the other, on one journal."""
    journal = MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "journal.db")
    closing = []

    def live(functions=()):
        for close in closing[::-1]:
            close()
        closing.clear()
        nonlocal journal
        if isinstance(journal, SqliteJournal):
            journal.close()
            journal = SqliteJournal(tmp_path / "journal.db")
        clock = VirtualClock()
        backend = create_test_backend(0, clock=clock, journal=journal)
        stage = Stage(backend)
        closing.extend([clock.close, backend.stop, stage.close])
        if functions:
            stage.work(functions)
        return stage

    yield live
    for close in closing[::-1]:
        close()
    journal.close()


def test_all_goes_on_after_a_restart(lives):
    functions = [sleeper, parent, entity_counter, squares, do_square]
    stage = lives(functions)
    done = stage.run(squares, 3, instance_id="done", tags={"k": "v"}, version="7")
    stage.schedule(parent, instance_id="parent")
    until(lambda: stage.status("child") == "RUNNING")
    stage.schedule("later", instance_id="later", start_at=stage.clock.now() + timedelta(days=3))
    stage.schedule(sleeper, instance_id="suspended")
    stage.client.suspend_orchestration("suspended")
    until(lambda: stage.status("suspended") == "SUSPENDED")
    counter = EntityInstanceId("entity_counter", "k")
    stage.client.signal_entity(counter, "add", 5)
    stage.client.signal_entity(counter, "add", 6, signal_time=stage.clock.now() + timedelta(days=2))
    until(lambda: stage.client.get_entity(counter) and stage.client.get_entity(counter).get_state() == "5")
    stage.schedule(squares, 1, instance_id="purged")
    stage.wait("purged")
    stage.client.purge_orchestration("purged")

    stage = lives(functions)
    again = stage.client.get_orchestration_state("done")
    assert again == done
    assert stage.status("purged") is None
    assert stage.status("later") == "PENDING"
    assert stage.status("suspended") == "SUSPENDED"
    assert stage.client.get_entity(counter).get_state() == "5"
    stage.client.raise_orchestration_event("child", "go", data="on")
    assert stage.wait("parent").get_output() == "on"
    stage.clock.advance(days=4)
    until(lambda: stage.client.get_entity(counter).get_state() == "11")
    assert stage.wait("later").runtime_status.name == "FAILED"
    stage.client.resume_orchestration("suspended")
    stage.client.raise_orchestration_event("suspended", "go", data=1)
    assert stage.wait("suspended").get_output() == 1


def test_what_was_reset_stays_away(lives):
    stage = lives()
    stage.schedule("any", instance_id="one")
    stage.client.signal_entity(EntityInstanceId("e", "k"), "op")
    stage.backend.reset()
    assert stage.status("one") is None
    stage.schedule("any", instance_id="two")
    stage.backend.stop()
    stage.backend.reset()
    stage = lives()
    assert stage.status("one") is None
    assert stage.status("two") is None
    assert stage.client.get_entity(EntityInstanceId("e", "k")) is None
