"""What the dev server adds to a large run: 500 parallel steps, and 1,000 in a row, on the real SDK.

The SDK itself takes longer with every step that it has to be told of. So the same calls are made once more by
something that does nothing else, and each run is set against that. Prints figures and ratios of one run; `--check`
exits with 1 when a ratio misses its target.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import aiohttp
import fastapi
import inngest
import inngest.fast_api

from steprig.inngest.dev_server import DevServer
from steprig.kernel import VirtualClock
from steprig.live import UvicornTestServer

TARGET = 1.5
AT_ONCE = 24


class Call(NamedTuple):
    """A call that the dev server has made."""

    query: str
    body: bytes


class Recorder:
    """An application that keeps the calls that it gets."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.calls: list[Call] = []
        self.records = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()

        async def receive_and_keep() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        await self._app(scope, receive_and_keep, send)
        if scope["type"] == "http" and scope["method"] == "POST" and self.records:
            self.calls.append(Call(scope["query_string"].decode(), bytes(body)))


def functions(client: inngest.Inngest, parallel: int, in_a_row: int) -> list[inngest.Function[Any]]:
    """One of each kind."""

    async def one() -> int:
        return 1

    @client.create_function(fn_id="parallel", trigger=inngest.TriggerEvent(event="bench/parallel"))
    async def fan(ctx: inngest.Context) -> int:
        steps = tuple(lambda number=number: ctx.step.run(f"step-{number}", one) for number in range(parallel))
        return sum(await ctx.group.parallel(steps))

    @client.create_function(fn_id="row", trigger=inngest.TriggerEvent(event="bench/row"))
    async def row(ctx: inngest.Context) -> int:
        return sum([await ctx.step.run(f"step-{number}", one) for number in range(in_a_row)])

    return [fan, row]


def timed_run(dev: DevServer, client: inngest.Inngest, name: str) -> float:
    """Seconds from an event to the end of its run."""
    began = time.perf_counter()
    (event_id,) = client.send_sync(inngest.Event(name=f"bench/{name}"))
    (run_id,) = dev.runs_of(event_id)
    run = dev.timeline.wait_for(run_id, lambda run: run.status.ended, timeout=600)
    assert run.status == "completed", run.failure
    return time.perf_counter() - began


async def replayed(url: str, groups: Iterable[list[Call]]) -> float:
    """Seconds that the same calls take by themselves: group by group, those of each at the same time."""
    began = time.perf_counter()
    places = asyncio.Semaphore(AT_ONCE)

    async with aiohttp.ClientSession() as session:

        async def make(call: Call) -> None:
            headers = {"Content-Type": "application/json"}
            async with places, session.post(f"{url}?{call.query}", data=call.body, headers=headers) as response:
                assert response.status in (200, 206), await response.text()
                await response.read()

        for group in groups:
            await asyncio.gather(*map(make, group))
    return time.perf_counter() - began


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parallel", type=int, default=500)
    parser.add_argument("--in-a-row", type=int, default=1000)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    met = True
    with DevServer(clock=VirtualClock()) as dev:
        client = inngest.Inngest(
            app_id="bench",
            api_base_url=dev.origin,
            event_api_base_url=dev.origin,
            is_production=False,
            logger=logging.getLogger("bench"),
        )
        api = fastapi.FastAPI()
        inngest.fast_api.serve(api, client, functions(client, arguments.parallel, arguments.in_a_row))
        recorder = Recorder(api)
        with UvicornTestServer(recorder) as server:
            url = server.url("/api/inngest")
            dev.sync(url)
            for name, steps in (("parallel", arguments.parallel), ("row", arguments.in_a_row)):
                recorder.calls.clear()
                recorder.records = True
                took = timed_run(dev, client, name)
                recorder.records = False
                calls = recorder.calls
                groups = [calls[:1], calls[1:-1], calls[-1:]] if name == "parallel" else [[call] for call in calls]
                alone = asyncio.run(replayed(url, groups))
                good = took <= alone * TARGET
                met = met and good
                what = f"{steps} steps {'at once' if name == 'parallel' else 'in a row'}"
                print(f"{what + ': the SDK alone':42} {alone:8.2f} s")
                print(f"{what + ', to the SDK alone':42} {took / alone:8.2f} x   at most {TARGET:g}  {_judged(good)}")
    return int(arguments.check and not met)


def _judged(good: bool) -> str:
    return "PASS" if good else "FAIL"


if __name__ == "__main__":
    sys.exit(main())
