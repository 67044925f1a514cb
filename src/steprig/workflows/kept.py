"""What is opened once for all runs of a test, such as the server of a platform."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from typing import Any, TypeVar

from steprig.workflows.cleanup import CleanupStack

T = TypeVar("T")

_Opened = tuple[AbstractAsyncContextManager[Any], Any]


class Kept:
    """Opens each at its first use.

    Args:
        cleanups: Where the closing is noted.
    """

    def __init__(self, cleanups: CleanupStack) -> None:
        self._cleanups = cleanups
        self._opening: dict[object, asyncio.Task[_Opened]] = {}

    async def get(self, key: object, open: Callable[[], AbstractAsyncContextManager[T]]) -> T:  # noqa: A002
        """What is kept under a key; see `steprig.kernel.WorkflowReport.kept`."""
        if key not in self._opening:
            # In an empty context: what a server logs between two runs belongs to neither.
            self._opening[key] = asyncio.create_task(self._open(open), context=Context())
            self._cleanups.push("what its workflows ran on", lambda: self._close(key))
        try:
            _, value = await asyncio.shield(self._opening[key])  # whoever is cancelled leaves it to the others
        except Exception:
            self._opening.pop(key, None)
            raise
        return value  # type: ignore[no-any-return]

    async def _open(self, open: Callable[[], AbstractAsyncContextManager[Any]]) -> _Opened:  # noqa: A002
        manager = open()
        return manager, await manager.__aenter__()

    async def _close(self, key: object) -> None:
        opening = self._opening.pop(key, None)
        if opening is not None:
            manager, _ = await opening
            await manager.__aexit__(None, None, None)
