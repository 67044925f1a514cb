"""What a call over Connect costs, beside one over HTTP: the same function on the SDK's worker and on FastAPI.

Prints medians and their ratio of one run; `--check` exits with 1 when the ratio misses its target.
"""

import argparse
import asyncio
import statistics
import sys
import time

import fastapi
import inngest
import inngest.connect
import inngest.fast_api

from steprig.inngest.dev_server import DevServer
from steprig.kernel import VirtualClock
from steprig.live import UvicornTestServer

STEPS = 20
TARGET = 1.0


def app(dev: DevServer, name: str) -> tuple[inngest.Inngest, list[inngest.Function]]:
    """An app with one function of many steps, each of which is a call."""
    client = inngest.Inngest(app_id=name, api_base_url=dev.origin, event_api_base_url=dev.origin, is_production=False)

    @client.create_function(fn_id="steps", trigger=inngest.TriggerEvent(event=f"{name}/steps"))
    async def steps(ctx: inngest.Context) -> int:
        async def one() -> int:
            return 1

        return sum([await ctx.step.run(f"step-{number}", one) for number in range(STEPS)])

    return client, [steps]


async def timed(dev: DevServer, client: inngest.Inngest) -> float:
    """Seconds that a run takes."""
    began = time.perf_counter()
    (event_id,) = await client.send(inngest.Event(name=f"{client.app_id}/steps"))
    (run_id,) = dev.runs_of(event_id)
    await dev.timeline.until(run_id, lambda run: run.status.ended, timeout=30)
    return time.perf_counter() - began


async def measure(dev: DevServer, http: inngest.Inngest, rounds: int) -> tuple[float, float]:
    """Median seconds of a run over HTTP and over Connect, taken in turns."""
    connected, functions = app(dev, "connected")
    worker = inngest.connect.connect([(connected, functions)])
    working = asyncio.create_task(worker.start())
    await worker.wait_for_state(inngest.connect.ConnectionState.ACTIVE)
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 3):
        for client, times in zip((http, connected), took, strict=True):
            seconds = await timed(dev, client)
            if number >= 3:  # the first rounds warm up
                times.append(seconds)
    await worker.close(wait=True)
    await working
    return statistics.median(took[0]), statistics.median(took[1])


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    with DevServer(clock=VirtualClock()) as dev:
        client, functions = app(dev, "served")
        api = fastapi.FastAPI()
        inngest.fast_api.serve(api, client, functions)
        with UvicornTestServer(api) as server:
            dev.sync(server.url("/api/inngest"))
            http, connected = asyncio.run(measure(dev, client, arguments.rounds))
    good = connected <= http * TARGET
    for name, seconds in (("a call over HTTP", http), ("a call over Connect", connected)):
        print(f"{name:42} {seconds / (STEPS + 1) * 1e3:8.2f} ms")
    print(f"{'Connect, to HTTP':42} {connected / http:8.2f} x   at most {TARGET:g}  {'PASS' if good else 'FAIL'}")
    return int(arguments.check and not good)


if __name__ == "__main__":
    sys.exit(main())
