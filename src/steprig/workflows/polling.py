"""Looks at something again and again until it is as wished or time is up."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from steprig.workflows.cleanup import awaited


class Samples:
    """What was seen, with the times, for messages.

    Args:
        getter: Gives a value, sync or async.
    """

    def __init__(self, getter: Callable[[], Any]) -> None:
        self._getter = getter
        self._began = perf_counter()
        self._seen: list[tuple[float, Any]] = []

    @property
    def values(self) -> list[Any]:
        """The values, oldest first."""
        return [value for _, value in self._seen]

    async def take(self) -> Any:
        """Look once more."""
        value = await awaited(self._getter())
        self._seen.append((perf_counter() - self._began, value))
        return value

    async def until(self, wished: Callable[[Any], bool], *, timeout: float, interval: float) -> bool:
        """Look until a value is as wished; whether one was within `timeout` seconds."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                while not wished(await self.take()):  # noqa: ASYNC110 - nothing tells of a change
                    await asyncio.sleep(interval)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True

    def __str__(self) -> str:
        if not self._seen:
            return "it was never seen: the first look did not come to an end"
        shown = [f"{value!r} after {seconds:.3f} s" for seconds, value in self._seen]
        left_out = [f"... ({len(shown) - 10} more) ..."] if len(shown) > 10 else []
        seen = [*shown[:3], *left_out, *shown[-7:]] if left_out else shown
        return f"{len(shown)} seen: {', '.join(seen)}"
