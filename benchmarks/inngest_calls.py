"""What the embedded Inngest dev server costs, beside the floor: the same SDK's app called directly over loopback.

Prints medians and ratios of one run; `--check` exits with 1 when a ratio misses its target.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import aiohttp
import fastapi
import inngest
import inngest.fast_api
import msgspec

from steprig.inngest.dev_server import DevServer
from steprig.inngest.records import RunEnded
from steprig.kernel import Record, Run, Stream, VirtualClock
from steprig.live import UvicornTestServer

STEPS = 10
AT_ONCE = 500


class Rig:
    """An SDK's app and a dev server, each on its own loop, and a way to see runs end."""

    def __init__(self) -> None:
        self.dev = DevServer(clock=VirtualClock()).start()
        self.client = inngest.Inngest(
            app_id="bench",
            api_base_url=self.dev.origin,
            event_api_base_url=self.dev.origin,
            is_production=False,
            logger=logging.getLogger("bench"),
        )
        app = fastapi.FastAPI()
        inngest.fast_api.serve(app, self.client, self.functions())
        self.app = UvicornTestServer(app).start()
        self.dev.sync(self.app.url("/api/inngest"))

    def functions(self) -> list[inngest.Function]:
        """One without steps, one with ten, one that sleeps."""

        @self.client.create_function(fn_id="empty", trigger=inngest.TriggerEvent(event="bench/empty"))
        async def empty(ctx: inngest.Context) -> str:
            return "done"

        @self.client.create_function(fn_id="steps", trigger=inngest.TriggerEvent(event="bench/steps"))
        async def steps(ctx: inngest.Context) -> int:
            async def one() -> int:
                return 1

            return sum([await ctx.step.run(f"step-{number}", one) for number in range(STEPS)])

        @self.client.create_function(fn_id="sleep", trigger=inngest.TriggerEvent(event="bench/sleep"))
        async def sleep(ctx: inngest.Context) -> str:
            await ctx.step.sleep("a month", timedelta(days=30))
            return "awake"

        return [empty, steps, sleep]

    def stop(self) -> None:
        """End both servers."""
        self.app.stop()
        self.dev.stop()

    async def run(self, event: str) -> None:
        """Send an event with the SDK's client and wait for the end of its run."""
        ids = await self.client.send(inngest.Event(name=event))
        await self.end_of(ids[0])

    async def end_of(self, event_id: str) -> Run:
        """The run that an event has started, once it is over."""
        [run_id] = self.dev.runs_of(event_id)
        return await self.dev.timeline.until(run_id, lambda run: run.status.ended, timeout=30)


class Floor:
    """Calls the SDK's app as a dev server does, and does nothing else."""

    def __init__(self, rig: Rig, session: aiohttp.ClientSession) -> None:
        self._url = rig.app.url("/api/inngest?fnId=bench-empty&stepId=step")
        self._session = session
        event = {"data": {}, "id": "1", "name": "bench/empty", "ts": 1, "user": {}}
        context = {
            "attempt": 0,
            "disable_immediate_execution": False,
            "run_id": "01JQDAE4RQ000G40R40M30E20A",
            "stack": {"current": 0, "stack": []},
        }
        body = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False, "version": -1}
        self._body = msgspec.json.encode(body)

    async def call(self) -> None:
        """One call of a function without steps."""
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._url, data=self._body, headers=headers) as response:
            assert response.status == 200, await response.text()
            await response.read()


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """How long it takes, in seconds."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def measure(rig: Rig, rounds: int) -> dict[str, float]:
    """Medians in seconds, taken in turn so that all of them meet the machine in the same mood."""
    taken: dict[str, list[float]] = {name: [] for name in ("floor", "empty", "steps", "sleep", "floor 500", "500")}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        floor = Floor(rig, session)
        for _ in range(20):
            await floor.call()
            await rig.run("bench/empty")
        for _ in range(rounds):
            for _ in range(4):
                taken["floor"].append(await timed(floor.call))
                taken["empty"].append(await timed(lambda: rig.run("bench/empty")))
            taken["steps"].append(await timed(lambda: rig.run("bench/steps")))
            taken["sleep"].append(await timed(lambda: rig.run("bench/sleep")))
        for _ in range(max(3, rounds // 20)):
            taken["floor 500"].append(await timed(lambda: calls_at_once(floor)))
            taken["500"].append(await timed(lambda: runs_at_once(rig)))
    return {name: statistics.median(times) for name, times in taken.items()}


async def calls_at_once(floor: Floor) -> None:
    """As many direct calls as there are runs in `runs_at_once`."""
    await asyncio.gather(*(floor.call() for _ in range(AT_ONCE)))


async def runs_at_once(rig: Rig) -> None:
    """Many events in one request, until the last run is over."""
    ends = Ends(AT_ONCE)
    stop_listening = rig.dev.journal.listen(ends)
    await rig.client.send([inngest.Event(name="bench/empty") for _ in range(AT_ONCE)])
    await ends.all_seen.wait()
    stop_listening()


class Ends:
    """Listens to the journal until so many runs have ended: a wait that costs the runs nothing."""

    def __init__(self, number: int) -> None:
        self.all_seen = asyncio.Event()
        self._left = number
        self._loop = asyncio.get_running_loop()

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        if isinstance(record.entry, RunEnded):
            self._left -= 1
            if self._left == 0:
                self._loop.call_soon_threadsafe(self.all_seen.set)

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`."""


def measure_start() -> float:
    """From `start()` to ready, imports done, in seconds."""
    times = []
    for _ in range(15):
        started = time.perf_counter()
        server = DevServer().start()
        times.append(time.perf_counter() - started)
        server.stop()
    return statistics.median(times)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    rig = Rig()
    try:
        took = asyncio.run(measure(rig, arguments.rounds))
    finally:
        rig.stop()
    step = (took["steps"] - took["empty"]) / STEPS
    start = measure_start()
    rows = [
        ("floor: one direct call", took["floor"] * 1e3, "ms", None, None),
        ("a step, to the floor", step / took["floor"], "x", 2.0, "at most"),
        ("ten steps, to ten calls of the floor", took["steps"] / STEPS / took["floor"], "x", 2.5, "at most"),
        ("event to end, no steps, to the floor", took["empty"] / took["floor"], "x", 3.5, "at most"),
        ("500 at once, of the floor's throughput", took["floor 500"] / took["500"], "x", 0.6, "at least"),
        ("floor: 500 direct calls at once", took["floor 500"] * 1e3, "ms", None, None),
        ("a function that sleeps 30 days", took["sleep"] * 1e3, "ms", 20.0, "at most"),
        ("dev server ready", start * 1e3, "ms", 50.0, "at most"),
    ]
    met = True
    for name, value, unit, target, bound in rows:
        if target is None:
            print(f"{name:42} {value:8.2f} {unit}")
            continue
        good = value <= target if bound == "at most" else value >= target
        met = met and good
        print(f"{name:42} {value:8.2f} {unit:3} {bound} {target:g}  {'PASS' if good else 'FAIL'}")
    assert threading.active_count() == 1, threading.enumerate()
    return int(arguments.check and not met)


if __name__ == "__main__":
    sys.exit(main())
