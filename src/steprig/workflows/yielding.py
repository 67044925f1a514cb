"""Factories that yield a resource, as pytest's fixtures do, and go on when it is let go."""

import inspect
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any


def yielded_by(factory: Any, made: Any) -> AbstractAsyncContextManager[Any] | None:
    """What enters and leaves a resource that is yielded, or None when a factory has simply made one.

    Args:
        factory: A function that yields, or any other factory.
        made: What it gave. It yields if it is of `contextlib`; other context managers, such as an HTTP client, are
            themselves the resource.
    """
    manager = made
    if inspect.isasyncgenfunction(factory):
        manager = asynccontextmanager(lambda: made)()
    elif inspect.isgeneratorfunction(factory):
        manager = contextmanager(lambda: made)()
    generator = getattr(manager, "gen", None)
    is_async = isinstance(manager, AbstractAsyncContextManager) and inspect.isasyncgen(generator)
    is_sync = isinstance(manager, AbstractContextManager) and inspect.isgenerator(generator)
    return _entered(manager, is_async) if is_async or is_sync else None


@asynccontextmanager
async def _entered(manager: Any, is_async: bool) -> Any:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(manager) if is_async else stack.enter_context(manager)
