"""Entities, by the real worker and the real client."""

from datetime import timedelta

import grpc
import pytest
from durabletask import entities, task
from durabletask.client import EntityQuery
from durabletask.entities import EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from ..waiting import until
from .stage import scheduled, unique

FUNCTIONS = []


def function(body):
    FUNCTIONS.append(body)
    return body


@function
def entity_counter(ctx: entities.EntityContext, value):
    state = ctx.get_state(int, 0)
    if ctx.operation == "add":
        ctx.set_state(state + value)
        return state + value
    if ctx.operation == "get":
        return state
    if ctx.operation == "fail":
        ctx.set_state(state + 1000)
        raise ValueError("no")
    if ctx.operation == "delete":
        ctx.set_state(None)
        return None
    if ctx.operation == "start":
        return ctx.schedule_new_orchestration("noted", input=value)
    if ctx.operation == "tell":
        ctx.signal_entity(EntityInstanceId("entity_counter", value), "add", 7)
        return None
    return None


@function
class EntityAccount(entities.DurableEntity):
    def deposit(self, amount):
        self.set_state(self.get_state(int, 0) + amount)
        return self.get_state(int)

    def balance(self):
        return self.get_state(int, 0)


@function
def noted(ctx, value):
    return value


@function
def calling(ctx, calls):
    results = []
    for key, operation, value in calls:
        try:
            results.append((yield ctx.call_entity(EntityInstanceId("entity_counter", key), operation, value)))
        except task.TaskFailedError as error:
            results.append(error.details.message)
        except Exception as error:  # noqa: BLE001 - an operation's failure has a type of its own
            results.append(f"failed: {error}")
    return results


@function
def account(ctx, key):
    entity = EntityInstanceId("EntityAccount", key)
    yield ctx.call_entity(entity, "deposit", 5)
    yield ctx.call_entity(entity, "deposit", 6)
    return (yield ctx.call_entity(entity, "balance"))


@function
def signalling(ctx, key):
    ctx.signal_entity(EntityInstanceId("entity_counter", key), "add", 3)
    return "sent"


@function
def transfer(ctx, keys):
    """Reads, waits, and writes, which goes wrong where anybody comes between."""
    ids = [EntityInstanceId("entity_counter", key) for key in keys]
    with (yield ctx.lock_entities(ids)):
        before = yield ctx.call_entity(ids[0], "get")
        yield ctx.create_timer(timedelta(seconds=1))
        for one in ids:
            yield ctx.call_entity(one, "add", 1)
        after = yield ctx.call_entity(ids[0], "get")
    return [before, after]


@function
def holding(ctx, key):
    entity = EntityInstanceId("entity_counter", key)
    with (yield ctx.lock_entities([entity])):
        ctx.set_custom_status("locked")
        yield ctx.wait_for_external_event("release")
        return (yield ctx.call_entity(entity, "get"))


def counter(key):
    return EntityInstanceId("entity_counter", key)


def value_of(stage, key):
    found = stage.client.get_entity(counter(key))
    return int(found.get_state()) if found is not None and found.get_state() else None


def test_calls_return_results_and_failures(shared):
    key = unique("c")
    calls = [[key, "add", 5], [key, "fail", None], [key, "get", None]]
    added, failed, got = shared.output(calling, calls)
    assert (added, got) == (5, 5)
    assert "no" in failed


def test_a_class_is_an_entity_too(shared):
    assert shared.output(account, unique("a")) == 11


def test_signals_arrive_in_order_and_nothing_is_lost(shared):
    key = unique("s")
    for _ in range(50):
        shared.client.signal_entity(counter(key), "add", 1)
    until(lambda: value_of(shared, key) == 50)


def test_an_orchestration_signals(shared):
    key = unique("s")
    shared.output(signalling, key)
    until(lambda: value_of(shared, key) == 3)


