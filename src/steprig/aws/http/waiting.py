"""Requests that are answered once something has come about."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import Request

from steprig.aws.engine import Engine
from steprig.aws.errors import ServiceException
from steprig.aws.state import Execution

T = TypeVar("T")


class Waiter:
    """Waits on the server's loop.

    Args:
        engine: Tells of executions.
        closing: Set when the server stops, and nobody can be kept waiting any longer.
    """

    def __init__(self, engine: Engine, closing: asyncio.Event) -> None:
        self._engine = engine
        self._closing = closing

    async def end_of(self, arn: str, request: Request) -> Execution:
        """The execution once it has ended.

        Raises:
            ServiceException: The server stops, or the client has gone.
        """

        def begin(report: Callable[[Execution], object]) -> Callable[[], object]:
            def look(state: Execution) -> None:
                if state.ended is not None:
                    report(state)

            undo = self._engine.watch(arn, look)
            look(self._engine.execution(arn))
            return undo

        return await self.reported(begin, request)

    async def reported(
        self,
        begin: Callable[[Callable[[T], object]], Callable[[], object]],
        request: Request,
        timeout: float | None = None,
    ) -> T:
        """What is reported, from any thread.

        Args:
            begin: Begins what reports; returns how to end it.
            request: Who waits.
            timeout: Real seconds.

        Raises:
            ServiceException: The server stops, or the client has gone.
            TimeoutError: It took longer.
        """
        loop, found = asyncio.get_running_loop(), asyncio.Future[T]()

        def settle(value: T) -> None:
            if not found.done():
                found.set_result(value)

        def report(value: T) -> None:
            with suppress(RuntimeError):  # the server was stopped, and its loop with it
                loop.call_soon_threadsafe(settle, value)

        end = begin(report)
        others: list[asyncio.Task[object]] = [
            asyncio.create_task(self._closing.wait()),
            asyncio.create_task(_gone(request)),
        ]
        try:
            waited: set[asyncio.Future[Any]] = {found, *others}
            await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if found.done():
                return found.result()
            if not any(other.done() for other in others):
                raise TimeoutError(f"nothing was reported within {timeout} s")
            raise ServiceException("The service was stopped, or whoever asked has gone.")
        finally:
            end()
            found.cancel()
            for other in others:
                other.cancel()


async def _gone(request: Request) -> None:
    """Returns once the client has hung up. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
