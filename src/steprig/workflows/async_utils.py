"""Waiting, limiting, running and retrying in tests."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeVar

from steprig.workflows.cleanup import awaited
from steprig.workflows.extras import needed
from steprig.workflows.polling import Samples

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class AsyncTestUtils:
    """Functions for async tests. Conditions and functions may be sync, async, or a lambda that gives a coroutine."""

    @staticmethod
    async def wait_for_condition(
        condition: Callable[[], Any], timeout: float = 5.0, interval: float = 0.1, message: str = "the condition"
    ) -> None:
        """Wait until a condition gives what is true.

        Args:
            condition: Called again and again.
            timeout: Seconds.
            interval: Seconds between two calls.
            message: What is waited for, for the error.

        Raises:
            TimeoutError: It did not within `timeout`; shows what it gave.
            Exception: What the condition raises, at once.
        """
        samples = Samples(condition)
        if not await samples.until(bool, timeout=timeout, interval=interval):
            raise TimeoutError(f"{message}: not true within {timeout:g} s; {samples}")

    @staticmethod
    async def assert_completes_within(awaitable: Awaitable[T], seconds: float, message: str | None = None) -> T:
        """Stop what takes longer than `seconds`, and fail.

        Returns:
            What it gave.

        Raises:
            AssertionError: It took longer.
            Exception: What it raised.
        """
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await awaitable
        except TimeoutError:
            if not limit.expired():
                raise
            raise AssertionError(f"{message or 'it'} did not come to an end within {seconds:g} s") from None

    @staticmethod
    async def assert_raises_async(
        exception_type: type[E] | tuple[type[E], ...],
        awaitable: Awaitable[Any] | Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> E:
        """Fail unless something raises.

        Args:
            exception_type: What it has to raise.
            awaitable: A coroutine, or a function to call.
            *args: For the function.
            **kwargs: For the function.

        Returns:
            The exception.

        Raises:
            AssertionError: Nothing was raised; says what was given.
            Exception: Another exception than the expected one.
        """
        try:
            value = await awaited(awaitable(*args, **kwargs) if callable(awaitable) else awaitable)
        except exception_type as error:
            return error
        raise AssertionError(f"expected {_names(exception_type)}, but nothing was raised and {value!r} given")

    @staticmethod
    @asynccontextmanager
    async def assert_duration(
        min_seconds: float | None = None, max_seconds: float | None = None
    ) -> AsyncIterator[None]:
        """Fail when what is within is quicker than `min_seconds`, and stop it at `max_seconds`."""
        began, limit = perf_counter(), asyncio.timeout(max_seconds)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise AssertionError(f"stopped after {perf_counter() - began:.3f} s; at most {max_seconds} s") from None
        took = perf_counter() - began
        if max_seconds is not None and took > max_seconds:
            raise AssertionError(f"it took {took:.3f} s; expected at most {max_seconds:g} s")
        if min_seconds is not None and took < min_seconds:
            raise AssertionError(f"it took {took:.3f} s; expected at least {min_seconds:g} s")

    @staticmethod
    async def run_concurrent(*awaitables: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
        """Run all at once.

        Args:
            *awaitables: Coroutines or tasks.
            return_exceptions: Whether errors take the place of results. Otherwise the first one ends the others.

        Returns:
            The results in the order of the arguments.
        """
        for each in awaitables:
            if not inspect.isawaitable(each):
                _close(awaitables)
                raise TypeError(f"run_concurrent takes coroutines and tasks, as in run_concurrent(*all); got {each!r}")
        tasks = [asyncio.ensure_future(each) for each in awaitables]
        try:
            return await asyncio.gather(*tasks, return_exceptions=return_exceptions)
        finally:
            left = [task for task in tasks if not task.done()]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    @staticmethod
    async def run_sequential(*coroutines: Awaitable[Any]) -> list[Any]:
        """Run one after the other. After an error the others are not begun."""
        results: list[Any] = []
        try:
            for each in coroutines:
                results.append(await each)
        finally:
            _close(coroutines[len(results) + 1 :])
        return results

    @staticmethod
    def async_retry(
        max_attempts: int = 3,
        delay: float = 0.1,
        backoff: float = 2.0,
        exceptions: tuple[type[BaseException], ...] = (Exception,),
    ) -> Callable[[Callable[..., Awaitable[T]]], Callable[..., Awaitable[T]]]:
        """Decorate an async function so that it is called again when it fails.

        Args:
            max_attempts: How often it is called at most.
            delay: Seconds before the second call.
            backoff: By what each later pause is longer than the one before.
            exceptions: What it is called again for. The last one is raised.
        """
        tenacity = needed("tenacity", "workflows", "async_retry")

        decorator: Callable[[Callable[..., Awaitable[T]]], Callable[..., Awaitable[T]]] = tenacity.retry(
            stop=tenacity.stop_after_attempt(max_attempts),
            wait=tenacity.wait_exponential(multiplier=delay, exp_base=backoff),
            retry=tenacity.retry_if_exception_type(exceptions),
            reraise=True,
        )
        return decorator


def _close(awaitables: Iterable[object]) -> None:
    """End coroutines that have not begun, else Python warns that nobody has awaited them."""
    for each in awaitables:
        if isinstance(each, Coroutine):
            each.close()
        elif isinstance(each, list | tuple):
            _close(each)


def _names(types: Any) -> str:
    return " or ".join(each.__name__ for each in (types if isinstance(types, tuple) else (types,)))
