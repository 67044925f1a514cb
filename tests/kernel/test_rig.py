"""The rig: platforms start and stop in order, on a loop of somebody else or a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from steprig.kernel import Entry, MemoryJournal, Rig, TimerKind, VirtualClock, stream_of

PATIENCE = 10


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


class Plug:
    """A platform that writes down what happens to it."""

    def __init__(self, name: str, log: list[str], *, fails: str = "") -> None:
        self.name, self.log, self.fails = name, log, fails
        self.loop: asyncio.AbstractEventLoop | None = None

    async def start(self, rig: Rig) -> None:
        if self.fails == "start":
            rig.call_at(rig.clock.now() + timedelta(hours=1), lambda: None, kind=TimerKind.DELAY, label="left")
            raise OSError(f"{self.name} cannot start")
        self.loop = asyncio.get_running_loop()
        assert rig.loop is self.loop
        self.log.append(f"start {self.name}")

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")
        if self.fails == "stop":
            raise OSError(f"{self.name} cannot stop")


@pytest.fixture
def log() -> list[str]:
    return []


class TestOnTheCallersLoop:
    def test_platforms_start_in_order_and_stop_in_reverse(self, log: list[str]) -> None:
        async def use() -> None:
            first, second = Plug("a", log), Plug("b", log)
            async with Rig(first, second) as rig:
                assert log == ["start a", "start b"]
                assert rig.loop is first.loop is asyncio.get_running_loop()

        asyncio.run(use())
        assert log == ["start a", "start b", "stop b", "stop a"]

    def test_one_that_cannot_start_stops_those_that_did(self, log: list[str]) -> None:
        async def use() -> None:
            async with Rig(Plug("a", log), Plug("b", log, fails="start"), Plug("c", log)):
                log.append("entered")

        with pytest.raises(OSError, match="b cannot start"):
            asyncio.run(use())
        assert log == ["start a", "stop a"]

    def test_one_that_cannot_stop_keeps_no_other_from_it(self, log: list[str]) -> None:
        async def use() -> None:
            async with Rig(Plug("a", log), Plug("b", log, fails="stop")) as rig:
                rig.call_at(rig.clock.now() + timedelta(hours=1), lambda: None, kind=TimerKind.DELAY, label="left")

        with pytest.raises(OSError, match="b cannot stop"):
            asyncio.run(use())
        assert log == ["start a", "start b", "stop b", "stop a"]

    def test_an_error_of_the_block_comes_through(self, log: list[str]) -> None:
        async def use() -> None:
            async with Rig(Plug("a", log)):
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            asyncio.run(use())
        assert log == ["start a", "stop a"]

    def test_a_timer_runs_its_callback_on_the_loop(self) -> None:
        async def use() -> None:
            async with Rig() as rig:
                woken, threads = asyncio.Event(), []

                def wake() -> None:
                    threads.append(threading.current_thread())
                    woken.set()

                rig.call_at(rig.clock.now(), wake, kind=TimerKind.DELAY, label="wake")
                await asyncio.wait_for(woken.wait(), PATIENCE)
                assert threads == [threading.current_thread()]

        asyncio.run(use())

    def test_to_run_something_there_would_block_the_loop_and_is_refused(self) -> None:
        async def answer() -> int:
            return 42

        async def use() -> None:
            async with Rig() as rig:
                with pytest.raises(RuntimeError, match="would block the rig's own loop; await the coroutine"):
                    rig.run(answer())

        asyncio.run(use())


class TestOnItsOwnThread:
    def test_it_runs_until_it_is_stopped(self, log: list[str]) -> None:
        plug = Plug("a", log)
        rig = Rig(plug)
        assert rig.start() is rig
        assert rig.loop is plug.loop
        assert rig.loop.is_running()
        rig.stop()
        rig.stop()
        assert plug.loop is not None
        assert plug.loop.is_closed()
        assert log == ["start a", "stop a"]

    def test_a_with_block_does_the_same(self, log: list[str]) -> None:
        with pytest.raises(KeyError), Rig(Plug("a", log)):
            raise KeyError
        assert log == ["start a", "stop a"]

    def test_one_that_cannot_start_leaves_no_thread_and_no_timer_behind(self, log: list[str]) -> None:
        rig = Rig(Plug("a", log), Plug("b", log, fails="start"))
        with pytest.raises(OSError, match="b cannot start"):
            rig.start()
        assert log == ["start a", "stop a"]
        with pytest.raises(RuntimeError, match="the rig does not run"):
            _ = rig.loop
        rig.stop()

    def test_one_that_cannot_stop_leaves_no_thread_behind(self, log: list[str]) -> None:
        rig = Rig(Plug("a", log), Plug("b", log, fails="stop")).start()
        with pytest.raises(OSError, match="b cannot stop"):
            rig.stop()
        assert log == ["start a", "start b", "stop b", "stop a"]

    def test_what_is_still_running_is_cancelled(self) -> None:
        ended: list[str] = []

        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        async def begin() -> None:
            kept.append(asyncio.create_task(forever()))
            await asyncio.sleep(0)

        kept: list[asyncio.Task[None]] = []
        with Rig() as rig:
            rig.run(begin(), timeout=PATIENCE)
        assert ended == ["cancelled"]

    def test_it_is_not_started_twice(self) -> None:
        with Rig() as rig, pytest.raises(RuntimeError, match="runs already"):
            rig.start()

    def test_it_runs_once(self) -> None:
        rig = Rig()
        with rig:
            pass
        with pytest.raises(RuntimeError, match="a rig runs once, make a new one"):
            rig.start()

    def test_stopping_it_from_its_own_loop_is_refused(self) -> None:
        async def stop() -> None:
            rig.stop()

        with Rig() as rig, pytest.raises(RuntimeError, match="stop the rig from another thread"):
            rig.run(stop(), timeout=PATIENCE)


class TestRun:
    def test_a_coroutine_runs_on_the_loop_and_its_result_comes_back(self) -> None:
        async def where() -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        with Rig() as rig:
            assert rig.run(where()) is rig.loop
            results: list[asyncio.AbstractEventLoop] = []
            thread = threading.Thread(target=lambda: results.append(rig.run(where(), timeout=PATIENCE)))
            thread.start()
            thread.join(PATIENCE)
            assert results == [rig.loop]

    def test_its_error_comes_back(self) -> None:
        async def fail() -> None:
            raise TimeoutError("its own")

        with Rig() as rig, pytest.raises(TimeoutError, match=r"^its own$"):
            rig.run(fail(), timeout=PATIENCE)

    def test_too_long_is_cancelled_and_named(self) -> None:
        cancelled = threading.Event()

        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        with Rig() as rig:
            with pytest.raises(TimeoutError, match=r"forever did not end within 0.01 s on the rig's loop"):
                rig.run(forever(), timeout=0.01)
            assert cancelled.wait(PATIENCE)

    def test_without_a_running_rig_it_is_refused(self) -> None:
        async def answer() -> int:
            return 42

        with pytest.raises(RuntimeError, match=r"the rig does not run; enter it with `async with` or call start\(\)"):
            Rig().run(answer())


class Noted(Entry, frozen=True):
    pass


class TestWhatItOwns:
    def test_its_own_clock_is_closed_with_it(self) -> None:
        with Rig() as rig:
            rig.clock.call_later(timedelta(hours=1), lambda: None)
        with pytest.raises(RuntimeError, match="the clock is closed"):
            rig.clock.call_later(timedelta(0), lambda: None)

    def test_a_clock_and_a_journal_that_are_passed_in_stay_open(self) -> None:
        heard: list[int] = []

        class Listener:
            def appended(self, record: object) -> None:
                heard.append(1)

            def dropped(self, stream: object) -> None: ...

        clock, journal = VirtualClock(start=datetime(2030, 1, 1, tzinfo=UTC)), MemoryJournal()
        journal.listen(Listener())
        with Rig(clock=clock, journal=journal) as rig:
            assert rig.clock is clock
            assert rig.journal is journal
        fired: list[int] = []
        clock.call_later(timedelta(hours=1), lambda: fired.append(1))
        assert fired == [1]
        journal.append(clock.now(), (stream_of("run", "x"), Noted()))
        assert heard == [1]

    def test_sleeps_on_its_loop_are_skipped_by_a_virtual_clock(self) -> None:
        clock = VirtualClock(start=datetime(2030, 1, 1, tzinfo=UTC))
        woken: list[timedelta] = []

        async def sleep_thrice() -> None:
            for _ in range(3):
                event = asyncio.Event()
                rig.call_at(clock.now() + timedelta(days=30), event.set, kind=TimerKind.DELAY, label="sleep")
                await event.wait()
                woken.append(clock.now() - datetime(2030, 1, 1, tzinfo=UTC))

        with Rig(clock=clock) as rig:
            rig.run(sleep_thrice(), timeout=PATIENCE)
        assert woken == [timedelta(days=30 * n) for n in (1, 2, 3)]
