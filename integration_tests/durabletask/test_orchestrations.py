"""Orchestrations, by the real worker and the real client."""

from datetime import timedelta

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb

from ..waiting import until
from .stage import unique

FUNCTIONS = []


def function(body):
    FUNCTIONS.append(body)
    return body


@function
def do_add(_, numbers):
    return sum(numbers)


@function
def do_fail(_, message):
    raise ValueError(message) if message else ValueError()


_ATTEMPTS = {}


@function
def do_fail_twice(_, key):
    _ATTEMPTS[key] = _ATTEMPTS.get(key, 0) + 1
    if _ATTEMPTS[key] < 3:
        raise ValueError("not yet")
    return _ATTEMPTS[key]


@function
def empty(ctx, value):
    return value


@function
def sequence(ctx, number):
    total = 0
    for _ in range(number):
        total = yield ctx.call_activity(do_add, input=[total, 1])
    return total


@function
def fan_out(ctx, number):
    results = yield task.when_all([ctx.call_activity(do_add, input=[n, 0]) for n in range(number)])
    return sum(results)


@function
def failing(ctx, message):
    yield ctx.call_activity(do_fail, input=message)


@function
def catching(ctx, message):
    try:
        yield ctx.call_activity(do_fail, input=message)
    except task.TaskFailedError as error:
        return [error.details.error_type, error.details.message]


@function
def retrying(ctx, key):
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(hours=2), max_number_of_attempts=5, backoff_coefficient=2.0
    )
    begin = ctx.current_utc_datetime
    attempts = yield ctx.call_activity(do_fail_twice, input=key, retry_policy=policy)
    return [attempts, (ctx.current_utc_datetime - begin).total_seconds()]


@function
def parent(ctx, value):
    result = yield ctx.call_sub_orchestrator(child, input=value)
    return [result, ctx.instance_id]


@function
def child(ctx, value):
    if value == "fail":
        raise ValueError("of the child")
    return [value, ctx.parent_instance_id]


@function
def parent_of_sleeper(ctx, days):
    return (yield ctx.call_sub_orchestrator(sleeper, input=days))


@function
def sleeper(ctx, days):
    yield ctx.create_timer(timedelta(days=days))
    return "slept"


@function
def events(ctx, names):
    found = []
    for name in names:
        found.append((yield ctx.wait_for_external_event(name)))
    return found


@function
def generations(ctx, number):
    value = yield ctx.call_activity(do_add, input=[number, 1])
    if value < 5:
        ctx.continue_as_new(value)
    else:
        return value


@function
def collecting(ctx, found):
    found.append((yield ctx.wait_for_external_event("item")))
    if len(found) < 5:
        ctx.continue_as_new(found, save_events=True)
    else:
        return found


@function
def with_status(ctx, _):
    ctx.set_custom_status({"step": 1})
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status(None)
    yield ctx.wait_for_external_event("go")


@function
def notifier(ctx, target):
    ctx.send_event(target, "Item", data="from another")
    yield ctx.create_timer(timedelta())


@function
def leaving_work(ctx, key):
    """Starts what it does not wait for."""
    ctx.call_activity(do_fail_twice, input=key)
    ctx.call_sub_orchestrator(empty, input=1, instance_id=f"{key}-child")
    return "left"


@function
def twin_children(ctx, child_id):
    first = ctx.call_sub_orchestrator(sleeper, input=1, instance_id=child_id)
    try:
        yield ctx.call_sub_orchestrator(sleeper, input=1, instance_id=child_id)
    except task.TaskFailedError as error:
        yield first
        return error.details.message


def test_an_empty_orchestration_returns_its_input(shared):
    assert shared.output(empty, {"a": [1, None]}) == {"a": [1, None]}


def test_without_input_and_output_there_are_none(shared):
    state = shared.run(empty)
    assert (state.serialized_input, state.serialized_output) == (None, None)


def test_activities_run_one_after_the_other(shared):
    assert shared.output(sequence, 10) == 10


def test_activities_run_at_the_same_time(shared):
    assert shared.output(fan_out, 300) == sum(range(300))


def test_a_failed_activity_fails_the_orchestration_with_its_details(shared):
    state = shared.run(failing, "broken")
    assert state.runtime_status is OrchestrationStatus.FAILED
    assert "broken" in state.failure_details.message
    assert state.failure_details.stack_trace


@pytest.mark.parametrize("message", ["broken", ""])
def test_a_failure_without_a_message_is_a_failure_too(shared, message):
    assert shared.output(catching, message) == ["builtins.ValueError", message]


