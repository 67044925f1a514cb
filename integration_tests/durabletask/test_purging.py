"""What clients have the backend forget."""

from datetime import timedelta

import grpc
import pytest
from durabletask.client import OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb

from .orchestrators import empty, waiting
from .stage import refused, unique


def over_family(ctx, key):
    yield ctx.call_sub_orchestrator(over_child, input=key, instance_id=f"{key}-child")


def over_child(ctx, key):
    yield ctx.call_sub_orchestrator(empty, instance_id=f"{key}-grandchild")


FUNCTIONS = [empty, waiting, over_family, over_child]


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
