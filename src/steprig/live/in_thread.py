"""Starts and stops servers from async code, asyncio's or trio's, without blocking its loop."""

import contextlib
import threading
from collections.abc import Callable

from anyio import CancelScope, CapacityLimiter, to_thread

from steprig.live.errors import ServerShutdownError


async def start_in_thread(start: Callable[[], object], stop: Callable[[], object]) -> None:
    """Run `start` in a worker thread; a caller that is cancelled leaves no server behind.

    Args:
        start: starts a server; `stop`, called meanwhile, ends it early.
        stop: stops the server.
    """
    begun, abandoned, over = threading.Event(), threading.Event(), threading.Event()

    def start_unless_abandoned() -> None:
        begun.set()
        try:
            start()
            if abandoned.is_set():
                stop()
        finally:
            over.set()

    def undo() -> None:
        with contextlib.suppress(ServerShutdownError):
            stop()
        # A start that had only just begun has not seen this stop, but will see `abandoned`.
        if begun.is_set():
            over.wait()

    try:
        await _run(start_unless_abandoned, abandon_on_cancel=True)
    except BaseException:
        abandoned.set()
        await stop_in_thread(undo)
        raise


async def stop_in_thread(stop: Callable[[], object]) -> None:
    """Run `stop` in a worker thread, also for a caller that is cancelled."""
    with CancelScope(shield=True):
        await _run(stop)


async def _run(call: Callable[[], object], *, abandon_on_cancel: bool = False) -> None:
    # A limiter of its own: an application or a test that uses up anyio's threads must not keep a
    # server from starting or stopping.
    await to_thread.run_sync(call, abandon_on_cancel=abandon_on_cancel, limiter=CapacityLimiter(1))
