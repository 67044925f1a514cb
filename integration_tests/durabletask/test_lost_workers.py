"""What becomes of work when a worker is lost, answers late, or gives it back."""

from durabletask.internal import orchestrator_service_pb2 as pb

from steprig.durabletask import dispatch

from ..waiting import until
from .stage import scheduled


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
