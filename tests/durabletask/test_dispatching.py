"""What becomes of work when workers come, go, and change their minds."""

import asyncio
from collections.abc import Callable

from steprig.durabletask.dispatch import Dispatcher
from steprig.durabletask.pb import pb

from .simulated import Simulation, end, simulate


async def comes_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it is about tells nobody
            await asyncio.sleep(0)


async def grace_passes(dispatcher: Dispatcher) -> None:
    await comes_true(lambda: not dispatcher._later)


def test_what_a_lost_worker_has_given_back_is_offered_once():
    async def body(sim: Simulation) -> None:
        sim.start("one")
        lost = sim.connect()
        item = sim.take(lost)
        sim.disconnect(lost)
        sim.engine.dispatcher.abandon(item.completionToken)
        other = sim.connect()
        await grace_passes(sim.engine.dispatcher)

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
        await grace_passes(sim.engine.dispatcher)
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
        await grace_passes(sim.engine.dispatcher)

        assert sim.engine.dispatcher.find(item.completionToken) is None
        assert sim.take(sim.connect()) is None

    simulate(body)


class Counting:
    """The outlet of a worker that takes whatever it is sent."""

    is_ready = True

    def __init__(self) -> None:
        self.sent = 0

    def send(self, message: bytes) -> None:
        self.sent += 1

    def end(self) -> None:
        pass


def test_two_workers_are_given_work_in_turn():
    async def body(sim: Simulation) -> None:
        outlets = [Counting(), Counting()]
        for outlet in outlets:
            sim.engine.dispatcher.connect(pb.GetWorkItemsRequest(), outlet)
        for number in range(101):
            sim.start(f"one {number}")
            if number < 50:
                await asyncio.sleep(0)
        await comes_true(lambda: sum(outlet.sent for outlet in outlets) == 101)

        assert abs(outlets[0].sent - outlets[1].sent) <= 10

    simulate(body)


def test_a_worker_is_given_all_there_is_and_others_get_their_turn_at_the_loop_meanwhile():
    async def body(sim: Simulation) -> None:
        for number in range(200):
            sim.start(f"one {number}")
        outlet = Counting()
        sim.engine.dispatcher.connect(pb.GetWorkItemsRequest(), outlet)
        seen = []
        while outlet.sent < 200 and len(seen) < 300:
            seen.append(outlet.sent)
            await asyncio.sleep(0)

        assert outlet.sent == 200
        assert len({*seen}) > 10

    simulate(body)
