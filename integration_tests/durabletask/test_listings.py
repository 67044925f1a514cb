"""What clients list: by state, by time, and page by page."""

import grpc
from durabletask.client import OrchestrationQuery, OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb

from .orchestrators import empty, waiting
from .stage import refused, unique

FUNCTIONS = [empty, waiting]


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
