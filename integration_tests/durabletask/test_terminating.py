"""Orchestrations that clients suspend, resume and terminate."""

from durabletask.internal import orchestrator_service_pb2 as pb

from ..waiting import until
from .orchestrators import empty, waiting
from .stage import unique


def family(ctx, key):
    yield ctx.call_sub_orchestrator(family_child, input=key, instance_id=f"{key}-child")


def family_child(ctx, key):
    yield ctx.call_sub_orchestrator(waiting, instance_id=f"{key}-grandchild")


FUNCTIONS = [empty, waiting, family, family_child]


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
