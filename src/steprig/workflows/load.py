"""Assertions about speed, concurrency and memory."""

import asyncio
import gc
import inspect
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, TypeVar, overload

from steprig.workflows.cleanup import awaited

T = TypeVar("T")

_LEAK = 64 * 1024
"""Bytes of growth that are never taken for a leak: caches and free lists come to that."""


@overload
async def assert_performance(
    work: Awaitable[T],
    max_time: float | None = None,
    min_throughput: float | None = None,
    operations: int = 1,
) -> T: ...


@overload
async def assert_performance(
    work: Callable[[], Any],
    max_time: float | None = None,
    min_throughput: float | None = None,
    operations: int = 1,
    percentiles: Mapping[float, float] | None = None,
) -> list[Any]: ...


async def assert_performance(
    work: Awaitable[Any] | Callable[[], Any],
    max_time: float | None = None,
    min_throughput: float | None = None,
    operations: int = 1,
    percentiles: Mapping[float, float] | None = None,
) -> Any:
    """Fail when something is slow.

    Args:
        work: What is timed, and stopped at `max_time`: an awaitable that does all the operations, or a function, sync
            or async, which is called for each, one call after the other.
        max_time: Seconds for all.
        min_throughput: Operations a second.
        operations: How many there are.
        percentiles: For a percentage of a function's calls, the seconds that they may take, as for `assert_latency`.

    Returns:
        What the awaitable gave, or all that the function did.

    Raises:
        AssertionError: It is slow; shows the figures.
        ValueError: There are percentiles, and no function whose calls could be told apart.
    """
    taken: list[float] = []
    if callable(work):
        work = _one_by_one(work, operations, taken)
    elif percentiles is not None:
        if inspect.iscoroutine(work):
            work.close()
        raise ValueError("percentiles are of the calls of a function: pass it uncalled, and operations= how many calls")
    began, limit = perf_counter(), asyncio.timeout(max_time)
    try:
        async with limit:
            result = await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"stopped after {perf_counter() - began:.3f} s; expected at most {max_time} s") from None
    elapsed = perf_counter() - began
    if max_time is not None and elapsed > max_time:
        raise AssertionError(f"it took {elapsed:.3f} s; expected at most {max_time:g} s")
    throughput = operations / elapsed
    if min_throughput is not None and throughput < min_throughput:
        raise AssertionError(
            f"{throughput:.1f} operations/s ({operations} in {elapsed:.3f} s); expected at least {min_throughput:g}"
        )
    _check_percentiles(sorted(taken), percentiles or {})
    return result


async def assert_latency(
    function: Callable[[], Any], percentiles: Mapping[float, float], iterations: int = 100
) -> list[float]:
    """Fail when too many of the calls of a function are slow.

    Args:
        function: Called again and again, one call after the other.
        percentiles: For a percentage of the calls, the seconds that they may take: `{50: 0.01, 99: 0.1}`.
        iterations: How many calls.

    Returns:
        The seconds of each call, shortest first.
    """
    taken: list[float] = []
    await _one_by_one(function, iterations, taken)
    taken.sort()
    _check_percentiles(taken, percentiles)
    return taken


def _check_percentiles(taken: Sequence[float], percentiles: Mapping[float, float]) -> None:
    count = len(taken)
    if wrong := [percent for percent in percentiles if not 1 <= percent <= 100]:
        raise ValueError(f"a percentile is a percentage from 1 to 100, as in {{95: 0.1}}; got {wrong[0]!r}")
    if percentiles and not taken:
        raise ValueError("no percentile is known of no calls")
    found = {percent: taken[max(0, -int(-percent * count // 100) - 1)] for percent in percentiles}
    if all(found[percent] <= percentiles[percent] for percent in percentiles):
        return
    figures = ", ".join(f"p{percent:g} {found[percent]:.4f} s (at most {percentiles[percent]:g})" for percent in found)
    raise AssertionError(f"too slow: {figures}; {count} calls from {taken[0]:.4f} to {taken[-1]:.4f} s")


async def _one_by_one(function: Callable[[], Any], times: int, taken: list[float]) -> list[Any]:
    """Call a function so often, and note the seconds of each call."""
    results = []
    for _ in range(times):
        began = perf_counter()
        results.append(await awaited(function()))
        taken.append(perf_counter() - began)
    return results


async def assert_concurrent_safe(
    function: Callable[..., Any], *args: Any, concurrency: int = 10, **kwargs: Any
) -> list[Any]:
    """Call a function many times at once, and fail with all that went wrong.

    Args:
        function: Async ones run on the loop, others in threads of their own.
        *args: For it.
        concurrency: How many calls.
        **kwargs: For it.

    Returns:
        The results.
    """
    if inspect.iscoroutinefunction(function):
        results = await _all([function(*args, **kwargs) for _ in range(concurrency)])
    else:
        with ThreadPoolExecutor(concurrency) as threads:
            results = await _all([_in_thread(threads, partial(function, *args, **kwargs)) for _ in range(concurrency)])
    errors = [f"  call {number}: {each!r}" for number, each in enumerate(results, 1) if isinstance(each, BaseException)]
    if errors:
        raise AssertionError(f"{len(errors)} of {concurrency} calls at once failed:\n" + "\n".join(errors))
    return results


async def _all(calls: list[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], Any]) -> Any:
    return await awaited(await asyncio.get_running_loop().run_in_executor(threads, call))


async def assert_memory_stable(
    function: Callable[..., Any],
    *args: Any,
    iterations: int = 100,
    growth_tolerance: float = 0.1,
    **kwargs: Any,
) -> None:
    """Fail when calls of a function leave more and more memory in use.

    Python's own allocations are counted, by tracemalloc, after a tenth of the calls and after the rest.

    Args:
        function: Called again and again.
        *args: For it.
        iterations: How many calls.
        growth_tolerance: By what share of what was in use then it may grow; growth below 64 KiB never counts.
        **kwargs: For it.
    """
    started_here = not tracemalloc.is_tracing()
    if started_here:
        tracemalloc.start()
    try:
        warm_up = max(1, iterations // 10)
        before = await _bytes_after(function, args, kwargs, warm_up)
        first = tracemalloc.take_snapshot()
        after = await _bytes_after(function, args, kwargs, iterations)
        allowed = max(_LEAK, int(before * growth_tolerance))
        if after - before > allowed:
            raise AssertionError(_leak(before, after, allowed, iterations, first))
    finally:
        if started_here:
            tracemalloc.stop()


async def _bytes_after(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], iterations: int
) -> int:
    for _ in range(iterations):
        await awaited(function(*args, **kwargs))
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _leak(before: int, after: int, allowed: int, iterations: int, first: tracemalloc.Snapshot) -> str:
    grown = tracemalloc.take_snapshot().compare_to(first, "lineno")
    places = "\n".join(f"  {each}" for each in grown[:5])
    return (
        f"memory in use grew by {after - before} bytes in {iterations} calls, from {before} to {after}; "
        f"allowed are {allowed}. Most of it comes from:\n{places}"
    )
