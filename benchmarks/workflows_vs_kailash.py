"""What the workflow toolkit costs, beside kailash's own testing module and kailash's bare runtime.

Both sides in turn within one run, medians of many.

    python benchmarks/workflows_vs_kailash.py [--check] [--rounds 60]

`--check` exits with 1 if a ratio misses its target, or a promise of the guide (100 ms for a workflow,
15 s for fifty at once, 5 s for the clean-up of a database) is broken. The absolute aims (10 us a
mock call, 100 ms for a database) are printed, and hold on a quiet machine.
"""

import argparse
import asyncio
import logging
import sys
import warnings
from statistics import median
from time import perf_counter

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")  # the peer leaves its runtimes open

from kailash.runtime.async_local import AsyncLocalRuntime  # noqa: E402
from kailash.testing import AsyncWorkflowTestCase as PeerTestCase  # noqa: E402
from kailash.workflow.async_builder import AsyncWorkflowBuilder  # noqa: E402

from steprig.workflows import AsyncWorkflowFixtures, AsyncWorkflowTestCase  # noqa: E402

CALLS = 200

one_node = AsyncWorkflowBuilder("one").add_async_code("a", "result = {'n': 1}").build()
two_nodes = (
    AsyncWorkflowBuilder("two")
    .add_async_code("a", "import asyncio\nawait asyncio.sleep(0.01)\nresult = {'n': 1}")
    .add_async_code("b", "result = {'m': 2}")
    .add_connection("a", "result", "b", "given")
    .build()
)


async def mock_calls(test) -> float:
    fetch = test.get_resource("service").fetch
    begun = perf_counter()
    for _ in range(CALLS):
        await fetch("q", limit=3)
    return (perf_counter() - begun) / CALLS


async def one_workflow(test) -> float:
    begun = perf_counter()
    await test.execute_workflow(one_node, {})
    return perf_counter() - begun


async def bare_workflow(_) -> float:
    begun = perf_counter()
    async with AsyncLocalRuntime() as runtime:
        await runtime.execute_workflow_async(one_node, {})
    return perf_counter() - begun


async def fifty_at_once(test) -> float:
    begun = perf_counter()
    await asyncio.gather(*(test.execute_workflow(two_nodes, {}) for _ in range(50)))
    return perf_counter() - begun


async def case_with_a_mock(test) -> float:
    begun = perf_counter()
    async with type(test)("another") as another:
        await another.create_test_resource("service", lambda: None, mock=True)
    return perf_counter() - begun


async def database(_) -> tuple[float, float]:
    schema = "CREATE TABLE items (id int PRIMARY KEY, name text)"
    begun = perf_counter()
    made = await AsyncWorkflowFixtures.create_test_database(schema=schema)
    ready = perf_counter()
    await made.cleanup()
    return ready - begun, perf_counter() - ready


async def interleaved(rounds: int, *sides) -> list[float]:
    times: list[list[float]] = [[] for _ in sides]
    for measure, test in sides:
        await measure(test)
    for _ in range(rounds):
        for taken, (measure, test) in zip(times, sides, strict=True):
            taken.append(await measure(test))
    return [median(taken) for taken in times]


async def measure(rounds: int) -> list[tuple[str, str, float, float, float, bool, str]]:
    async with AsyncWorkflowTestCase("ours") as ours, PeerTestCase("peer") as peer:
        for test in (ours, peer):
            await test.create_test_resource("service", lambda: None, mock=True)
        sides = (ours, peer)
        theirs, rows = "kailash", []
        mine, other = await interleaved(rounds, *((mock_calls, test) for test in sides))
        rows.append(("tracked mock call", theirs, other, mine, 1e6, mine <= other, "us, aim <= 10"))
        mine, other = await interleaved(rounds * 5, *((one_workflow, test) for test in sides))
        rows.append(("one workflow", theirs, other, mine, 1e3, mine < 0.1, "ms, < 100"))
        mine, bare = await interleaved(rounds * 5, (one_workflow, ours), (bare_workflow, None))
        rows.append(("one workflow", "runtime", bare, mine, 1e3, mine < 0.1, "ms, aim +10%"))
        mine, other = await interleaved(max(5, rounds // 5), *((fifty_at_once, test) for test in sides))
        rows.append(("fifty at once", theirs, other, mine, 1e3, mine < 15, "ms, < 15000"))
        mine, other = await interleaved(rounds, *((case_with_a_mock, test) for test in sides))
        rows.append(("test case with a mock", theirs, other, mine, 1e3, mine <= other, "ms"))
    begun = perf_counter()
    first = await AsyncWorkflowFixtures.create_test_database()
    started = perf_counter() - begun
    await first.cleanup()
    pairs = [await database(None) for _ in range(max(5, rounds // 5))]
    made, gone = (median(each) for each in zip(*pairs, strict=True))
    nothing = float("nan")
    rows.append(("first PostgreSQL database", "-", nothing, started, 1e3, True, "ms"))
    rows.append(("database cloned", "-", nothing, made, 1e3, True, "ms, aim <= 100"))
    rows.append(("database cleaned up", "-", nothing, gone, 1e3, gone < 5, "ms, < 5000, aim 100"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the cost of workflow test kits.")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--rounds", type=int, default=60, help="measurements of each side")
    rows = asyncio.run(measure(parser.parse_args().rounds))
    print(f"{'':28}{'peer':>10}{'peer':>10}{'steprig':>10}{'ratio':>9}  unit and target")
    for what, peer, theirs, ours, scale, good, target in rows:
        verdict = "PASS" if good else "FAIL"
        if "aim +10%" in target and ours > 1.1 * theirs:
            verdict += ", aim missed"
        print(f"{what:28}{peer:>10}{theirs * scale:10.2f}{ours * scale:10.2f}{ours / theirs:9.2f}  {target}  {verdict}")
    return int("--check" in sys.argv and not all(row[5] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
