"""Results of activities that come one after the other are told together."""

from datetime import timedelta

import pytest
from durabletask import task

from steprig.durabletask import gathering
from steprig.durabletask.pb import pb

from ..waiting import until
from .stage import scheduled

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
