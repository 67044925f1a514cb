"""Another thread that gets in at any moment at which the clock's lock is free: each such moment is tried in turn."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from steprig.kernel import ClockTimeoutError, TimerKind, VirtualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class LockWithGaps:
    """A re-entrant lock. The `at`-th time that it is let go, `act` is done by another thread before all else."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._gaps_left = at
        self._act = act

    def acquire(self, *args: float) -> bool:
        taken = self._lock.acquire(*args)  # type: ignore[arg-type]
        self._depth += taken
        return taken

    def release(self) -> None:
        self._depth -= 1
        outermost = not self._depth
        self._lock.release()
        if outermost:
            self._gaps_left -= 1
            if not self._gaps_left:
                _on_another_thread(self._act)

    @property
    def came_to_it(self) -> bool:
        return self._gaps_left <= 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> object:
        return getattr(self._lock, name)  # what a Condition needs to wait


def _on_another_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def _open_gap(clock: VirtualClock, at: int, act: Callable[[], object]) -> LockWithGaps:
    lock = LockWithGaps(at, act)
    clock._lock = lock  # type: ignore[assignment]
    clock._idle = threading.Condition(lock)  # type: ignore[arg-type]
    return lock


def _advance(clock: VirtualClock) -> None:
    clock.advance(4 * HOUR, timeout=0.002)


def _run_until_idle(clock: VirtualClock) -> None:
    clock.run_until_idle(deadlines=True, timeout=0.002)


def _wait(clock: VirtualClock) -> None:
    with clock.awaiting_result(skip_deadlines=True):
        pass


def _end_work(clock: VirtualClock) -> None:
    clock.working("mine").done()


MOVES = [_advance, _run_until_idle, _wait, _end_work]


def _set_timers(clock: VirtualClock, fired: list[datetime]) -> None:
    with clock.working("set"):
        for hours, kind in enumerate((TimerKind.DEADLINE, TimerKind.DELAY, TimerKind.DEADLINE), 1):
            clock.call_later(hours * HOUR, lambda: fired.append(clock.now()), kind=kind)


@pytest.mark.parametrize("move", MOVES)
def test_time_stands_from_the_moment_at_which_work_begins(move: Callable[[VirtualClock], None]) -> None:
    for at in count(1):
        begun: list[datetime] = []
        fired: list[datetime] = []

        clock = VirtualClock(start=START)

        def begin() -> None:
            clock.working("theirs")  # noqa: B023
            begun.append(clock.now())  # noqa: B023

        lock = _open_gap(clock, at, begin)
        with suppress(ClockTimeoutError):
            _set_timers(clock, fired)
            move(clock)
        if not lock.came_to_it:
            break
        assert begun == [clock.now()], f"time moved after work began in gap {at}"
    assert at > 3


@pytest.mark.parametrize("move", MOVES)
def test_nothing_is_left_standing_whenever_work_ends(move: Callable[[VirtualClock], None]) -> None:
    for at in count(1):
        fired: list[datetime] = []
        clock = VirtualClock(start=START)
        lock = _open_gap(clock, at, clock.working("theirs").done)
        with suppress(ClockTimeoutError):
            _set_timers(clock, fired)
            move(clock)
        if not lock.came_to_it:
            break
        left = [timer for timer in clock.pending if timer.kind is TimerKind.DELAY]
        assert left == [], f"nobody jumped after work ended in gap {at}"
        assert clock.in_flight == {}
    assert at > 3


@pytest.mark.parametrize("move", MOVES)
def test_a_timer_set_at_any_moment_is_fired_and_not_late(move: Callable[[VirtualClock], None]) -> None:
    for at in count(1):
        late: list[tuple[datetime, datetime]] = []
        extra: list[datetime] = []

        clock = VirtualClock(start=START)

        def add() -> None:
            with clock.working("theirs"):  # noqa: B023
                when = clock.now() + HOUR / 2  # noqa: B023

                def fire() -> None:
                    extra.append(when)  # noqa: B023
                    if clock.now() != when:  # noqa: B023
                        late.append((when, clock.now()))  # noqa: B023

                clock.call_at(when, fire)  # noqa: B023

        lock = _open_gap(clock, at, add)
        with suppress(ClockTimeoutError):
            _set_timers(clock, [])
            move(clock)
        if not lock.came_to_it:
            break
        assert len(extra) == 1, f"a timer set in gap {at} never fired"
        assert late == [], f"a timer set in gap {at} fired late"
    assert at > 3


def test_a_clock_under_a_hand_does_not_jump_for_another_thread() -> None:
    for at in count(1):
        fired: list[timedelta] = []
        clock = VirtualClock(start=START)
        for hours in (1, 3):
            clock.call_later(hours * HOUR, lambda: fired.append(clock.now() - START), kind=TimerKind.DEADLINE)  # noqa: B023
        lock = _open_gap(clock, at, lambda: clock.call_at(START + 10 * HOUR, lambda: None))  # noqa: B023
        clock.advance(4 * HOUR)
        if not lock.came_to_it:
            break
        assert fired == [HOUR, 3 * HOUR], f"the clock jumped in gap {at}"
        assert clock.now() == START + 10 * HOUR
    assert at > 3
