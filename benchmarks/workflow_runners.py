"""What running a function of each platform as a workflow costs: the first run of a process and of a test, and further
runs. Each function sleeps for 30 days and has one step.

    python benchmarks/workflow_runners.py [--rounds 20]

The first run of a process imports the SDK; the first of a test starts what it runs on; the end of the test stops it.
"""

import argparse
import asyncio
import logging
import warnings
from datetime import timedelta
from statistics import median
from time import perf_counter

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

import inngest  # noqa: E402
from aws_durable_execution_sdk_python import durable_execution  # noqa: E402
from aws_durable_execution_sdk_python.config import Duration  # noqa: E402

from steprig.durabletask.workflow_runner import DurableTaskWorkflow  # noqa: E402
from steprig.workflows import AsyncWorkflowTestCase  # noqa: E402

client = inngest.Inngest(app_id="bench", is_production=False)


@client.create_function(fn_id="inngest", trigger=inngest.TriggerEvent(event="bench"))
async def of_inngest(ctx):
    async def work():
        return 1

    await ctx.step.sleep("a month", timedelta(days=30))
    return await ctx.step.run("work", work)


@durable_execution
def of_aws(event, context):
    context.wait(Duration.from_days(30), name="a month")
    return context.step(lambda step: 1, name="work")


def work(context, value):
    return 1


def of_durabletask(context, value):
    yield context.create_timer(timedelta(days=30))
    return (yield context.call_activity(work))


async def timed(test, workflow) -> float:
    begun = perf_counter()
    result = await test.execute_workflow(workflow, {}, timeout=120)
    assert result.returned == 1, result.error
    return perf_counter() - begun


async def one_test(workflow, runs: int) -> tuple[float, list[float], float]:
    async with AsyncWorkflowTestCase() as test:
        first = await timed(test, workflow)
        further = [await timed(test, workflow) for _ in range(runs)]
        ending = perf_counter()
    return first, further, perf_counter() - ending


async def fifty(workflow) -> float:
    async with AsyncWorkflowTestCase() as test:
        await timed(test, workflow)
        begun = perf_counter()
        await asyncio.gather(*(timed(test, workflow) for _ in range(50)))
        return perf_counter() - begun


async def measure(rounds: int) -> None:
    workflows = {
        "inngest": of_inngest,
        "aws": of_aws,
        "durabletask": DurableTaskWorkflow(of_durabletask, activities=[work]),
    }
    print(f"{'medians in ms':14}{'process':>10}{'test':>10}{'further':>10}{'end':>10}{'50 at once':>12}")
    for name, workflow in workflows.items():
        process, _, _ = await one_test(workflow, 0)
        tests = [await one_test(workflow, 5) for _ in range(rounds)]
        further = median(each for _, runs, _ in tests for each in runs)
        at_once = median([await fifty(workflow) for _ in range(3)])
        columns = (process, median(first for first, _, _ in tests), further, median(end for _, _, end in tests))
        print(f"{name:14}" + "".join(f"{each * 1e3:10.1f}" for each in columns) + f"{at_once * 1e3:12.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure functions of each platform as workflows.")
    parser.add_argument("--rounds", type=int, default=20, help="tests of each platform")
    asyncio.run(measure(parser.parse_args().rounds))
