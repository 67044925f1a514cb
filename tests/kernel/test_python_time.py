"""Python's own time while it follows a virtual clock. Timeouts go by monotonic time and must not notice."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.kernel import ClockTimeoutError, MemoryJournal, RealClock, RunNotReachedError, Timeline, VirtualClock
from steprig.kernel import clock as clock_module

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock(start=START) as clock:
        yield clock


@pytest.fixture
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_datetime_and_time_follow_and_come_back(clock: VirtualClock) -> None:
    with clock.freeze_python_time():
        assert datetime.now(UTC) == START
        clock.call_later(30 * 24 * HOUR, lambda: None)
        assert datetime.now(UTC) == START + timedelta(days=30)
        assert time.time() == (START + timedelta(days=30)).timestamp()
        clock.advance(HOUR)
        assert datetime.now(UTC) == clock.now()
    assert abs(datetime.now(UTC).timestamp() - time.time()) < 10
    assert datetime.now(UTC) < START
    clock.advance(HOUR)
    assert datetime.now(UTC) < START
    assert clock._followers == ()


@given(st.lists(st.timedeltas(timedelta(0), timedelta(days=400)), max_size=5), st.datetimes(datetime(1960, 1, 1)))
@settings(max_examples=60, deadline=None)
def test_it_is_exact_to_the_microsecond(moves: list[timedelta], start: datetime) -> None:
    """An SDK compares the time it was told with Python's: one microsecond early is not yet due."""
    clock = VirtualClock(start=start.replace(tzinfo=UTC) if start.year < 9000 else START, auto=False)
    with clock.freeze_python_time():
        assert datetime.now(UTC) == clock.now()
        for move in moves:
            clock.advance(move)
            assert datetime.now(UTC) == clock.now()
            clock.stamp()
            assert datetime.now(UTC) == clock.now()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no tzset on this platform")
@pytest.mark.usefixtures("_new_york")
def test_the_local_time_zone_stays_what_it_is(clock: VirtualClock) -> None:
    with clock.freeze_python_time():
        clock.advance(HOUR)
        assert os.environ["TZ"] == "America/New_York"
        assert datetime.now() == datetime(2030, 1, 1, 8)
        assert time.tzname[0] == "EST"


def test_a_block_that_fails_gives_the_time_back(clock: VirtualClock) -> None:
    with pytest.raises(KeyError), clock.freeze_python_time():
        raise KeyError
    assert datetime.now(UTC) < START


def test_a_callback_sees_the_time_of_its_timer(clock: VirtualClock) -> None:
    seen: list[datetime] = []
    with clock.freeze_python_time():
        clock.call_later(HOUR, lambda: seen.append(datetime.now(UTC)))
    assert seen == [START + HOUR]


def test_timeouts_pass_all_the_same(clock: VirtualClock) -> None:
    timeline = Timeline(MemoryJournal())
    with clock.freeze_python_time():
        clock.working("stuck")
        with pytest.raises(ClockTimeoutError):
            clock.advance(HOUR, timeout=0.01)
        with pytest.raises(RunNotReachedError):
            timeline.wait_for("run", lambda run: True, timeout=0.01)
        with pytest.raises(RunNotReachedError):
            asyncio.run(timeline.until("run", lambda run: True, timeout=0.01))


def test_a_jump_over_years_passes_no_timeout(clock: VirtualClock) -> None:
    async def jump() -> None:
        async with asyncio.timeout(60):
            loop = asyncio.get_running_loop()
            woken = asyncio.Event()
            clock.call_later(timedelta(days=4_000), woken.set, dispatch=loop.call_soon_threadsafe)
            await woken.wait()

    with clock.freeze_python_time():
        asyncio.run(jump())
    assert clock.now() == START + timedelta(days=4_000)


def test_a_real_clock_goes_by_the_frozen_time_as_everything_else_does(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "_LONGEST_WAIT", 0.01)
    with RealClock() as real:
        woken = threading.Event()
        with clock.freeze_python_time():
            assert real.now() == START
            real.call_later(timedelta(microseconds=1), woken.set)
            assert not woken.wait(0.02)
            clock.advance(HOUR)
            assert woken.wait(10)


def test_without_time_machine_the_error_names_the_extra(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "time_machine", None)
    with pytest.raises(ImportError, match=r"install steprig\[time\]"), clock.freeze_python_time():
        pass
