"""What becomes of work when workers come, go, and change their minds."""

import asyncio

import pytest

from steprig.durabletask import dispatch

from .simulated import Keeping, Simulation, comes_true, end, grace_passes, simulate


def test_what_a_lost_worker_has_given_back_is_offered_once():
    async def body(sim: Simulation) -> None:
        sim.start("one")
        lost = sim.connect()
        item = sim.take(lost)
        sim.disconnect(lost)
        sim.engine.dispatcher.abandon(item.completionToken)
        other = sim.connect()
        await grace_passes(sim)

        assert sim.take(other) is not None
        assert sim.take(other) is None

    simulate(body)


def test_what_a_lost_worker_has_goes_to_another_only_when_its_time_is_up():
    async def body(sim: Simulation) -> None:
        sim.start("one")
        lost, other = sim.connect(), sim.connect()
        assert sim.take(lost) is not None
        sim.disconnect(lost)

        assert sim.take(other) is None
        await grace_passes(sim)
        assert sim.take(other) is not None

    simulate(body)


def test_time_stands_still_for_what_was_queued_before_a_worker_came():
    def body(sim: Simulation) -> None:
        sim.start("one")
        assert not sim.engine.clock.in_flight
        worker = sim.connect()
        sim.take(worker)
        assert sim.engine.clock.in_flight
        sim.disconnect(worker)
        sim.start("two")
        assert "turn of any (two)" not in sim.engine.clock.in_flight

    simulate(body)


def test_time_goes_on_when_the_last_worker_for_what_is_queued_is_gone():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("one")
        assert sim.engine.clock.in_flight
        sim.disconnect(worker)

        assert not sim.engine.clock.in_flight

    simulate(body)


def test_what_a_lost_worker_has_answered_in_time_is_not_waited_for():
    async def body(sim: Simulation) -> None:
        sim.start("one")
        lost = sim.connect()
        item = sim.take(lost)
        sim.disconnect(lost)
        sim.answer(item, end())
        await grace_passes(sim)

        assert sim.engine.dispatcher.find(item.completionToken) is None
        assert sim.take(sim.connect()) is None

    simulate(body)


def test_two_workers_are_given_work_in_turn():
    async def body(sim: Simulation) -> None:
        outlets = [Keeping(), Keeping()]
        for outlet in outlets:
            sim.connect(outlet)
        for number in range(101):
            sim.start(f"one {number}")
            if number < 50:
                await asyncio.sleep(0)
        await comes_true(lambda: sum(len(outlet.items) for outlet in outlets) == 101)

        assert abs(len(outlets[0].items) - len(outlets[1].items)) <= 10

    simulate(body)


def test_a_worker_is_given_all_there_is_and_others_get_their_turn_at_the_loop_meanwhile():
    async def body(sim: Simulation) -> None:
        for number in range(200):
            sim.start(f"one {number}")
        outlet = Keeping()
        sim.connect(outlet)
        seen = []
        while len(outlet.items) < 200 and len(seen) < 300:
            seen.append(len(outlet.items))
            await asyncio.sleep(0)

        assert len(outlet.items) == 200
        assert len({*seen}) > 10

    simulate(body)


def test_a_stream_that_has_something_to_send_yet_is_not_pinged():
    async def body(sim: Simulation) -> None:
        busy, idle = Keeping(), Keeping()
        busy.is_ready = False
        for outlet in (busy, idle):
            sim.connect(outlet)
        sim.engine.dispatcher._ping()

        assert not busy.items
        assert [item.HasField("healthPing") for item in idle.items] == [True]

    simulate(body)


def test_a_worker_is_given_an_item_only_when_the_one_before_is_on_its_way():
    class Slow(Keeping):
        def send(self, message: bytes) -> None:
            super().send(message)
            self.is_ready = False

    async def body(sim: Simulation) -> None:
        for number in range(3):
            sim.start(f"one {number}")
        outlet = Slow()
        sim.connect(outlet)
        await comes_true(lambda: outlet.items)
        assert len(outlet.items) == 1

        outlet.is_ready = True
        sim.engine.dispatcher.rouse()
        await comes_true(lambda: len(outlet.items) > 1)
        assert len(outlet.items) == 2

    simulate(body)


async def full(sim: Simulation, limit: int) -> Keeping:
    """A worker that has as much as it may have; there is more for it."""
    for number in range(2 * limit):
        sim.start(f"one {number}")
    outlet = Keeping()
    sim.connect(outlet, maxConcurrentOrchestrationWorkItems=limit)
    await comes_true(lambda: len(outlet.items) == limit)
    return outlet


async def look() -> None:
    """Let the loop do what is due."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_worker_with_enough_to_do_is_given_more_in_bunches(monkeypatch):
    monkeypatch.setattr(dispatch, "_REFILL", 3600.0)

    async def body(sim: Simulation) -> None:
        outlet = await full(sim, 8)
        sim.answer(outlet.items[0], end())
        await look()
        assert len(outlet.items) == 8

        sim.answer(outlet.items[1], end())
        await look()
        assert len(outlet.items) == 10

    simulate(body)


def test_a_worker_is_given_more_within_milliseconds_though_it_has_enough_to_do(monkeypatch):
    monkeypatch.setattr(dispatch, "_REFILL", 0.001)

    async def body(sim: Simulation) -> None:
        outlet = await full(sim, 8)
        for answered in range(1, 4):
            sim.answer(outlet.items[answered], end())
            await comes_true(lambda given=8 + answered: len(outlet.items) == given)

    simulate(body)


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_worker_that_takes_few_items_is_given_the_next_one_at_once(monkeypatch, limit):
    monkeypatch.setattr(dispatch, "_REFILL", 3600.0)

    async def body(sim: Simulation) -> None:
        outlet = await full(sim, limit)
        sim.answer(outlet.items[0], end())
        await look()

        assert len(outlet.items) == limit + 1

    simulate(body)
