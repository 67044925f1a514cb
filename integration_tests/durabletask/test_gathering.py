"""Results of activities that come one after the other are told together."""

from datetime import timedelta

import pytest
from durabletask import task

from steprig.durabletask import gathering
from steprig.durabletask.pb import pb

from ..waiting import until
from .stage import RawWorker, completed, scheduled

NUMBER = 3


@pytest.fixture
def patient(monkeypatch):
    """Nobody's patience ends: a turn is held back until something ends that."""
    monkeypatch.setattr(gathering, "LONGEST", 3600.0)
    monkeypatch.setattr(gathering, "_QUIET", 1e12)


@pytest.fixture
def worker(raw):
    return raw()


@pytest.fixture
def activities(stage, worker):
    """Of an orchestration that has begun three, and waits for them."""
    stage.client.schedule_new_orchestration("any", instance_id="one")
    worker.complete(worker.next(), *[scheduled(number, "do") for number in range(1, NUMBER + 1)])
    return [worker.next() for _ in range(NUMBER)]


def answer(worker, activity):
    worker.stub.CompleteActivityTask(pb.ActivityResponse(completionToken=activity.completionToken))


def told(turn):
    return [event.WhichOneof("eventType") for event in turn.orchestratorRequest.newEvents][1:]


def is_held(stage):
    return any(label.startswith("results for any") for label in stage.clock.in_flight)


def test_results_are_told_once_the_last_has_come(patient, stage, worker, activities):
    for activity in activities:
        answer(worker, activity)
    turn = worker.next()

    assert told(turn) == ["taskCompleted"] * NUMBER
    worker.finish(turn)
    stage.wait("one")
    assert not worker.items
    assert not stage.clock.in_flight


def test_results_that_come_during_a_turn_are_held_back_too(patient, stage, worker, activities):
    answer(worker, activities[0])
    stage.client.raise_orchestration_event("one", "go")
    turn = worker.next()
    answer(worker, activities[1])
    worker.complete(turn)
    until(lambda: is_held(stage), "a turn that is held back")
    answer(worker, activities[2])

    assert told(turn) == ["taskCompleted", "eventRaised"]
    assert told(worker.next()) == ["taskCompleted"] * 2


def test_whatever_else_happens_is_told_at_once(patient, stage, worker, activities):
    answer(worker, activities[0])
    assert is_held(stage)
    stage.client.raise_orchestration_event("one", "go")

    assert told(worker.next()) == ["taskCompleted", "eventRaised"]
    assert not is_held(stage)


def test_a_result_that_no_other_follows_is_told(stage, worker, activities):
    answer(worker, activities[0])

    assert told(worker.next()) == ["taskCompleted"]


def test_results_that_go_on_coming_are_told_in_the_end(monkeypatch, stage, worker, activities):
    monkeypatch.setattr(gathering, "LONGEST", 0.05)
    monkeypatch.setattr(gathering, "_QUIET", 1e12)
    answer(worker, activities[0])
    answer(worker, activities[1])

    turn = worker.next()
    assert told(turn) in (["taskCompleted"], ["taskCompleted"] * 2), "the second may be late on a busy machine"


@pytest.mark.parametrize("how", ["terminate", "reset", "replace"])
def test_an_orchestration_that_is_over_holds_nothing_back(patient, stage, worker, activities, how):
    answer(worker, activities[0])
    assert is_held(stage)

    match how:
        case "terminate":
            stage.client.terminate_orchestration("one")
        case "reset":
            stage.backend.reset()
        case "replace":
            stage.client.terminate_orchestration("one")
            stage.client.purge_orchestration("one")
    for activity in activities[1:]:
        answer(worker, activity)

    until(lambda: not stage.clock.in_flight, "that nothing is under way")
    assert not worker.items


def test_a_backend_that_stops_holds_nothing_back(patient, stage, worker, activities):
    answer(worker, activities[0])

    stage.backend.stop()

    until(lambda: not is_held(stage), "that the clock may go on")


def test_a_backend_that_comes_back_tells_what_was_held_back(patient, stage, worker, activities):
    answer(worker, activities[0])
    assert is_held(stage)
    stage.backend.stop()
    stage.backend.start()
    later = RawWorker(stage)
    items = [later.next() for _ in range(NUMBER)]

    (turn,) = [item for item in items if item.HasField("orchestratorRequest")]
    assert told(turn) == ["taskCompleted"]
    later.close()


def test_a_turn_that_is_held_back_outlives_the_worker(stage, raw, activities, worker, monkeypatch):
    monkeypatch.setattr(gathering, "LONGEST", 0.1)
    monkeypatch.setattr(gathering, "_QUIET", 1e12)
    answer(worker, activities[0])
    worker.cut()
    until(lambda: not is_held(stage), "the end of the hold")
    other = raw()
    items = [other.next() for _ in range(NUMBER)]

    (turn,) = [item for item in items if item.HasField("orchestratorRequest")]
    assert told(turn) == ["taskCompleted"]


