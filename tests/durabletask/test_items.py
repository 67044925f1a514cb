"""A piece of work: who has room for it, who gets it when it was given back, and what becomes of it in the end."""

import asyncio

import pytest

from steprig.durabletask.pb import pb
from steprig.durabletask.records import Operation
from steprig.durabletask.streams import WorkerStream

from .simulated import Keeping, Simulation, activity, comes_true, end, grace_passes, simulate


def orchestrations(sim: Simulation) -> None:
    for number in range(2):
        sim.start(f"one {number}")


def activities(sim: Simulation) -> None:
    starter = sim.connect()
    sim.start("one")
    sim.answer(sim.take(starter), activity(1), activity(2))
    sim.disconnect(starter)


def entities(sim: Simulation) -> None:
    for key in "ab":
        event = pb.HistoryEvent(entityOperationSignaled=pb.EntityOperationSignaledEvent(operation="add"))
        sim.engine.entities.send(f"@counter@{key}", Operation(0, event.SerializeToString(), key))


KINDS = {"Orchestration": orchestrations, "Activity": activities, "Entity": entities}
"""What queues two items of a kind."""

FILTERS = {
    "Orchestration": pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name="any")]),
    "Activity": pb.WorkItemFilters(activities=[pb.ActivityFilter(name="do")]),
    "Entity": pb.WorkItemFilters(entities=[pb.EntityFilter(name="counter")]),
}
"""What lets through those alone."""


def answer(sim: Simulation, item: pb.WorkItem) -> None:
    if item.HasField("orchestratorRequest"):
        sim.answer(item, end())
    elif item.HasField("activityRequest"):
        sim.finish(item, "1")
    else:
        results = [pb.OperationResult(success=pb.OperationResultSuccess())]
        sim.engine.entities.complete(pb.EntityBatchResult(completionToken=item.completionToken, results=results))


def give_back(sim: Simulation, item: pb.WorkItem) -> None:
    sim.engine.dispatcher.abandon(item.completionToken)


def forget(sim: Simulation, instance_id: str) -> None:
    sim.engine.forget(sim.engine.instances.get(instance_id), "purged")


# --- Room ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [answer, give_back])
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_has_room_again_once_it_has_parted_with_an_item(kind, part):
    def body(sim: Simulation) -> None:
        KINDS[kind](sim)
        worker = sim.connect(**{f"maxConcurrent{kind}WorkItems": 1}, workItemFilters=FILTERS[kind])
        first = sim.take(worker)
        assert sim.take(worker) is None
        part(sim, first)

        assert sim.take(worker) is not None
        assert sim.take(worker) is None

    simulate(body)


def test_a_worker_that_asks_for_the_past_has_room_for_it():
    def body(sim: Simulation) -> None:
        sim.start("one")
        worker = sim.connect(maxConcurrentOrchestrationWorkItems=1)
        asked = pb.OrchestratorResponse(completionToken=sim.take(worker).completionToken, requiresHistory=True)
        sim.engine.complete_turn(asked)

        assert sim.take(worker) is not None

    simulate(body)


@pytest.mark.parametrize("how", ["answered", "unwanted"])
def test_a_worker_is_given_the_next_item_as_soon_as_it_has_room(how):
    async def body(sim: Simulation) -> None:
        orchestrations(sim)
        worker = Keeping()
        sim.connect(worker, maxConcurrentOrchestrationWorkItems=1)
        await comes_true(lambda: worker.items)
        if how == "answered":
            answer(sim, worker.items[0])
        else:
            forget(sim, "one 0")
        await comes_true(lambda: len(worker.items) == 2)

        assert worker.items[1].orchestratorRequest.instanceId == "one 1"

    simulate(body)


def test_a_worker_is_given_what_another_has_given_back_as_soon_as_it_has_room():
    async def body(sim: Simulation) -> None:
        orchestrations(sim)
        unwilling, worker = sim.connect(), Keeping()
        item = sim.take(unwilling)
        sim.connect(worker, maxConcurrentOrchestrationWorkItems=1)
        await comes_true(lambda: worker.items)
        give_back(sim, item)
        await asyncio.sleep(0)
        assert len(worker.items) == 1

        answer(sim, worker.items[0])
        await comes_true(lambda: len(worker.items) == 2)
        assert worker.items[1].orchestratorRequest.instanceId == item.orchestratorRequest.instanceId

    simulate(body)


# --- What was given back ------------------------------------------------------------------------------------


