"""What a run of a durable function costs in the test runner, beside AWS's own testing package.

That package is no dependency of this project; get it for the occasion:

    uv run --with aws-durable-execution-sdk-python-testing benchmarks/aws_runner.py

Both run the same functions with the same SDK, each run with a runner of its own that is made and closed within the
time measured, by turns. Prints the best of each and ratios; `--check` exits with 1 when a ratio misses its target.

Where it can be said, a third column shows what the SDK needs alone, and the runner's time as a multiple of that. The
peer sleeps where this runner works, so that the ratio to it falls as the machine becomes slower; this one does not.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration
from aws_sdk_alone import SdkAlone

from steprig.aws.runner import DurableFunctionTestRunner

MakeRunner = Callable[[Callable[..., Any]], Any]

AT_ONCE = 100


@durable_execution
def steps(event: int, context: Any) -> int:
    """So many steps."""
    return sum(context.step(lambda _, n=n: n, name=f"step {n}") for n in range(event))


@durable_execution
def waits(event: int, context: Any) -> int:
    """So many waits of an hour."""
    for number in range(event):
        context.wait(Duration.from_hours(1), name=f"wait {number}")
    return event


@durable_execution
def asks(event: int, context: Any) -> Any:
    """A callback that the test answers."""
    return context.wait_for_callback(lambda callback_id, _: None, name="ask")


def run(handler: Callable[..., Any], number: int) -> Callable[[MakeRunner], None]:
    """One execution."""

    def once(make: MakeRunner) -> None:
        with make(handler) as runner:
            result = runner.run(json.dumps(number), execution_timeout=300)
        assert result.status.value == "SUCCEEDED", result

    return once


def at_once(make: MakeRunner) -> None:
    """Many executions in one runner."""
    with make(steps) as runner:
        arns = [runner.run_async(json.dumps(2), execution_name=f"run-{n}") for n in range(AT_ONCE)]
        assert all(runner.wait_for_result(arn, timeout=300).status.value == "SUCCEEDED" for arn in arns)


def answered(make: MakeRunner) -> None:
    """One execution that the test answers."""
    with make(asks) as runner:
        arn = runner.run_async("0")
        runner.send_callback_success(runner.wait_for_callback(arn), b"1")
        assert runner.wait_for_result(arn).status.value == "SUCCEEDED"


class Case(NamedTuple):
    """Something to measure, how often, and how many times faster it has to be."""

    name: str
    once: Callable[[MakeRunner], None]
    times: int
    target: float
    alone: bool = False
    """Whether the SDK alone can run it."""


CASES = [
    Case("1 step", run(steps, 1), 15, 30, alone=True),
    Case("10 steps", run(steps, 10), 9, 15, alone=True),
    Case("1,000 steps", run(steps, 1000), 3, 5, alone=True),
    Case("100 waits", run(waits, 100), 3, 30, alone=True),
    Case(f"{AT_ONCE} executions at once", at_once, 3, 5),
    Case("an answered callback", answered, 5, 30),
]


def measure(once: Callable[[MakeRunner], None], makers: Sequence[MakeRunner], times: int) -> list[float]:
    """Milliseconds for each maker: the best of so many runs, by turns, which a busy machine spoils least."""
    once(makers[0])
    took: list[list[float]] = [[] for _ in makers]
    for _ in range(times):
        for make, found in zip(makers, took, strict=True):
            begun = time.perf_counter()
            once(make)
            found.append((time.perf_counter() - begun) * 1000)
    return [min(found) for found in took]


def peer() -> MakeRunner | None:
    """AWS's own runner, where it is installed."""
    try:
        from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestRunner as PeerRunner
    except ModuleNotFoundError:
        return None
    return PeerRunner  # type: ignore[no-any-return]


def installed(package: str) -> str:
    """A package with its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (none)"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when a ratio misses its target")
    check = parser.parse_args().check
    logging.disable(logging.CRITICAL)
    other = peer()
    print(installed("aws-durable-execution-sdk-python"), "|", installed("aws-durable-execution-sdk-python-testing"))
    missed = other is None
    for case in CASES:
        makers = [DurableFunctionTestRunner, *([SdkAlone] if case.alone else []), *([other] if other else [])]
        own, *others = measure(case.once, makers, case.times)
        line = f"{case.name:26} {own:10.2f} ms"
        if case.alone:
            line += f"   the SDK alone {others[0]:8.2f} ms, {own / others[0]:5.2f} x"
        if other is not None:
            theirs = others[-1]
            missed |= theirs / own < case.target
            line += f"   peer {theirs:10.2f} ms, {theirs / own:6.1f} x (target {case.target:g} x)"
        print(line)
    if other is None:
        print(
            "nothing to compare with: uv run --with aws-durable-execution-sdk-python-testing benchmarks/aws_runner.py"
        )
    return int(check and missed)


if __name__ == "__main__":
    sys.exit(main())
