"""Timers in their queue."""

import gc
import weakref
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprig.kernel import Timer, TimerKind
from steprig.kernel.timers import EVERY_KIND, TimerQueue

START = datetime(2030, 1, 1, tzinfo=UTC)

kinds = st.sampled_from(TimerKind)
seconds = st.integers(0, 5)


def timer(at: float = 0, kind: TimerKind = TimerKind.DELAY, label: str = "") -> Timer:
    return Timer(START + timedelta(seconds=at), lambda: None, kind, None, label)


@given(st.lists(st.tuples(seconds, kinds, st.booleans())), seconds, st.sets(kinds))
def test_what_is_due_comes_out_in_order_with_ties_as_they_were_made(
    made: list[tuple[int, TimerKind, bool]], until: int, wanted: set[TimerKind]
) -> None:
    queue, timers = TimerQueue(), []
    for at, kind, cancelled in made:
        timers.append(timer(at, kind))
        queue.push(timers[-1])
        if cancelled:
            timers[-1].cancel()
    due = queue.pop_due(START + timedelta(seconds=until), wanted)
    live = [
        one
        for one, (at, kind, cancelled) in zip(timers, made, strict=True)
        if at <= until and kind in wanted and not cancelled
    ]
    assert due == sorted(live, key=lambda one: one.when)
    assert queue.pop_due(START + timedelta(seconds=until), wanted) == []
    rest = [one for one in timers if one not in due and not one.cancelled]
    assert queue.pending() == sorted(rest, key=lambda one: one.when)


@given(st.lists(st.tuples(seconds, kinds, st.booleans())), st.sets(kinds))
def test_earliest_is_the_first_that_is_not_cancelled(
    made: list[tuple[int, TimerKind, bool]], wanted: set[TimerKind]
) -> None:
    queue = TimerQueue()
    for at, kind, cancelled in made:
        one = timer(at, kind)
        queue.push(one)
        if cancelled:
            one.cancel()
    live = [at for at, kind, cancelled in made if kind in wanted and not cancelled]
    assert queue.earliest(wanted) == (START + timedelta(seconds=min(live)) if live else None)


def test_cancelled_timers_do_not_pile_up_until_they_are_due() -> None:
    queue = TimerQueue()
    kept = [timer(1_000 + at) for at in range(10)]
    for one in kept:
        queue.push(one)
    for at in range(10_000):
        beaten = timer(at + 5_000, TimerKind.DELAY)
        queue.push(beaten)
        beaten.cancel()
    assert len(queue._heaps[TimerKind.DELAY]) < 200
    assert queue.pending() == kept


def test_a_cancelled_timer_lets_go_of_what_its_callback_holds() -> None:
    class Held:
        def __call__(self) -> None: ...

    held = Held()
    gone = weakref.ref(held)
    one = Timer(START, held, TimerKind.DELAY, None, "")
    one.cancel()
    del held
    gc.collect()
    assert gone() is None


def test_a_time_without_zone_is_refused_with_what_to_pass_instead() -> None:
    with pytest.raises(ValueError, match="no time zone; pass an aware datetime"):
        Timer(datetime(2030, 1, 1), lambda: None, TimerKind.DELAY, None, "")


def test_the_hour_that_autumn_shows_twice_is_in_order() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2030, 10, 27, 2, 50, fold=0, tzinfo=berlin)
    second = datetime(2030, 10, 27, 2, 10, fold=1, tzinfo=berlin)
    queue = TimerQueue()
    for when in (second, first):
        queue.push(Timer(when, lambda: None, TimerKind.DELAY, None, when.isoformat()))
    assert [one.label for one in queue.pop_due(second.astimezone(UTC), EVERY_KIND)] == [
        first.isoformat(),
        second.isoformat(),
    ]


def test_a_timer_says_what_it_is() -> None:
    assert repr(timer(label="sleep of nap")) == "<Timer sleep of nap (delay) at 2030-01-01T00:00:00+00:00>"
    assert timer(kind=TimerKind.DEADLINE).label == "deadline"