def test_what_was_given_back_does_not_wait_for_a_worker_that_takes_no_such_work():
    def body(sim: Simulation) -> None:
        activities(sim)
        unwilling = sim.connect(workItemFilters=FILTERS["Activity"])
        sim.connect(workItemFilters=FILTERS["Entity"])
        item = sim.take(unwilling)
        give_back(sim, item)

        willing = sim.connect(workItemFilters=FILTERS["Activity"])
        assert sim.take(willing).activityRequest == item.activityRequest

    simulate(body)


def test_time_goes_on_while_an_item_rests_that_every_worker_has_given_back():
    def body(sim: Simulation) -> None:
        sim.start("one")
        worker = sim.connect()
        item = sim.take(worker)
        assert sim.engine.clock.in_flight
        give_back(sim, item)

        assert not sim.engine.clock.in_flight

    simulate(body)


def rested(sim: Simulation) -> None:
    """End the rest of every item."""
    for item in list(sim.engine.dispatcher._resting):
        sim.engine.dispatcher._wake_up(item)


def test_an_item_rests_twice_as_long_each_time_and_no_longer_than_half_a_minute(monkeypatch):
    rests = []

    async def body(sim: Simulation) -> None:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def noting(seconds, *args):
            rests.append(seconds)
            return call_later(seconds, *args)

        monkeypatch.setattr(loop, "call_later", noting)
        sim.start("one")
        worker = sim.connect()
        for _ in range(7):
            give_back(sim, sim.take(worker))
            rested(sim)

    simulate(body)
    assert rests == [1, 2, 4, 8, 16, 30, 30]


def test_after_its_rest_an_item_is_offered_to_all_again():
    def body(sim: Simulation) -> None:
        sim.start("one")
        workers = [sim.connect(), sim.connect()]
        for worker in workers:
            give_back(sim, sim.take(worker))
        rested(sim)
        give_back(sim, sim.take(workers[0]))

        assert sim.take(workers[1]) is not None

    simulate(body)


# --- The end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_answered_after_it_was_queued_again_is_not_run_again(kind):
    async def body(sim: Simulation) -> None:
        KINDS[kind](sim)
        lost = sim.connect()
        items = [sim.take(lost), sim.take(lost)]
        sim.disconnect(lost)
        await grace_passes(sim)
        for item in items:
            answer(sim, item)

        assert sim.take(sim.connect(workItemFilters=FILTERS[kind])) is None

    simulate(body)


async def queued(sim: Simulation) -> None:
    activities(sim)


async def resting(sim: Simulation) -> None:
    activities(sim)
    worker = sim.connect()
    for item in [sim.take(worker), sim.take(worker)]:
        give_back(sim, item)


async def kept_for_another(sim: Simulation) -> WorkerStream:
    """One of them; the other worker has the second."""
    activities(sim)
    unwilling, other = sim.connect(), sim.connect()
    item, _ = sim.take(unwilling), sim.take(other)
    give_back(sim, item)
    return other


async def lost(sim: Simulation) -> None:
    activities(sim)
    worker = sim.connect()
    for _ in range(2):
        sim.take(worker)
    sim.disconnect(worker)


async def queued_again(sim: Simulation) -> None:
    await lost(sim)
    await grace_passes(sim)


@pytest.mark.parametrize("stay", [True, False])
@pytest.mark.parametrize("wait", [queued, resting, kept_for_another, lost, queued_again])
def test_what_is_wanted_no_more_goes_to_nobody(wait, stay):
    async def body(sim: Simulation) -> None:
        await wait(sim)
        forget(sim, "one")
        if not stay:
            for worker in list(sim.streams):
                sim.disconnect(worker)
            await grace_passes(sim)
        sim.connect()

        assert not any(sim.take(worker) for worker in sim.streams)
        assert not sim.engine.dispatcher._resting
        assert not sim.engine.clock.in_flight

    simulate(body)


def test_a_worker_gets_what_another_has_given_back_only_when_it_has_room():
    def body(sim: Simulation) -> None:
        activities(sim)
        unwilling, worker = sim.connect(), sim.connect(maxConcurrentActivityWorkItems=1)
        item, first = sim.take(unwilling), sim.take(worker)
        give_back(sim, item)
        assert sim.take(worker) is None
        answer(sim, first)

        assert sim.take(worker).activityRequest == item.activityRequest

    simulate(body)


def test_nothing_is_to_happen_any_more_once_the_engine_has_stopped():
    def body(sim: Simulation) -> None:
        activities(sim)
        worker = sim.connect()
        item, _ = sim.take(worker), sim.take(worker)
        give_back(sim, item)
        sim.disconnect(worker)
        dispatcher = sim.engine.dispatcher
        timers = [*dispatcher._later, *dispatcher._resting.values(), dispatcher._pinging]
        assert len(timers) == 3
        sim.engine.stop()

        assert all(timer.cancelled() for timer in timers)

    simulate(body)
