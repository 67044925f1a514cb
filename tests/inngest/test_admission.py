"""How many calls are begun at once: few of those that only keep an app busy, all of those that wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from steprig.inngest.admission import Admission

from .skipping_loop import run


class Burst:
    """Calls that come at the same moment."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.admission = Admission()
        self.under_way = self.most = 0

    async def take(self, call: Callable[[], Awaitable[object]]) -> float:
        """Make all of them. Returns how long that took."""
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(self.one(call) for _ in range(self.calls)))
        return asyncio.get_running_loop().time() - began

    async def one(self, call):
        async with self.admission:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await call()
            finally:
                self.under_way -= 1


class BusyApp:
    """Computes for every call that it has, a little for each in turn, so that they end together."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.has = []
        self.computing = None

    async def __call__(self):
        done = asyncio.get_running_loop().create_future()
        self.has.append(done)
        if self.computing is None or self.computing.done():
            self.computing = asyncio.create_task(self.compute())
        await done

    async def compute(self):
        while self.has:
            batch, self.has = self.has, []
            await asyncio.sleep(self.seconds * len(batch))
            for done in batch:
                done.set_result(None)
            await asyncio.sleep(0)


@pytest.mark.parametrize("milliseconds", [0.5, 1, 2, 5])
def test_an_app_that_is_busy_gets_few_calls_at_once_and_is_never_idle(milliseconds):
    burst = Burst(2000)

    took = run(burst.take(BusyApp(milliseconds / 1000)))

    assert burst.most <= 400
    assert took <= 1.05 * burst.calls * milliseconds / 1000


@pytest.mark.parametrize(("seconds", "within"), [(0.005, 0.2), (0.05, 0.5), (0.2, 1.6), (1, 1.6), (60, 60.6)])
def test_calls_that_wait_for_something_else_do_so_at_the_same_time(seconds, within):
    assert run(Burst(500).take(lambda: asyncio.sleep(seconds))) <= within


def test_calls_that_wait_for_one_another_do_not_wait_for_ever():
    async def meet():
        all_here = asyncio.Barrier(500)
        return await Burst(500).take(all_here.wait)

    assert run(meet()) <= 0.6


@pytest.mark.parametrize("hanging", [24, 500])
def test_calls_that_hang_hold_up_others_for_a_moment_only(hanging):
    async def scenario():
        burst, never = Burst(hanging), asyncio.Event()
        stuck = asyncio.create_task(burst.take(never.wait))
        await asyncio.sleep(1)
        assert burst.under_way == hanging

        burst.calls = 1000
        took = await burst.take(BusyApp(0.001))
        never.set()
        await stuck
        return took

    assert run(scenario()) <= 1.2


def test_a_few_slow_calls_among_many_quick_ones_do_not_slow_them_down():
    seconds = iter([0.3 if number % 3 == 0 else 0.002 for number in range(1000)])

    assert run(Burst(1000).take(lambda: asyncio.sleep(next(seconds)))) <= 1.0


def test_a_call_that_is_cancelled_while_it_waits_takes_no_place():
    async def scenario():
        burst, never = Burst(24), asyncio.Event()
        stuck = asyncio.create_task(burst.take(never.wait))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(burst.one(never.wait)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        stuck.cancel()
        await asyncio.wait([stuck])

        burst.calls = 24
        await burst.take(lambda: asyncio.sleep(0.001))
        assert burst.under_way == 0

    run(scenario())


def test_a_call_that_is_cancelled_as_it_is_let_in_gives_its_place_back():
    async def scenario():
        admission, go_on = Admission(width=1), asyncio.Event()

        async def call():
            async with admission:
                await go_on.wait()

        async def call_and_cancel_the_next():
            await call()  # at the end of which the next is let in
            second.cancel()

        first, second = asyncio.create_task(call_and_cancel_the_next()), asyncio.create_task(call())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([first, second])

        async with asyncio.timeout(0.001), admission:  # sooner than one would be let in who has to wait
            return second.cancelled()

    assert run(scenario())
