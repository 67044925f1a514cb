"""Turns: what a worker is told, and what it may answer."""

import pytest
from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb

from steprig.durabletask import create_test_backend

from .stage import Stage, completed, scheduled

RUNNING = pb.ORCHESTRATION_STATUS_RUNNING


def do_work(_, number):
    return number


def fan_out(ctx, number):
    return len((yield task.when_all([ctx.call_activity(do_work, input=n) for n in range(number)])))


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


def test_a_history_that_gets_too_long_fails_its_orchestration():

    with create_test_backend(0, max_history_size=20) as backend:
        stage = Stage(backend)
        stage.work([fan_out, do_work])
        assert stage.output(fan_out, 3) == 3
        state = stage.run(fan_out, 50)
        assert "max_history_size=20" in state.failure_details.message
        stage.close()
