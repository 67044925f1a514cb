"""The real clock: wall-clock time, timers on one thread that `close` ends."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from steprig.kernel import RealClock, TimerKind
from steprig.kernel import clock as clock_module

PATIENCE = 10
SOON = timedelta(milliseconds=1)


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "steprig-clock"]


@pytest.fixture
def clock() -> Iterator[RealClock]:
    with RealClock() as clock:
        yield clock
    assert timer_threads() == []


@contextmanager
def all_set_at_once(clock: RealClock) -> Iterator[datetime]:
    """Nothing fires before all timers of the block are set, however slow the machine is."""
    with clock._changed:
        yield clock.now()


class SetWallClock(RealClock):
    """A clock on a machine whose wall clock somebody sets."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def test_it_shows_the_wall_clock_in_utc(clock: RealClock) -> None:
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC


def test_it_needs_no_thread_before_the_first_timer(clock: RealClock) -> None:
    with clock.working("call"), clock.awaiting_result(skip_deadlines=True):
        assert timer_threads() == []


def test_timers_fire_in_the_order_in_which_they_are_due_and_not_early(clock: RealClock) -> None:
    fired: list[tuple[int, bool]] = []
    done = threading.Event()
    with all_set_at_once(clock) as begin:
        for n in (3, 1, 2, 0):
            when = begin + timedelta(milliseconds=5 * n)
            clock.call_at(when, lambda n=n, when=when: fired.append((n, clock.now() >= when)))  # type: ignore[misc]
        clock.call_at(begin + timedelta(milliseconds=20), done.set)
    assert done.wait(PATIENCE)
    assert fired == [(n, True) for n in range(4)]


def test_timers_of_one_moment_fire_in_the_order_in_which_they_were_made(clock: RealClock) -> None:
    fired: list[int] = []
    done = threading.Event()
    with all_set_at_once(clock) as when:
        for n, kind in enumerate([*TimerKind] * 5):
            clock.call_at(when, lambda n=n: fired.append(n), kind=kind)  # type: ignore[misc]
        clock.call_at(when, done.set)
    assert done.wait(PATIENCE)
    assert fired == list(range(20))


def test_an_earlier_timer_set_later_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    about_to_wait = threading.Event()

    class Watched(RealClock):
        def _seconds_to_next(self) -> float | None:
            about_to_wait.set()
            return super()._seconds_to_next()

    monkeypatch.setattr(clock_module, "_LONGEST_WAIT", 1_000.0)
    done = threading.Event()
    with Watched() as clock:
        clock.call_later(timedelta(days=10_000), lambda: None)
        assert about_to_wait.wait(PATIENCE)  # with the lock held: who gets the lock next finds the thread waiting
        clock.call_later(SOON, done.set)
        assert done.wait(PATIENCE)


def test_a_cancelled_timer_does_not_fire(clock: RealClock) -> None:
    fired: list[str] = []
    done = threading.Event()
    with all_set_at_once(clock) as when:
        clock.call_at(when, lambda: second.cancel())
        second = clock.call_at(when, lambda: fired.append("second"))
        clock.call_at(when, lambda: fired.append("first")).cancel()
        clock.call_at(when, done.set)
    assert done.wait(PATIENCE)
    assert fired == []


def test_a_callback_that_fails_is_logged_and_does_not_end_the_timers(
    clock: RealClock, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    clock.call_later(SOON, lambda: 1 / 0, label="broken")  # type: ignore[arg-type]
    clock.call_later(2 * SOON, done.set)
    assert done.wait(PATIENCE)
    assert "the callback of <Timer broken" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_close_joins_its_thread_and_drops_the_timers() -> None:
    clock, fired = RealClock(), threading.Event()
    clock.call_later(timedelta(hours=1), fired.set)
    (thread,) = timer_threads()
    clock.close()
    clock.close()
    assert not thread.is_alive()
    assert not fired.is_set()
    with pytest.raises(RuntimeError, match=r"cannot set <Timer nap .*: the clock is closed"):
        clock.call_later(SOON, fired.set, label="nap")


def test_nothing_fires_after_a_callback_has_closed_the_clock() -> None:
    clock, fired, closed = RealClock(), threading.Event(), threading.Event()

    def close() -> None:
        clock.close()
        closed.set()

    with all_set_at_once(clock) as when:
        clock.call_at(when, close)
        clock.call_at(when, fired.set)
    assert closed.wait(PATIENCE)
    clock.close()
    assert timer_threads() == []
    assert not fired.is_set()


def test_every_close_returns_only_when_the_last_callback_has_ended() -> None:
    clock, began, leave = RealClock(), threading.Event(), threading.Event()
    ended = threading.Event()

    def slow() -> None:
        began.set()
        leave.wait(PATIENCE)
        ended.set()

    clock.call_later(SOON, slow)
    assert began.wait(PATIENCE)
    seen: list[bool] = []

    def close() -> None:
        clock.close()
        seen.append(ended.is_set())

    closers = [threading.Thread(target=close) for _ in range(3)]
    for closer in closers:
        closer.start()
    leave.set()
    for closer in closers:
        closer.join(PATIENCE)
    assert seen == [True] * 3


def test_a_wall_clock_set_ahead_makes_timers_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "_LONGEST_WAIT", 0.01)
    with SetWallClock() as clock:
        done = threading.Event()
        clock.call_later(timedelta(hours=1), done.set)
        clock.ahead = timedelta(hours=1)
        assert done.wait(PATIENCE)


def test_it_looks_at_the_wall_clock_every_second() -> None:
    with RealClock() as clock:
        clock.call_later(timedelta(days=1), lambda: None)
        assert clock._seconds_to_next() == 1.0


def test_a_wall_clock_set_back_makes_no_timer_early() -> None:
    with SetWallClock() as clock:
        early: list[bool] = []
        done = threading.Event()
        when = clock.now() + timedelta(milliseconds=5)
        clock.ahead = -timedelta(milliseconds=30)

        def fired() -> None:
            early.append(clock.now() < when)
            done.set()

        clock.call_at(when, fired)
        assert done.wait(PATIENCE)
        assert early == [False]


def test_stamps_increase_when_the_wall_clock_is_set_back() -> None:
    with SetWallClock() as clock:
        stamps = [clock.stamp()]
        clock.ahead = -timedelta(hours=1)
        stamps += [clock.stamp() for _ in range(100)]
        assert stamps == sorted(set(stamps))


def test_stamps_of_many_threads_all_differ(clock: RealClock) -> None:
    stamps: list[list[datetime]] = [[] for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda mine=mine: mine.extend(clock.stamp() for _ in range(2_000)))
            for mine in stamps
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    assert all(mine == sorted(mine) for mine in stamps)
    assert len({stamp for mine in stamps for stamp in mine}) == 8_000