def test_an_entity_starts_an_orchestration_and_signals_another(shared):
    key, other = unique("s"), unique("o")
    (instance_id, _) = shared.output(calling, [[key, "start", 4], [key, "tell", other]])
    assert shared.wait(instance_id).get_output() == 4
    until(lambda: value_of(shared, other) == 7)


def test_a_delayed_signal_comes_when_time_has_come(shared):
    key = unique("d")
    due = shared.clock.now() + timedelta(days=1)
    shared.client.signal_entity(counter(key), "add", 1, signal_time=due)
    until(lambda: not shared.clock.in_flight)
    assert value_of(shared, key) is None
    shared.clock.advance(days=2)
    until(lambda: value_of(shared, key) == 1)


def test_a_state_can_be_deleted_and_the_entity_cleaned_up(shared):
    key = unique("d")
    shared.output(calling, [[key, "add", 1], [key, "delete", None]])
    found = shared.client.get_entity(counter(key))
    assert found is None or not found.get_state()
    result = shared.client.clean_entity_storage()
    assert result.empty_entities_removed >= 1
    assert shared.client.get_entity(counter(key)) is None


def test_entities_are_listed_page_by_page(shared):
    prefix = unique("q")
    for number in range(5):
        shared.output(calling, [[f"{prefix}-{number}", "add", number]])
    query = EntityQuery(instance_id_starts_with=f"@Entity_Counter@{prefix}", page_size=2)
    found = shared.client.get_all_entities(query)
    assert [one.get_state(int) for one in found] == list(range(5))


def test_only_entities_with_a_state_are_listed_unless_asked(shared):
    key = unique("q")
    shared.output(calling, [[key, "delete", None]])
    query = EntityQuery(instance_id_starts_with=f"@entity_counter@{key}")
    assert shared.client.get_all_entities(query) == []
    query.include_transient = True
    assert len(shared.client.get_all_entities(query)) == 1


def test_critical_sections_exclude_one_another(shared):
    keys = [unique("l"), unique("l")]
    ids = [shared.schedule(transfer, keys if number % 2 else keys[::-1]) for number in range(6)]
    results = [shared.wait(one) for one in ids]
    assert all(state.runtime_status.name == "COMPLETED" for state in results)
    assert all(after - before == 1 for before, after in (state.get_output() for state in results))
    assert [value_of(shared, key) for key in keys] == [6, 6]


def test_a_signal_does_not_reach_a_locked_entity(shared):
    key = unique("l")
    instance_id = shared.schedule(holding, key)
    until(lambda: shared.client.get_orchestration_state(instance_id).serialized_custom_status)
    shared.client.signal_entity(counter(key), "add", 1)
    until(lambda: not shared.clock.in_flight)
    seen = shared.stub.GetEntity(pb.GetEntityRequest(instanceId=str(counter(key)), includeState=True)).entity
    assert (seen.lockedBy.value, seen.backlogQueueSize, seen.serializedState.value) == (instance_id, 1, "")
    shared.client.raise_orchestration_event(instance_id, "release")
    assert shared.wait(instance_id).get_output() == 0
    until(lambda: value_of(shared, key) == 1)


@pytest.mark.parametrize("end", ["terminate", "replace"])
def test_locks_end_with_their_orchestration(shared, end):
    key = unique("l")
    instance_id = shared.schedule(holding, key)
    until(lambda: shared.client.get_orchestration_state(instance_id).serialized_custom_status)
    if end == "terminate":
        shared.client.terminate_orchestration(instance_id)
    else:
        policy = pb.OrchestrationIdReusePolicy(replaceableStatus=[pb.ORCHESTRATION_STATUS_RUNNING])
        shared.run(noted, 1, instance_id=instance_id, reuse_id_policy=policy)
    assert shared.output(calling, [[key, "add", 1]]) == [1]


def test_an_unknown_entity_fails_the_call(shared):
    def call():
        return shared.output(calling, [["k", "add", 1]])

    assert call()
    state = shared.run("calling", [["k", "nothing", None]])
    assert state.get_output() == [None]


