"""Many events at once: none lost, none doubled, bounded memory, and a loop that is never blocked."""

import asyncio
import gc
import threading
import time
import tracemalloc
from collections import Counter
from functools import partial

import inngest
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.kernel import MemoryJournal, Status, VirtualClock

from .stacks import STACKS
from .stage import Stage, until

EVENTS, FUNCTIONS = 2000, 50


@pytest.fixture
def stage():
    with VirtualClock() as clock, DevServer(clock=clock, journal=MemoryJournal(retain=5000)) as dev:
        stage = Stage(STACKS[0], dev)
        yield stage
        stage.close()


class Heartbeat:
    """The longest time that a loop was busy without a turn for others, in seconds of its thread.

    Without the collector's pauses: how long those are is for the size of the whole process to say.
    """

    def __init__(self):
        self.longest = 0.0
        self._collecting = self._collected = 0.0
        self._stopped = False

    async def beat(self):
        thread = threading.get_ident()

        def note(phase, info):
            if threading.get_ident() == thread:
                if phase == "start":
                    self._collecting = time.thread_time()
                else:
                    self._collected += time.thread_time() - self._collecting

        gc.callbacks.append(note)
        try:
            await self._watch()
        finally:
            gc.callbacks.remove(note)

    async def _watch(self):
        before = time.thread_time() - self._collected
        while not self._stopped:
            await asyncio.sleep(0)
            now = time.thread_time() - self._collected
            self.longest = max(self.longest, now - before)
            before = now

    def stop(self):
        self._stopped = True


def another_than(ran, seen):
    return len(ran) != seen


def test_two_thousand_events_over_fifty_functions(stage):
    ran = Counter()

    for number in range(FUNCTIONS):

        @stage.function(f"fn-{number}", trigger=inngest.TriggerEvent(event=f"test/{number}"))
        def count(ctx):
            yield ctx.step.run("count", lambda: ran.update([ctx.event.data["n"]]))

    stage.serve()
    heart = Heartbeat()
    beating = asyncio.run_coroutine_threadsafe(heart.beat(), stage.dev._rig.loop)
    events = [inngest.Event(name=f"test/{n % FUNCTIONS}", data={"n": n}) for n in range(EVENTS)]

    stage.client.send_sync(events)

    while (seen := len(ran)) < EVENTS:
        until(partial(another_than, ran, seen), f"another run than the {seen} so far")
    until(lambda: not stage.clock.in_flight, "the end of the last runs")
    heart.stop()
    beating.result(5)
    assert ran == dict.fromkeys(range(EVENTS), 1)
    assert Counter(run.status for run in stage.dev.timeline.runs()) == {Status.COMPLETED: EVENTS}
    assert heart.longest < 0.05


def test_memory_is_bounded_by_what_is_retained():
    with VirtualClock() as clock, DevServer(clock=clock, journal=MemoryJournal(retain=50)) as dev:
        stage = Stage(STACKS[0], dev)

        @stage.function("small")
        def small(ctx):
            return "x" * 1000
            yield

        stage.serve()
        tracemalloc.start()
        stage.client.send_sync([inngest.Event(name="test/small") for _ in range(450)])
        until(lambda: not dev.clock.in_flight, "the end of all runs")
        stage.calls.clear()

        # The connections that were used are kept for a second, and are larger than all else.
        until(lambda: traced() < 1_200_000, "50 runs of 10 kB, and as much again for what is kept once")
        tracemalloc.stop()
        stage.close()
        assert len(dev.timeline.runs()) == 50


def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
