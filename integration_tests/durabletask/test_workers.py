"""Workers: who gets which work, and what becomes of it when a worker is lost."""

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
from .stage import completed, scheduled

RUNNING = pb.ORCHESTRATION_STATUS_RUNNING


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


def test_what_a_lost_worker_held_goes_to_another(stage, raw):
    lost = raw()
    stage.schedule("any", instance_id="one", value=1)
    first = lost.next()
    other = raw()
    lost.close()
    again = other.next()
    assert again.orchestratorRequest.newEvents[1] == first.orchestratorRequest.newEvents[1]
    assert again.completionToken != first.completionToken
    other.finish(again)
    assert stage.wait("one").get_output() == "done"


def test_an_activity_of_a_lost_worker_goes_to_another(stage, raw):
    lost = raw()
    stage.schedule("any", instance_id="one")
    lost.complete(lost.next(), scheduled(1, "do"))
    activity = lost.next()
    assert activity.activityRequest.name == "do"
    lost.close()
    other = raw()
    again = other.next()
    other.stub.CompleteActivityTask(pb.ActivityResponse(completionToken=again.completionToken))
    other.finish(other.next())
    assert stage.wait("one").get_output() == "done"
    assert stage.kinds("one").count("taskCompleted") == 1


def test_a_worker_that_stops_may_still_answer(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    item = worker.next()
    worker.cut()
    worker.finish(item, '"late"')
    assert stage.wait("one").get_output() == "late"


def test_the_first_answer_counts_when_an_item_was_queued_again(stage, raw):
    lost = raw()
    stage.schedule("any", instance_id="one")
    item = lost.next()
    lost.cut()
    until(lambda: not stage.clock.in_flight, "the lease's end")
    lost.finish(item, '"first"')
    assert stage.wait("one").get_output() == "first"
    other = raw()
    stage.schedule("any", instance_id="two")
    assert other.next().orchestratorRequest.instanceId == "two"


def test_a_worker_gets_all_even_where_each_item_fills_its_window(stage, raw):
    for number in range(20):
        stage.schedule("any", "x" * 300_000, instance_id=f"large {number}")
    worker = raw()

    assert {worker.next().orchestratorRequest.instanceId for _ in range(20)} == {f"large {n}" for n in range(20)}


FAR = pb.OrchestratorAction(id=1, createTimer=pb.CreateTimerAction())
FAR.createTimer.fireAt.seconds = 10**12


@pytest.mark.parametrize(
    ("action", "problem"),
    [(FAR, "date value out of range"), (completed(status=RUNNING), "RUNNING"), (completed(status=99), "99")],
    ids=["a time that is none", "an end that is none", "a status that is none"],
)
def test_an_answer_that_cannot_be_ends_the_orchestration(stage, raw, action, problem):
    worker = raw()
    stage.schedule("any", instance_id="one")
    worker.complete(worker.next(), scheduled(2, "never"), action)

    failure = stage.wait("one").failure_details
    assert (failure.error_type, problem in failure.message) == ("InvalidAnswerError", True)
    assert not worker.items


def test_a_stale_answer_changes_nothing(stage, raw):
    lost = raw()
    stage.schedule("any", instance_id="one")
    stale = lost.next()
    lost.cut()
    other = raw()
    fresh = other.next()
    lost.finish(stale, '"stale"')
    assert stage.status("one") == "PENDING"
    other.finish(fresh, '"fresh"')
    other.finish(fresh, '"twice"')
    assert stage.wait("one").get_output() == "fresh"


def test_an_answer_with_a_token_of_nobody_is_taken(stage):
    for call, request in (
        (stage.stub.CompleteOrchestratorTask, pb.OrchestratorResponse(completionToken="x")),
        (stage.stub.CompleteActivityTask, pb.ActivityResponse(completionToken="x")),
        (stage.stub.CompleteEntityTask, pb.EntityBatchResult(completionToken="x")),
        (stage.stub.AbandonTaskActivityWorkItem, pb.AbandonActivityTaskRequest(completionToken="x")),
        (stage.stub.AbandonTaskOrchestratorWorkItem, pb.AbandonOrchestrationTaskRequest(completionToken="x")),
        (stage.stub.AbandonTaskEntityWorkItem, pb.AbandonEntityTaskRequest(completionToken="x")),
    ):
        call(request)


def test_what_a_worker_abandons_goes_to_another_at_once(stage, raw):
    unwilling = raw()
    stage.schedule("any", instance_id="one")
    item = unwilling.next()
    other = raw()
    until(lambda: stage.backend.clock.in_flight)
    unwilling.stub.AbandonTaskOrchestratorWorkItem(
        pb.AbandonOrchestrationTaskRequest(completionToken=item.completionToken)
    )
    other.finish(other.next())
    unwilling.finish(item, '"after all"')
    assert stage.wait("one").get_output() == "done"


def test_what_the_only_worker_abandons_is_offered_again_after_a_while(stage, raw, monkeypatch):
    monkeypatch.setattr(dispatch, "FIRST_REST", 0.05)
    worker = raw()
    stage.schedule("any", instance_id="one")
    for _ in range(2):
        token = worker.next().completionToken
        worker.stub.AbandonTaskOrchestratorWorkItem(pb.AbandonOrchestrationTaskRequest(completionToken=token))
    worker.finish(worker.next())
    assert stage.wait("one").get_output() == "done"


def test_what_the_only_worker_abandons_is_not_offered_at_once(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    token = worker.next().completionToken
    worker.stub.AbandonTaskOrchestratorWorkItem(pb.AbandonOrchestrationTaskRequest(completionToken=token))
    stage.schedule("any", instance_id="two")
    assert worker.next().orchestratorRequest.instanceId == "two"  # what comes later comes first

    assert not worker.items
    assert stage.status("one") == "PENDING"


def test_events_that_come_while_a_turn_is_out_come_in_the_next(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    first = worker.next()
    for number in range(3):
        stage.client.raise_orchestration_event("one", f"e{number}")
    worker.complete(first)
    second = worker.next().orchestratorRequest
    names = [event.eventRaised.name for event in second.newEvents if event.HasField("eventRaised")]
    assert names == ["e0", "e1", "e2"]
    assert [event.WhichOneof("eventType") for event in second.pastEvents] == [
        "orchestratorStarted",
        "executionStarted",
        "orchestratorCompleted",
    ]


def test_a_turn_in_pieces_is_taken_together(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    item = worker.next()
    worker.stub.CompleteOrchestratorTask(
        pb.OrchestratorResponse(completionToken=item.completionToken, isPartial=True, actions=[scheduled(1, "a")])
    )
    worker.complete(item, scheduled(2, "b"))
    assert [worker.next().activityRequest.name for _ in range(2)] == ["a", "b"]
    assert [event.eventId for event in stage.history("one") if event.HasField("taskScheduled")] == [1, 2]


def test_a_worker_that_can_asks_for_the_past_itself(stage, raw):
    worker = raw(capabilities=[pb.WORKER_CAPABILITY_HISTORY_STREAMING])
    stage.schedule("any", instance_id="one")
    worker.complete(worker.next())
    stage.client.raise_orchestration_event("one", "go")
    item = worker.next().orchestratorRequest
    assert item.requiresHistoryStreaming
    assert not item.pastEvents
    assert len(stage.history("one", item.executionId.value)) == 3


def test_a_worker_that_has_lost_the_past_gets_it(stage, raw):
    worker = raw(capabilities=[pb.WORKER_CAPABILITY_HISTORY_STREAMING])
    stage.schedule("any", instance_id="one")
    worker.complete(worker.next())
    stage.client.raise_orchestration_event("one", "go")
    token = worker.next().completionToken
    worker.stub.CompleteOrchestratorTask(pb.OrchestratorResponse(completionToken=token, requiresHistory=True))
    again = worker.next()
    assert len(again.orchestratorRequest.pastEvents) == 3
    worker.finish(again)
    assert stage.wait("one").get_output() == "done"


def test_the_trace_context_and_tags_go_all_the_way(stage, raw):
    worker = raw()
    trace = pb.TraceContext(traceParent="00-a-b-01", spanID="b")
    stage.stub.StartInstance(
        pb.CreateInstanceRequest(instanceId="one", name="any", parentTraceContext=trace, tags={"k": "v"})
    )
    first = worker.next()
    started = first.orchestratorRequest.newEvents[1].executionStarted
    assert (started.parentTraceContext, dict(started.tags)) == (trace, {"k": "v"})
    action = pb.OrchestratorAction(id=1)
    action.scheduleTask.name = "do"
    action.scheduleTask.version.value = "3"
    action.scheduleTask.tags["a"] = "b"
    action.scheduleTask.parentTraceContext.CopyFrom(trace)
    child = pb.OrchestratorAction(id=2)
    child.createSubOrchestration.name = "child"
    child.createSubOrchestration.instanceId = "two"
    child.createSubOrchestration.tags["c"] = "d"
    child.createSubOrchestration.version.value = "4"
    child.createSubOrchestration.parentTraceContext.CopyFrom(trace)
    response = pb.OrchestratorResponse(completionToken=first.completionToken, actions=[action, child])
    response.orchestrationTraceContext.spanID.value = "span"
    worker.stub.CompleteOrchestratorTask(response)
    items = [worker.next(), worker.next()]
    activity = next(item.activityRequest for item in items if item.HasField("activityRequest"))
    assert (activity.parentTraceContext, dict(activity.tags), activity.version.value) == (trace, {"a": "b"}, "3")
    assert activity.orchestrationInstance.executionId.value == first.orchestratorRequest.executionId.value
    turn = next(item.orchestratorRequest for item in items if item.HasField("orchestratorRequest"))
    begun = turn.newEvents[1].executionStarted
    assert (begun.parentTraceContext, dict(begun.tags), begun.version.value) == (trace, {"c": "d"}, "4")
    assert begun.parentInstance.orchestrationInstance.instanceId == "one"
    stage.client.raise_orchestration_event("one", "go")
    assert worker.next().orchestratorRequest.orchestrationTraceContext.spanID.value == "span"


def test_a_late_result_does_not_enter_the_next_generation(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    worker.complete(worker.next(), scheduled(1, "slow"))
    slow = worker.next()
    stage.client.raise_orchestration_event("one", "go")
    worker.complete(worker.next(), completed("5", pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW))
    second = worker.next()
    worker.stub.CompleteActivityTask(pb.ActivityResponse(completionToken=slow.completionToken))
    worker.complete(second, scheduled(1, "slow"))
    worker.next()
    assert "taskCompleted" not in stage.kinds("one")
    assert stage.clock.in_flight == {"activity slow": 1}


def test_a_retried_task_id_is_an_activity_of_its_own(stage, raw):
    worker = raw()
    stage.schedule("any", instance_id="one")
    worker.complete(worker.next(), scheduled(1, "do"))
    failed = pb.ActivityResponse(completionToken=worker.next().completionToken)
    failed.failureDetails.errorType = "E"
    worker.stub.CompleteActivityTask(failed)
    worker.complete(worker.next(), scheduled(1, "do"))
    worker.stub.CompleteActivityTask(pb.ActivityResponse(completionToken=worker.next().completionToken))
    worker.finish(worker.next())
    stage.wait("one")
    kinds = stage.kinds("one")
    assert (kinds.count("taskScheduled"), kinds.count("taskFailed"), kinds.count("taskCompleted")) == (2, 1, 1)


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


def test_a_history_that_gets_too_long_fails_its_orchestration():
    from steprig.durabletask import create_test_backend

    from .stage import Stage

    with create_test_backend(0, max_history_size=20) as backend:
        stage = Stage(backend)
        stage.work([fan_out, do_work])
        assert stage.output(fan_out, 3) == 3
        state = stage.run(fan_out, 50)
        assert "max_history_size=20" in state.failure_details.message
        stage.close()


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
