"""What clients ask for: to start orchestrations, and to wait for them."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from durabletask.client import AsyncTaskHubGrpcClient, OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb

from ..waiting import until
from .orchestrators import empty, waiting
from .stage import refused, unique

FUNCTIONS = [empty, waiting]


# --- Starting --------------------------------------------------------------------------------------------


def test_an_id_that_is_taken_is_refused_with_what_to_do(shared):
    instance_id = unique("taken")
    shared.run(empty, instance_id=instance_id)
    code, message = refused(shared.schedule, empty, instance_id=instance_id)
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert instance_id in message
    assert "COMPLETED" in message


def policy(*statuses):
    return pb.OrchestrationIdReusePolicy(replaceableStatus=[status.value for status in statuses])


def test_a_policy_lets_an_id_be_reused(shared):
    instance_id = unique("reused")
    shared.run(empty, 1, instance_id=instance_id)
    completed = policy(OrchestrationStatus.COMPLETED)
    assert shared.output(empty, 2, instance_id=instance_id, reuse_id_policy=completed) == 2


def test_a_policy_for_another_status_does_not(shared):
    instance_id = unique("reused")
    shared.run(empty, 1, instance_id=instance_id)
    code, _ = refused(
        shared.schedule, empty, instance_id=instance_id, reuse_id_policy=policy(OrchestrationStatus.FAILED)
    )
    assert code is grpc.StatusCode.ALREADY_EXISTS


def test_a_policy_may_replace_what_runs_and_waiters_move_on(shared):
    instance_id = unique("reused")
    shared.schedule(waiting, instance_id=instance_id)
    until(lambda: shared.status(instance_id) == "RUNNING")
    found = []
    waiter = threading.Thread(target=lambda: found.append(shared.wait(instance_id)))
    waiter.start()
    shared.schedule(empty, 7, instance_id=instance_id, reuse_id_policy=policy(OrchestrationStatus.RUNNING))
    waiter.join()
    assert shared.wait(instance_id).get_output() == 7


@pytest.mark.parametrize(("name", "instance_id"), [("", "a"), ("empty", "@entity@key")])
def test_a_bad_start_is_refused(shared, name, instance_id):
    code, _ = refused(shared.stub.StartInstance, pb.CreateInstanceRequest(name=name, instanceId=instance_id))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_an_id_is_made_up_when_none_is_given(shared):
    response = shared.stub.StartInstance(pb.CreateInstanceRequest(name="empty"))
    assert shared.wait(response.instanceId).runtime_status is OrchestrationStatus.COMPLETED


def test_version_tags_and_times_are_seen(shared):
    instance_id = unique("seen")
    shared.run(empty, 1, instance_id=instance_id, version="1.2", tags={"k": "v"})
    request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=False)
    seen = shared.stub.GetInstance(request).orchestrationState
    assert (seen.version.value, dict(seen.tags), seen.executionId.value != "") == ("1.2", {"k": "v"}, True)
    assert seen.createdTimestamp.ToNanoseconds() <= seen.completedTimestamp.ToNanoseconds()
    assert not seen.HasField("input")
    assert not seen.HasField("output")


# --- Unknown instances -----------------------------------------------------------------------------------


def test_an_unknown_instance_is_refused_or_does_not_exist(shared):
    for call in (
        lambda: shared.client.raise_orchestration_event("unknown", "e"),
        lambda: shared.client.suspend_orchestration("unknown"),
        lambda: shared.client.resume_orchestration("unknown"),
        lambda: shared.client.rewind_orchestration("unknown"),
        lambda: shared.client.restart_orchestration("unknown"),
        lambda: shared.client.get_orchestration_history("unknown"),
    ):
        code, message = refused(call)
        assert code is grpc.StatusCode.NOT_FOUND
        assert "unknown" in message
    assert shared.client.get_orchestration_state("unknown") is None
    assert shared.client.purge_orchestration("unknown").deleted_instance_count == 0
    shared.client.terminate_orchestration("unknown")


def test_a_wait_for_what_does_not_exist_yet_goes_on_until_it_does(shared):
    instance_id = unique("later")
    found = []
    waiter = threading.Thread(target=lambda: found.append(shared.wait(instance_id)))
    waiter.start()
    shared.schedule(empty, 3, instance_id=instance_id)
    waiter.join()
    assert found[0].get_output() == 3


def test_a_wait_that_takes_too_long_ends(shared):
    with pytest.raises(TimeoutError):
        shared.client.wait_for_orchestration_completion("never", timeout=0.1)


def test_a_waiter_that_goes_away_leaves_nothing_behind(shared):
    before = shared.clock.now()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            shared.client.wait_for_orchestration_completion("never", timeout=0.05)
    until(lambda: not shared.backend._running[1].engine.waiters._waiting, "the end of the waits")
    instance_id = shared.schedule(waiting)
    until(lambda: shared.status(instance_id) == "RUNNING")
    assert shared.clock.now() - before < timedelta(hours=1)
    shared.client.terminate_orchestration(instance_id)


def test_task_hubs_are_there_already(shared):
    shared.stub.CreateTaskHub(pb.CreateTaskHubRequest())
    shared.stub.DeleteTaskHub(pb.DeleteTaskHubRequest())


# --- The async client ------------------------------------------------------------------------------------


def test_the_async_client(shared):
    async def go():
        async with AsyncTaskHubGrpcClient(host_address=shared.backend.address) as client:
            ids = [await client.schedule_new_orchestration(waiting) for _ in range(10)]
            waits = [asyncio.create_task(client.wait_for_orchestration_completion(one, timeout=20)) for one in ids]
            for number, one in enumerate(ids):
                await client.raise_orchestration_event(one, "go", data=number)
            states = await asyncio.gather(*waits)
            assert [state.get_output() for state in states] == list(range(10))
            history = await client.get_orchestration_history(ids[0])
            assert history
            assert (await client.purge_orchestration(ids[0])).deleted_instance_count == 1
            with pytest.raises(TimeoutError):
                await client.wait_for_orchestration_completion("never", timeout=0.1)

    asyncio.run(go())


def test_created_times_are_of_the_virtual_clock(shared):
    state = shared.run(empty)
    assert abs(state.created_at.replace(tzinfo=UTC) - shared.clock.now()) < timedelta(minutes=1)
    assert isinstance(state.last_updated_at, datetime)
