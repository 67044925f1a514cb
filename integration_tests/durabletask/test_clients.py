"""What clients ask for."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from durabletask.client import (
    AsyncTaskHubGrpcClient,
    OrchestrationQuery,
    OrchestrationStatus,
)
from durabletask.internal import orchestrator_service_pb2 as pb

from ..waiting import until
from .stage import unique

FUNCTIONS = []
_BROKEN = {}


def function(body):
    FUNCTIONS.append(body)
    return body


@function
def do_break(_, key):
    if _BROKEN.get(key):
        raise ValueError(f"{key} is broken")
    return f"{key} is whole"


_RUNS = []


@function
def do_count(_, key):
    _RUNS.append(key)
    return key


@function
def empty(ctx, value):
    return value


@function
def waiting(ctx, _):
    return (yield ctx.wait_for_external_event("go"))


@function
def fragile(ctx, key):
    before = yield ctx.call_activity(do_count, input=key)
    return [before, (yield ctx.call_activity(do_break, input=key))]


@function
def fragile_parent(ctx, key):
    before = yield ctx.call_activity(do_count, input=f"{key}-parent")
    return [before, (yield ctx.call_sub_orchestrator(fragile, input=key, instance_id=f"{key}-child"))]


@function
def family(ctx, key):
    yield ctx.call_sub_orchestrator(family_child, input=key, instance_id=f"{key}-child")


@function
def family_child(ctx, key):
    yield ctx.call_sub_orchestrator(waiting, instance_id=f"{key}-grandchild")


@function
def over_family(ctx, key):
    yield ctx.call_sub_orchestrator(over_child, input=key, instance_id=f"{key}-child")


@function
def over_child(ctx, key):
    yield ctx.call_sub_orchestrator(empty, instance_id=f"{key}-grandchild")


def refused(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as error:
        call(*args, **kwargs)
    return error.value.code(), error.value.details()


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


# --- Suspend, resume, terminate --------------------------------------------------------------------------


def test_a_suspended_orchestration_stands_still_until_it_is_resumed(shared):
    instance_id = shared.schedule(waiting)
    until(lambda: shared.status(instance_id) == "RUNNING")
    shared.client.suspend_orchestration(instance_id)
    until(lambda: shared.status(instance_id) == "SUSPENDED")
    shared.client.suspend_orchestration(instance_id)
    shared.client.raise_orchestration_event(instance_id, "go", data="late")
    until(lambda: not shared.clock.in_flight)
    assert shared.status(instance_id) == "SUSPENDED"
    shared.client.resume_orchestration(instance_id)
    assert shared.wait(instance_id).get_output() == "late"


def test_suspend_and_resume_of_what_is_over_do_nothing(shared):
    instance_id = shared.run(empty).instance_id
    shared.client.suspend_orchestration(instance_id)
    shared.client.resume_orchestration(instance_id)
    shared.client.raise_orchestration_event(instance_id, "late")
    shared.client.terminate_orchestration(instance_id)
    assert shared.status(instance_id) == "COMPLETED"


def test_a_suspended_orchestration_can_be_terminated(shared):
    instance_id = shared.schedule(waiting)
    shared.client.suspend_orchestration(instance_id)
    until(lambda: shared.status(instance_id) == "SUSPENDED")
    shared.client.terminate_orchestration(instance_id, output={"why": "test"})
    state = shared.wait(instance_id)
    assert (state.runtime_status.name, state.get_output()) == ("TERMINATED", {"why": "test"})
    assert shared.kinds(instance_id)[-1] == "executionCompleted"


def test_a_recursive_termination_ends_all_below(shared):
    key = unique("family")
    shared.schedule(family, key, instance_id=key)
    until(lambda: shared.status(f"{key}-grandchild") == "RUNNING")
    shared.client.terminate_orchestration(key)
    assert [shared.status(one) for one in (key, f"{key}-child", f"{key}-grandchild")] == ["TERMINATED"] * 3


def test_a_termination_that_is_not_recursive_leaves_children_alone(shared):
    key = unique("family")
    shared.schedule(family, key, instance_id=key)
    until(lambda: shared.status(f"{key}-grandchild") == "RUNNING")
    shared.client.terminate_orchestration(key, recursive=False)
    assert [shared.status(one) for one in (key, f"{key}-child")] == ["TERMINATED", "RUNNING"]
    shared.client.terminate_orchestration(f"{key}-child")


def test_a_terminated_child_fails_its_parent(shared):
    key = unique("family")
    shared.schedule(family, key, instance_id=key)
    until(lambda: shared.status(f"{key}-grandchild") == "RUNNING")
    shared.client.terminate_orchestration(f"{key}-grandchild")
    assert "terminated" in shared.wait(key).failure_details.message


def test_termination_needs_no_worker(stage):
    stage.schedule("anything", 5, instance_id="one")
    stage.client.terminate_orchestration("one", output="over")
    assert stage.wait("one").get_output() == "over"
    assert stage.kinds("one") == [
        "orchestratorStarted",
        "executionStarted",
        "executionTerminated",
        "orchestratorCompleted",
        "executionCompleted",
    ]


def test_graceful_termination_can_be_skipped(shared):
    instance_id = shared.schedule(waiting)
    batch = pb.InstanceBatch(instanceIds=[instance_id, "unknown"])
    request = pb.SkipGracefulOrchestrationTerminationsRequest(instanceBatch=batch)
    assert shared.stub.SkipGracefulOrchestrationTerminations(request).unterminatedInstanceIds == ["unknown"]
    assert shared.status(instance_id) == "TERMINATED"


# --- Restart, rewind, purge ------------------------------------------------------------------------------


def test_a_restart_runs_again_with_the_first_input(shared):
    instance_id = unique("restart")
    shared.run(empty, 5, instance_id=instance_id, tags={"k": "v"}, version="2.0")
    first = shared.stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id)).orchestrationState
    assert shared.client.restart_orchestration(instance_id) == instance_id
    assert shared.wait(instance_id).get_output() == 5
    again = shared.stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id)).orchestrationState
    assert (again.version.value, dict(again.tags)) == ("2.0", {"k": "v"})
    assert again.executionId.value != first.executionId.value
    other = shared.client.restart_orchestration(instance_id, restart_with_new_instance_id=True)
    assert other != instance_id
    assert shared.wait(other).get_output() == 5


def test_what_goes_on_cannot_be_restarted_or_rewound(shared):
    instance_id = shared.schedule(waiting)
    for call in (shared.client.restart_orchestration, shared.client.rewind_orchestration):
        code, message = refused(call, instance_id)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert instance_id in message
    shared.client.terminate_orchestration(instance_id)


def test_a_rewound_orchestration_runs_again_only_what_has_failed(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    assert shared.run(fragile, key, instance_id=key).runtime_status.name == "FAILED"
    shared.client.rewind_orchestration(key, reason="try again")
    assert shared.wait(key).runtime_status.name == "FAILED"
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [key, f"{key} is whole"]
    assert _RUNS.count(key) == 1


def test_a_rewind_goes_down_to_the_child_that_has_failed(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    assert shared.run(fragile_parent, key, instance_id=key).runtime_status.name == "FAILED"
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [f"{key}-parent", [key, f"{key} is whole"]]
    assert (_RUNS.count(key), _RUNS.count(f"{key}-parent")) == (1, 1)


def test_a_rewind_begins_a_child_anew_that_was_purged(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    shared.run(fragile_parent, key, instance_id=key)
    shared.client.purge_orchestration(f"{key}-child")
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [f"{key}-parent", [key, f"{key} is whole"]]
    assert _RUNS.count(key) == 2


def test_a_purge_forgets(shared):
    instance_id = shared.run(empty).instance_id
    result = shared.client.purge_orchestration(instance_id)
    assert (result.deleted_instance_count, result.is_complete) == (1, True)
    assert shared.client.get_orchestration_state(instance_id) is None
    assert shared.output(empty, 9, instance_id=instance_id) == 9


def test_what_goes_on_is_not_purged(shared):
    instance_id = shared.schedule(waiting)
    assert shared.client.purge_orchestration(instance_id).deleted_instance_count == 0
    shared.client.terminate_orchestration(instance_id)


@pytest.mark.parametrize(("recursive", "number"), [(True, 3), (False, 1)])
def test_a_recursive_purge_takes_all_below(shared, recursive, number):
    key = unique("family")
    shared.run(over_family, key, instance_id=key)
    assert shared.client.purge_orchestration(key, recursive=recursive).deleted_instance_count == number
    assert (shared.status(f"{key}-grandchild") is None) is recursive


def test_a_purge_by_filter(shared):
    begin = shared.clock.stamp()
    ids = [shared.run(empty).instance_id for _ in range(3)]
    waits = shared.schedule(waiting)
    result = shared.client.purge_orchestrations_by(
        created_time_from=begin, runtime_status=[OrchestrationStatus.COMPLETED], timeout=timedelta(minutes=1)
    )
    assert (result.deleted_instance_count, result.is_complete) == (3, True)
    assert [shared.status(one) for one in ids] == [None] * 3
    assert shared.status(waits) is not None
    shared.client.terminate_orchestration(waits)


def test_a_purge_of_nothing_in_particular_is_refused(shared):
    code, _ = refused(shared.stub.PurgeInstances, pb.PurgeInstancesRequest())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_purge_of_a_batch(shared):
    ids = [shared.run(empty).instance_id for _ in range(2)]
    request = pb.PurgeInstancesRequest(instanceBatch=pb.InstanceBatch(instanceIds=[*ids, "unknown"]))
    assert shared.stub.PurgeInstances(request).deletedInstanceCount == 2


# --- Listings --------------------------------------------------------------------------------------------


def test_a_query_goes_through_all_pages(shared):
    prefix = unique("query")
    ids = [shared.run(empty, n, instance_id=f"{prefix}-{n}").instance_id for n in range(7)]
    query = OrchestrationQuery(instance_id_prefix=prefix, max_instance_count=2, fetch_inputs_and_outputs=True)
    states = shared.client.get_all_orchestration_states(query)
    assert [state.instance_id for state in states] == ids
    assert [state.get_output() for state in states] == list(range(7))


def test_a_page_is_not_disturbed_by_what_was_purged_before_it(shared):
    prefix = unique("query")
    ids = [shared.run(empty, n, instance_id=f"{prefix}-{n}").instance_id for n in range(5)]
    query = pb.InstanceQuery(maxInstanceCount=2)
    query.instanceIdPrefix.value = prefix
    first = shared.stub.QueryInstances(pb.QueryInstancesRequest(query=query))
    shared.client.purge_orchestration(ids[0])
    query.continuationToken.value = first.continuationToken.value
    second = shared.stub.QueryInstances(pb.QueryInstancesRequest(query=query))
    assert [state.instanceId for state in second.orchestrationState] == ids[2:4]


def test_a_query_by_status_and_time(shared):
    prefix = unique("query")
    shared.run(empty, instance_id=f"{prefix}-over")
    middle = shared.clock.stamp()
    shared.schedule(waiting, instance_id=f"{prefix}-waits")

    def ids(**query):
        found = shared.client.get_all_orchestration_states(OrchestrationQuery(instance_id_prefix=prefix, **query))
        return [state.instance_id for state in found]

    assert ids(runtime_status=[OrchestrationStatus.COMPLETED]) == [f"{prefix}-over"]
    assert ids(created_time_from=middle) == [f"{prefix}-waits"]
    assert ids(created_time_to=middle) == [f"{prefix}-over"]
    shared.client.terminate_orchestration(f"{prefix}-waits")


def test_the_ids_of_what_is_over_come_page_by_page(shared):
    since = shared.clock.stamp()
    ids = [shared.run(empty).instance_id for _ in range(5)]
    page = shared.client.list_instance_ids(completed_time_from=since, page_size=2)
    found = list(page.items)
    assert found[-1] in page.continuation_token
    while page.continuation_token:
        page = shared.client.list_instance_ids(
            completed_time_from=since, page_size=2, continuation_token=page.continuation_token
        )
        found += page.items
    assert found == ids


def test_a_token_that_is_none_is_refused(shared):
    query = pb.InstanceQuery()
    query.continuationToken.value = "nonsense"
    code, message = refused(shared.stub.QueryInstances, pb.QueryInstancesRequest(query=query))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "nonsense" in message


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