@pytest.mark.parametrize("entity_id", ["no-at", "@only-name", "@@key", "@a@b@c"])
def test_a_bad_entity_id_is_refused(shared, entity_id):
    with pytest.raises(grpc.RpcError) as error:
        shared.stub.SignalEntity(pb.SignalEntityRequest(instanceId=entity_id, name="add"))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_entity_is_purged_by_its_id(shared):
    key = unique("p")
    shared.output(calling, [[key, "add", 1]])
    request = pb.PurgeInstancesRequest(instanceId=str(counter(key)))
    assert shared.stub.PurgeInstances(request).deletedInstanceCount == 1
    assert shared.client.get_entity(counter(key)) is None


def test_a_trace_context_reaches_the_operation(stage, raw):
    worker = raw()
    trace = pb.TraceContext(traceParent="00-a-b-01")
    stage.stub.SignalEntity(pb.SignalEntityRequest(instanceId="@e@k", name="op", parentTraceContext=trace))
    batch = worker.next().entityRequest
    assert (batch.operations[0].operation, batch.operations[0].traceContext) == ("op", trace)


def test_operations_that_were_not_done_are_offered_again(stage, raw):
    worker = raw()
    stage.stub.SignalEntity(pb.SignalEntityRequest(instanceId="@e@k", name="first"))
    item = worker.next()
    for name in ("second", "third"):
        stage.stub.SignalEntity(pb.SignalEntityRequest(instanceId="@e@k", name=name))
    success = pb.OperationResult(success=pb.OperationResultSuccess())

    def answer(item):
        result = pb.EntityBatchResult(results=[success], completionToken=item.completionToken)
        result.entityState.value = "1"
        worker.stub.CompleteEntityTask(result)

    answer(item)
    second = worker.next()
    asked = [event.entityOperationSignaled.operation for event in second.entityRequestV2.operationRequests]
    assert asked == ["second", "third"]
    assert second.entityRequestV2.entityState.value == "1"
    answer(second)
    third = worker.next()
    asked = [event.entityOperationSignaled.operation for event in third.entityRequestV2.operationRequests]
    assert asked == ["third"]


def test_a_batch_that_fails_fails_its_calls(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    call = pb.OrchestratorAction(id=1)
    called = call.sendEntityMessage.entityOperationCalled
    called.requestId, called.operation, called.targetInstanceId.value = "r", "op", "@e@k"
    called.parentInstanceId.value = "one"
    worker.complete(worker.next(), call)
    result = pb.EntityBatchResult(completionToken=worker.next().completionToken)
    result.failureDetails.errorType = "Broken"
    worker.stub.CompleteEntityTask(result)
    event = worker.next().orchestratorRequest.newEvents[-1]
    assert event.entityOperationFailed.failureDetails.errorType == "Broken"


def test_a_call_of_what_is_no_entity_fails(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    call = pb.OrchestratorAction(id=1)
    called = call.sendEntityMessage.entityOperationCalled
    called.requestId, called.operation, called.targetInstanceId.value = "r", "op", "nobody"
    worker.complete(worker.next(), call, scheduled(2, "other"))
    items = [worker.next(), worker.next()]
    turn = next(item.orchestratorRequest for item in items if item.HasField("orchestratorRequest"))
    assert "nobody" in turn.newEvents[-1].entityOperationFailed.failureDetails.errorMessage


def test_an_entity_lives_on_when_its_stream_has_become_long(shared, monkeypatch):
    monkeypatch.setattr("steprig.durabletask.entities.MOST_RECORDS", 10)
    key = unique("r")
    assert shared.output(calling, [[key, "add", 1]] * 30)[-1] == 30
    streams = [one for one in shared.backend.journal.streams("durabletask.entity") if key in one]
    assert len(streams) > 2
    going_on = shared.backend.journal.streams("durabletask.entity", going_on=True)
    assert len([one for one in going_on if key in one]) == 1
