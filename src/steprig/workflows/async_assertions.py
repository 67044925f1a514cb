"""Assertions about what changes, repeats or runs at once."""

from collections.abc import Callable
from typing import Any

from steprig.workflows.load import (
    assert_concurrent_safe,
    assert_latency,
    assert_memory_stable,
    assert_performance,
)
from steprig.workflows.polling import Samples
from steprig.workflows.workflow_success import assert_workflow_succeeds

_LONGEST_INTERVAL = 0.1


class AsyncAssertions:
    """Assertions for async tests. Getters and functions may be sync, async, or a lambda that gives a coroutine."""

    @staticmethod
    async def assert_eventually_equals(
        getter: Callable[[], Any],
        expected: Any,
        timeout: float = 5.0,
        interval: float = 0.1,
        message: str | None = None,
    ) -> None:
        """Fail unless a getter gives `expected` within `timeout` seconds, looking every `interval` seconds."""
        samples = Samples(getter)
        if not await samples.until(lambda value: bool(value == expected), timeout=timeout, interval=interval):
            raise AssertionError(f"{message or 'it'} was not {expected!r} within {timeout:g} s; {samples}")

    @staticmethod
    async def assert_eventually_true(
        condition: Callable[[], Any], timeout: float = 5.0, message: str | None = None, interval: float = 0.1
    ) -> None:
        """Fail unless a condition gives what is true within `timeout` seconds, looking every `interval` seconds."""
        samples = Samples(condition)
        if not await samples.until(bool, timeout=timeout, interval=interval):
            raise AssertionError(f"{message or 'the condition'} was not true within {timeout:g} s; {samples}")

    @staticmethod
    async def assert_converges(
        getter: Callable[[], Any],
        tolerance: float = 0.01,
        timeout: float = 10.0,
        samples: int = 10,
        interval: float | None = None,
    ) -> Any:
        """Fail unless a value settles: unless the later half of the samples lie within `tolerance` of each other.

        Args:
            getter: Gives the value, a number.
            tolerance: The greatest distance between two of them.
            timeout: Seconds in which all samples have to be had.
            samples: How many are taken, at least two.
            interval: Seconds between two of them; by default a tenth, or less when the time is short. What settles
                more slowly needs a longer one.

        Returns:
            The last value.
        """
        if samples < 2:
            raise ValueError(f"whether a value settles can be seen by two samples or more, not by {samples}")
        pause = min(_LONGEST_INTERVAL, timeout / (samples + 1)) if interval is None else interval
        seen = Samples(getter)
        if not await seen.until(lambda value: len(seen.values) >= samples, timeout=timeout, interval=pause):
            raise AssertionError(f"only {len(seen.values)} of {samples} samples within {timeout:g} s; {seen}")
        late = seen.values[-max(2, samples // 2) :]
        if (spread := max(late) - min(late)) > tolerance:
            raise AssertionError(
                f"it has not settled: the last {len(late)} samples differ by {spread!r}, allowed are {tolerance!r}; "
                f"{seen}. For what settles more slowly than in {pause * samples:.3g} s pass interval="
            )
        return seen.values[-1]

    assert_performance = staticmethod(assert_performance)
    assert_latency = staticmethod(assert_latency)
    assert_concurrent_safe = staticmethod(assert_concurrent_safe)
    assert_memory_stable = staticmethod(assert_memory_stable)
    assert_workflow_succeeds = staticmethod(assert_workflow_succeeds)
