"""The rig: an event loop, a clock and a journal, and the platforms that share them."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, TypeVar

from steprig.kernel.clock import Clock, RealClock
from steprig.kernel.journal import Journal
from steprig.kernel.memory_journal import MemoryJournal
from steprig.kernel.timeline import Timeline
from steprig.kernel.timers import Callback, Timer, TimerKind

T = TypeVar("T")


class Platform(Protocol):
    """What plugs into a rig."""

    async def start(self, rig: "Rig") -> None:
        """Begin, on the rig's loop; pick up what the journal says was under way."""
        ...

    async def stop(self) -> None:
        """End everything that was begun. Called once after a `start` that returned."""
        ...


class Rig:
    """Owns what platforms share, and runs them on one event loop.

    Either on the loop of somebody else, such as the server that carries a platform's routes (`async with rig`),
    or on a thread of its own (`start` and `stop`, or `with rig`), for a platform that has no such server.

    A rig runs once; make a new one to run again.

    Args:
        platforms: Started in order, stopped in reverse.
        clock: By default a `RealClock`, closed with the rig. A clock that is passed in stays open.
        journal: By default a `MemoryJournal`, likewise.
    """

    def __init__(self, *platforms: Platform, clock: Clock | None = None, journal: Journal | None = None) -> None:
        self._platforms = platforms
        self._owns = AsyncExitStack()
        self._own_clock = clock is None
        self._own_journal = journal is None
        self.clock: Clock = clock if clock is not None else RealClock()
        self.journal: Journal = journal if journal is not None else MemoryJournal()
        self.timeline = Timeline(self.journal)
        self._begun = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: _LoopThread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the platforms run on. Raises RuntimeError while the rig does not run."""
        if self._loop is None:
            raise RuntimeError("the rig does not run; enter it with `async with` or call start()")
        return self._loop

    def call_at(self, when: datetime, callback: Callback, *, kind: TimerKind, label: str) -> Timer:
        """`Clock.call_at` with the callback run on the rig's loop."""
        return self.clock.call_at(when, callback, kind=kind, dispatch=self.loop.call_soon_threadsafe, label=label)

    def run(self, coroutine: Coroutine[object, object, T], *, timeout: float | None = None) -> T:
        """Run a coroutine on the rig's loop from another thread and return its result.

        Raises:
            RuntimeError: The rig does not run, or this is the thread that its loop runs on.
            TimeoutError: It took more than `timeout` seconds; the coroutine is cancelled.
        """
        try:
            self._check_other_thread("await the coroutine instead")
            future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise
        try:
            return future.result(timeout)
        except TimeoutError:
            if not future.cancel():
                return future.result()  # it ended at the last moment, or the error is its own
            name = getattr(coroutine, "__qualname__", repr(coroutine))
            raise TimeoutError(f"{name} did not end within {timeout} s on the rig's loop") from None
        except BaseException:
            future.cancel()
            raise

    async def __aenter__(self) -> Self:
        if self._begun:
            raise RuntimeError("the rig has been started before; a rig runs once, make a new one")
        self._begun = True
        self._loop = asyncio.get_running_loop()
        try:
            if (last := self.journal.last_at()) is not None:
                self.clock.go_on_from(last)
            async with AsyncExitStack() as started:
                for platform in self._platforms:
                    await platform.start(self)
                    started.push_async_callback(platform.stop)
                self._owns = started.pop_all()
        except BaseException:
            self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._owns.aclose()
        finally:
            self._release()

    def _release(self) -> None:
        self._loop = None
        if self._own_clock:
            self.clock.close()
        if self._own_journal:
            self.timeline.close()
            self.journal.close()

    def _check_other_thread(self, instead: str) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            return
        if here is self._loop:
            raise RuntimeError(f"this would block the rig's own loop; {instead}")

    def start(self) -> Self:
        """Run on a thread of its own until `stop`. Raises what a platform's `start` raises."""
        if self._thread is not None:
            raise RuntimeError("the rig runs already")
        thread = _LoopThread()
        try:
            asyncio.run_coroutine_threadsafe(self.__aenter__(), thread.loop).result()
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return self

    def stop(self) -> None:
        """Stop the platforms and end the thread. Idempotent.

        Raises:
            RuntimeError: Called on the rig's own loop, which it would block.
        """
        self._check_other_thread("stop the rig from another thread")
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self.__aexit__(None, None, None), thread.loop).result()
        finally:
            thread.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _LoopThread:
    """An event loop that runs in a thread until it is told to stop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="steprig-rig", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.get_loop().run_forever()