def test_a_suspension_is_told_with_what_is_held_back_and_results_wait_until_it_ends(patient, stage, worker, activities):
    answer(worker, activities[0])
    stage.client.suspend_orchestration("one")
    turn = worker.next()
    assert told(turn) == ["taskCompleted", "executionSuspended"]
    worker.complete(turn)
    answer(worker, activities[1])
    assert not is_held(stage)
    stage.client.resume_orchestration("one")

    assert told(worker.next()) == ["taskCompleted", "executionResumed"]


def test_a_worker_that_has_lost_the_past_is_told_all_again(patient, stage, worker, activities):
    answer(worker, activities[0])
    stage.client.raise_orchestration_event("one", "go")
    turn = worker.next()
    answer(worker, activities[1])
    worker.stub.CompleteOrchestratorTask(
        pb.OrchestratorResponse(completionToken=turn.completionToken, requiresHistory=True)
    )
    again = worker.next()
    assert told(again) == ["taskCompleted", "eventRaised", "taskCompleted"]
    worker.complete(again)
    answer(worker, activities[2])

    assert told(worker.next()) == ["taskCompleted"]
    assert not worker.items


# --- What was rewound ---------------------------------------------------------------------------------------


def fail(worker, turn):
    worker.complete(turn, completed(status=pb.ORCHESTRATION_STATUS_FAILED))


def rewind(stage, worker, *, without=()):
    """Have a failed orchestration go back, and a worker leave these kinds of events out of its history."""
    stage.client.rewind_orchestration("one")
    turn = worker.next()
    past = turn.orchestratorRequest.pastEvents
    kept = [event for event in past if event.WhichOneof("eventType") not in ("executionCompleted", *without)]
    action = pb.RewindOrchestrationAction(newHistory=kept)
    worker.complete(turn, pb.OrchestratorAction(id=1, rewindOrchestration=action))
    return turn


def test_a_rewind_is_told_at_once_whatever_results_came_at_the_end(patient, stage, worker, activities):
    stage.client.raise_orchestration_event("one", "go")
    turn = worker.next()
    answer(worker, activities[0])
    fail(worker, turn)

    assert told(rewind(stage, worker)) == ["executionRewound"]


def test_a_rewind_is_told_at_once_whatever_has_failed_late(patient, stage, worker, activities):
    stage.client.raise_orchestration_event("one", "go")
    fail(worker, worker.next())
    late = pb.ActivityResponse(completionToken=activities[0].completionToken)
    late.failureDetails.errorType = "E"
    worker.stub.CompleteActivityTask(late)

    assert told(rewind(stage, worker)) == ["executionRewound"]


def test_what_was_rewound_runs_at_once(patient, stage, worker, activities):
    stage.client.raise_orchestration_event("one", "go")
    fail(worker, worker.next())
    rewind(stage, worker)

    assert told(worker.next()) == []
    assert not is_held(stage)


def test_a_result_that_came_before_the_rewind_is_told_at_once(patient, stage, worker, activities):
    stage.client.raise_orchestration_event("one", "go")
    fail(worker, worker.next())
    answer(worker, activities[0])
    rewind(stage, worker)

    assert told(worker.next()) == ["taskCompleted"]


def test_nothing_is_held_back_for_an_activity_that_was_rewound_away(patient, stage, worker, activities):
    stage.client.raise_orchestration_event("one", "go")
    fail(worker, worker.next())
    rewind(stage, worker, without=["taskScheduled"])
    worker.complete(worker.next(), scheduled(4, "do"))
    again = worker.next()
    answer(worker, again)
    assert is_held(stage)
    for activity in activities:
        answer(worker, activity)

    assert told(worker.next()) == ["taskCompleted"]


def test_time_stands_still_while_a_turn_is_held_back(patient, stage, worker, activities):
    tomorrow = stage.clock.now() + timedelta(days=1)
    stage.clock.call_at(tomorrow, lambda: None, label="tomorrow")
    for activity in activities[1:]:
        answer(worker, activity)
    with stage.clock.awaiting_result(), pytest.raises(TimeoutError, match="results for any"):
        stage.clock.run_until_idle(timeout=0.05)

    assert stage.clock.now() < tomorrow


def test_a_large_fan_out_takes_few_turns(stage):
    def do_it(_, number):
        return number

    def fan_out(ctx, number):
        results = yield task.when_all([ctx.call_activity(do_it, input=n) for n in range(number)])
        return sum(results)

    stage.work([fan_out, do_it])
    instance_id = stage.schedule(fan_out, 300)
    state = stage.wait(instance_id)

    assert state.get_output() == sum(range(300))
    assert stage.kinds(instance_id).count("taskCompleted") == 300
    assert stage.kinds(instance_id).count("orchestratorStarted") < 150