def test_retries_wait_for_as_long_as_their_policy_says(shared):
    attempts, seconds = shared.output(retrying, unique("retry"))
    assert attempts == 3
    assert seconds == pytest.approx(timedelta(hours=6).total_seconds(), abs=1)


def test_a_child_knows_its_parent_and_returns_to_it(shared):
    instance_id = unique("parent")
    assert shared.output(parent, 5, instance_id=instance_id) == [[5, instance_id], instance_id]


def test_a_child_that_fails_fails_its_parent_with_the_details(shared):
    state = shared.run(parent, "fail")
    assert state.runtime_status is OrchestrationStatus.FAILED
    assert "of the child" in str(state.failure_details.message)


def test_a_child_that_takes_days_returns_to_its_parent(shared):
    assert shared.output(parent_of_sleeper, 40) == "slept"


def test_events_are_kept_until_they_are_waited_for(shared):
    instance_id = shared.schedule(events, ["a", "b", "a"])
    for name, data in (("b", 1), ("A", 2), ("a", 3)):
        shared.client.raise_orchestration_event(instance_id, name, data=data)
    assert shared.wait(instance_id).get_output() == [2, 1, 3]


def test_an_orchestration_sends_an_event_to_another(shared):
    instance_id = shared.schedule(events, ["item"])
    shared.run(notifier, instance_id)
    assert shared.wait(instance_id).get_output() == ["from another"]


def test_an_event_for_nobody_is_dropped(shared):
    assert shared.run(notifier, "nobody").runtime_status is OrchestrationStatus.COMPLETED


def test_continue_as_new_goes_through_generations(shared):
    instance_id = unique("generations")
    state = shared.run(generations, 0, instance_id=instance_id, tags={"a": "b"})
    assert state.get_output() == 5
    assert state.get_input() == 4
    seen = shared.stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id)).orchestrationState
    assert dict(seen.tags) == {"a": "b"}
    assert len([kind for kind in shared.kinds(instance_id) if kind == "executionStarted"]) == 1


def test_no_event_is_lost_between_generations(shared):
    instance_id = shared.schedule(collecting, [])
    for number in range(5):
        shared.client.raise_orchestration_event(instance_id, "item", data=number)
    assert shared.wait(instance_id).get_output() == [0, 1, 2, 3, 4]


def test_the_history_of_an_earlier_generation_can_be_read(shared):
    instance_id = shared.schedule(collecting, [])
    first = shared.stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id)).orchestrationState.executionId.value
    for number in range(5):
        shared.client.raise_orchestration_event(instance_id, "item", data=number)
    shared.wait(instance_id)
    events = shared.history(instance_id, first)
    assert events[-1].executionCompleted.orchestrationStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
    with pytest.raises(grpc.RpcError) as refused:
        shared.history(instance_id, "never")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_custom_status_is_seen_and_cleared(shared):
    instance_id = shared.schedule(with_status)
    seen = until(lambda: shared.client.get_orchestration_state(instance_id).serialized_custom_status)
    assert seen == '{"step": 1}'
    shared.client.raise_orchestration_event(instance_id, "go")
    until(lambda: shared.client.get_orchestration_state(instance_id).serialized_custom_status is None)
    shared.client.raise_orchestration_event(instance_id, "go")
    shared.wait(instance_id)


def test_what_is_not_waited_for_runs_all_the_same(shared):
    key = unique("left")
    assert shared.output(leaving_work, key) == "left"
    until(lambda: key in _ATTEMPTS, "the activity")
    assert shared.wait(f"{key}-child").get_output() == 1


def test_a_child_whose_id_is_taken_by_one_that_goes_on_fails(shared):
    assert "already" in shared.output(twin_children, unique("twin"))


def test_a_history_is_complete_and_ends_with_the_end(shared):
    instance_id = unique("history")
    shared.run(sequence, 1, instance_id=instance_id)
    assert shared.kinds(instance_id) == [
        "orchestratorStarted",
        "executionStarted",
        "taskScheduled",
        "orchestratorCompleted",
        "orchestratorStarted",
        "taskCompleted",
        "orchestratorCompleted",
        "executionCompleted",
    ]
    assert all(event.timestamp.seconds > 1_500_000_000 for event in shared.history(instance_id))
    assert len(shared.client.get_orchestration_history(instance_id)) == 8


def test_an_unregistered_orchestrator_fails(shared):
    state = shared.run("no_such_orchestrator")
    assert state.runtime_status is OrchestrationStatus.FAILED
    assert "no_such_orchestrator" in state.failure_details.message
