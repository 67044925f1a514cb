"""Workers: who gets which work."""

import threading
import time

import grpc
import pytest
from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.worker import (
    ActivityWorkItemFilter,
    OrchestrationWorkItemFilter,
    VersionFailureStrategy,
    VersioningOptions,
    VersionMatchStrategy,
    WorkItemFilters,
)

from steprig.durabletask import dispatch

from ..waiting import until


def do_work(_, number):
    return number


def empty(ctx, value):
    return value


def fan_out(ctx, number):
    return len((yield task.when_all([ctx.call_activity(do_work, input=n) for n in range(number)])))


def test_each_item_goes_to_one_worker_and_all_get_some(stage, raw):
    workers = [raw() for _ in range(3)]
    for number in range(30):
        stage.schedule("any", instance_id=f"one-{number}")
    until(lambda: sum(len(worker.items) for worker in workers) == 30)
    given = [item.orchestratorRequest.instanceId for worker in workers for item in worker.items]
    assert len(set(given)) == 30
    assert min(len(worker.items) for worker in workers) >= 5


def test_a_worker_gets_no_more_than_it_has_room_for(stage, raw):
    worker = raw(maxConcurrentOrchestrationWorkItems=2)
    for number in range(5):
        stage.schedule("any", instance_id=f"one-{number}")
    first, second = worker.next(), worker.next()
    worker.finish(first)
    third = worker.next()
    assert not worker.items
    worker.finish(second)
    worker.finish(third)
    assert {worker.next().orchestratorRequest.instanceId for _ in range(2)} == {"one-3", "one-4"}


def test_a_worker_gets_all_even_where_each_item_fills_its_window(stage, raw):
    for number in range(20):
        stage.schedule("any", "x" * 300_000, instance_id=f"large {number}")
    worker = raw()

    assert {worker.next().orchestratorRequest.instanceId for _ in range(20)} == {f"large {n}" for n in range(20)}


def test_idle_streams_are_pinged(stage, raw, monkeypatch):
    monkeypatch.setattr(dispatch, "PING_INTERVAL", 0.02)
    stage.backend.stop()
    stage.backend.start()
    worker = raw()
    until(lambda: worker.pings >= 3)


def test_filters_keep_work_for_those_who_take_it(stage, raw):
    filters = pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name="mine", versions=["1", "2"])])
    picky = raw(workItemFilters=filters)
    stage.schedule("other", instance_id="other")
    stage.schedule("mine", instance_id="three", version="3")
    stage.schedule("mine", instance_id="two", version="2")
    assert picky.next().orchestratorRequest.instanceId == "two"
    assert not picky.items
    anybody = raw()
    assert [anybody.next().orchestratorRequest.instanceId for _ in range(2)] == ["other", "three"]


def test_the_filters_of_the_sdk(stage):
    first = stage.worker([empty])
    first.use_work_item_filters()
    second = stage.worker([fan_out])
    second.use_work_item_filters(
        WorkItemFilters(orchestrations=[OrchestrationWorkItemFilter("fan_out")], activities=[])
    )
    third = stage.worker([do_work])
    third.use_work_item_filters(
        WorkItemFilters(orchestrations=[], activities=[ActivityWorkItemFilter("do_work")], entities=[])
    )
    for worker in (first, second, third):
        stage.start(worker)
    assert stage.output(empty, 1) == 1
    assert stage.output(fan_out, 20) == 20


def test_a_rejected_version_does_not_spin(stage):
    worker = stage.worker([empty])
    worker.use_versioning(
        VersioningOptions(
            version="1.0",
            match_strategy=VersionMatchStrategy.STRICT,
            failure_strategy=VersionFailureStrategy.REJECT,
        )
    )
    stage.start(worker)
    instance_id = stage.schedule(empty, 1, version="2.0")
    before = time.process_time()
    with pytest.raises(TimeoutError):
        stage.client.wait_for_orchestration_completion(instance_id, timeout=0.5)
    assert time.process_time() - before < 0.4
    assert stage.output(empty, 1, version="1.0") == 1


def test_a_mismatched_version_can_fail(stage):
    worker = stage.worker([empty])
    worker.use_versioning(
        VersioningOptions(
            version="1.0", match_strategy=VersionMatchStrategy.STRICT, failure_strategy=VersionFailureStrategy.FAIL
        )
    )
    stage.start(worker)
    assert stage.run(empty, 1, version="2.0").failure_details.error_type == "VersionMismatch"


def test_several_workers_share_a_fan_out(stage):
    for _ in range(2):
        stage.work([fan_out, do_work])
    assert stage.output(fan_out, 200) == 200


def test_many_waiters_do_not_hold_up_an_event(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    worker.complete(worker.next())
    channel_options = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(stage.backend.address, options=channel_options)
    wait = channel.unary_unary(
        "/TaskHubSidecarService/WaitForInstanceCompletion",
        request_serializer=pb.GetInstanceRequest.SerializeToString,
        response_deserializer=pb.GetInstanceResponse.FromString,
    )
    waits = [wait.future(pb.GetInstanceRequest(instanceId="one"), timeout=20) for _ in range(100)]
    stage.client.raise_orchestration_event("one", "go")
    worker.finish(worker.next())
    assert all(one.result().exists for one in waits)
    channel.close()


def test_an_item_that_no_worker_can_be_sent_fails_its_orchestration(stage):
    stage.work([empty])
    instance_id = stage.schedule(empty, "x" * (5 * 1024 * 1024))
    state = stage.client.wait_for_orchestration_completion(instance_id, timeout=20, fetch_payloads=False)
    assert state.runtime_status.name == "FAILED"
    assert "grpc.max_receive_message_length" in state.failure_details.message


def test_a_worker_comes_back_to_a_backend_that_was_away(stage):
    stage.work([empty])
    assert stage.output(empty, 1) == 1
    stage.backend.stop()
    stage.backend.start()
    until(lambda: stage.answers(), "the client's channel")
    assert stage.output(empty, 2) == 2


def test_clients_that_wait_are_sent_away_when_the_backend_stops(stage):
    found = []

    def wait():
        try:
            stage.client.wait_for_orchestration_completion("never", timeout=20)
        except grpc.RpcError as error:
            found.append(error.code())

    waiter = threading.Thread(target=wait)
    waiter.start()
    until(lambda: stage.backend._running[1].engine.waiters._number)
    stage.backend.stop()
    waiter.join()
    assert found == [grpc.StatusCode.UNAVAILABLE]
