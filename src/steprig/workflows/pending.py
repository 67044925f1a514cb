"""What calling an async method gives: to be awaited, entered or gone through."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Pending(Coroutine[Any, Any, T_co]):
    """A coroutine that `async with` and `async for` take, too: as aiohttp's requests and database cursors are.

    They await it, and enter or go through what it gives.

    Args:
        coroutine: Does the work.
    """

    __slots__ = ("_coroutine", "_stack")

    def __init__(self, coroutine: Coroutine[Any, Any, T_co]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """See `Coroutine.send`."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """See `Coroutine.throw`."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """See `Coroutine.close`."""
        self._coroutine.close()

    async def __aenter__(self) -> Any:
        self._stack = AsyncExitStack()
        return await self._stack.enter_async_context(await self._coroutine)  # type: ignore[arg-type]

    async def __aiter__(self) -> AsyncIterator[Any]:
        given: Any = await self._coroutine
        if hasattr(type(given), "__aiter__"):
            async for each in given:
                yield each
        else:
            for each in given:
                yield each

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)


def enterable(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Pending[T]]:
    """Have an async function give what `async with` takes, too."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        return Pending(function(*args, **kwargs))

    mark_async(call.__dict__)
    call.__dict__["_steprig_enterable"] = True
    return call


def is_enterable(function: object) -> bool:
    """Whether it is of `enterable`. Other async functions give a coroutine and nothing else, also when tracked."""
    return getattr(function, "_steprig_enterable", False) is True


def mark_async(attributes: dict[str, Any]) -> None:
    """Have `iscoroutinefunction` say yes, in `inspect` (from Python 3.12) and in `asyncio`."""
    if (mark := getattr(inspect, "_is_coroutine_mark", None)) is not None:
        attributes["_is_coroutine_mark"] = mark
    if (mark := getattr(asyncio.coroutines, "_is_coroutine", None)) is not None:
        attributes["_is_coroutine"] = mark


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives something to await: of an async function, or of one that is marked so."""
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)
    return inspect.iscoroutinefunction(function) or (mark is not None and getattr(function, "_is_coroutine", 0) is mark)
