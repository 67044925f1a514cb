"""Flow control without a server: no limit is ever exceeded, nothing starves, nothing is lost."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprig.inngest.events import Event, EventId
from steprig.inngest.flow.holds import Place, batched, debounced
from steprig.inngest.flow.policy import Batch, Debounce, Key
from steprig.inngest.flow.rates import Horizons, rate_limit_rate, throttle_rate
from steprig.inngest.flow.slots import Row, Slots, Taken
from steprig.inngest.flow.throttles import Throttle
from steprig.inngest.functions import Slug
from steprig.kernel import VirtualClock

START = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Place(Slug("app-fn"), "debounce", "")

seconds = st.integers(0, 30).map(lambda number: timedelta(seconds=number))


def event(number, ts=None):
    internal_id = EventId(f"event-{number}")
    return Event(internal_id=internal_id, name="e", data=b"{}", id=internal_id, ts=number if ts is None else ts)


# --- Rates --------------------------------------------------------------------------------------------


@given(limit=st.integers(1, 5), burst=st.integers(0, 3), gaps=st.lists(seconds, min_size=1, max_size=40))
def test_a_throttle_lets_no_more_start_in_any_window_than_its_bucket_holds(limit, burst, gaps):
    rate = throttle_rate(limit, timedelta(seconds=10), burst)
    horizon, now, starts = None, START, []
    for gap in gaps:
        now += gap
        starts.append(rate.allows_at(horizon, now))
        horizon = rate.after_one(horizon, now)

    assert starts == sorted(starts)
    for first, start in enumerate(starts):
        window = [other for other in starts[first:] if other - start < rate.interval]
        assert len(window) <= rate.capacity


@given(limit=st.integers(1, 5), burst=st.integers(0, 3), number=st.integers(1, 40))
def test_nothing_that_is_throttled_starves(limit, burst, number):
    rate = throttle_rate(limit, timedelta(seconds=10), burst)
    horizon = None
    for _ in range(number):
        start = rate.allows_at(horizon, START)
        horizon = rate.after_one(horizon, START)

    assert start - START == rate.interval * max(0, number - rate.capacity)


@pytest.mark.parametrize(("limit", "at_once"), [(1, 1), (3, 1), (10, 2), (29, 3)])
def test_a_rate_limit_admits_one_and_a_tenth_at_once(limit, at_once):
    assert rate_limit_rate(limit, timedelta(seconds=60)).capacity == at_once


def test_horizons_that_have_passed_are_forgotten():
    horizons = Horizons()

    for number in range(5000):
        now = START + timedelta(seconds=number)
        horizons.put((str(number),), now + timedelta(seconds=1), now)

    assert len(horizons._by_key) < 2000
    assert horizons.get(("4999",)) == START + timedelta(seconds=5000)


# --- Slots --------------------------------------------------------------------------------------------


class OneClock:
    """What slots need of a rig: its clock, here with callbacks run where time is moved."""

    def __init__(self):
        self.clock = VirtualClock(start=START, auto=False)

    def call_at(self, when, callback, *, kind, label):
        return self.clock.call_at(when, callback, kind=kind, label=label)


def rig():
    return OneClock()


limits = st.lists(st.builds(Taken, st.sampled_from([("a",), ("b",), ("c",)]), st.just(2)), max_size=2).map(tuple)
asking = st.lists(st.tuples(limits, st.integers(0, 3)), min_size=1, max_size=30)


@given(asking=asking, choices=st.lists(st.integers(0, 1000), min_size=200, max_size=200))
def test_places_are_never_exceeded_and_everybody_gets_one(asking, choices):
    slots, under_way, done, choice = Slots(rig()), [], [], iter(choices)

    for index, (taken, score) in enumerate(asking):
        slots.ask(Row(taken, None), score, lambda index=index: under_way.append(index))
        if next(choice) % 2 and under_way:
            end_one(slots, asking, under_way, done, next(choice))
    while under_way:
        end_one(slots, asking, under_way, done, next(choice))

    assert sorted(done) == list(range(len(asking)))
    assert not slots._rows
    assert not slots._rows_under
    assert not slots._taken


def end_one(slots, asking, under_way, done, choice):
    index = under_way.pop(choice % len(under_way))
    done.append(index)
    slots.give_back(asking[index][0])
    in_use = Counter(key for other in under_way for key in {taken.key for taken in asking[other][0]})
    assert all(number <= 2 for number in in_use.values())


def test_the_lowest_score_goes_first_and_ties_in_the_order_in_which_they_asked():
    slots, order, one = Slots(rig()), [], (Taken(("fn",), 1),)

    for name, score in (("now", 5), ("b", 2), ("c", 2), ("a", 1), ("d", 9)):
        slots.ask(Row(one, None), score, lambda name=name: order.append(name))
    for _ in range(4):
        slots.give_back(one)

    assert order == ["now", "a", "b", "c", "d"]


def test_one_whose_limit_is_exhausted_does_not_hold_up_others():
    slots, order = Slots(rig()), []
    busy, free = (Taken(("busy",), 1),), (Taken(("free",), 1),)

    slots.ask(Row(busy, None), 0, lambda: order.append("first"))
    slots.ask(Row((*busy, *free), None), 1, lambda: order.append("both"))
    slots.ask(Row(free, None), 2, lambda: order.append("free"))

    assert order == ["first", "free"]


def test_two_limits_of_one_key_count_a_call_once_and_the_lower_one_holds():
    slots, order, both = Slots(rig()), [], (Taken(("same",), 2), Taken(("same",), 3))

    for name in "abc":
        slots.ask(Row(both, None), 0, lambda name=name: order.append(name))
    assert order == ["a", "b"]
    slots.give_back(both)

    assert order == ["a", "b", "c"]


# --- Holds --------------------------------------------------------------------------------------------


@given(gaps=st.lists(seconds, min_size=1, max_size=20), timeout=st.none() | st.integers(1, 60))
def test_a_debounced_run_is_due_a_period_after_the_last_event_and_by_the_timeout(gaps, timeout):
    cap = None if timeout is None else timedelta(seconds=timeout)
    rule = Debounce(timedelta(seconds=31), cap, Key())
    hold, now = None, START
    for number, gap in enumerate(gaps):
        now += gap
        if hold is not None and hold.due <= now:
            break
        hold = debounced(hold, event(number), rule, PLACE, "hold", now)
        assert hold.events == (event(number),)
        assert hold.due == min(now + rule.period, datetime.max.replace(tzinfo=UTC) if cap is None else hold.began + cap)


def test_an_event_that_is_older_than_the_one_held_changes_nothing():
    rule = Debounce(timedelta(hours=1), None, Key())
    hold = debounced(None, event(1, ts=100), rule, PLACE, "hold", START)

    assert debounced(hold, event(2, ts=99), rule, PLACE, "hold", START + timedelta(minutes=1)) is hold
    assert debounced(hold, event(3, ts=100), rule, PLACE, "hold", START).events == (event(3, ts=100),)


@given(size=st.integers(2, 6), number=st.integers(1, 40))
def test_batches_lose_no_event_double_none_and_keep_their_order(size, number):
    rule, hold, runs = Batch(size, timedelta(seconds=5), Key(), None), None, []
    for index in range(number):
        hold = batched(hold, event(index), rule, PLACE, "hold", START)
        if hold.is_full:
            runs.append(hold.events)
            hold = None
    runs.append(() if hold is None else hold.events)

    assert all(len(events) == size for events in runs[:-1])
    assert [held for events in runs for held in events] == [event(index) for index in range(number)]


# --- Slots and throttles --------------------------------------------------------------------------------

HOURLY = Throttle(("fn", ""), throttle_rate(1, timedelta(hours=1), 0))


def test_a_turn_is_taken_by_a_start_and_not_by_waiting_for_a_place():
    one_rig, order, one = rig(), [], (Taken(("fn",), 1),)
    slots = Slots(one_rig)

    for name in "ab":
        slots.ask(Row(one, HOURLY), 0, lambda name=name: order.append((name, one_rig.clock.now() - START)))
    one_rig.clock.advance(timedelta(hours=5))
    slots.give_back(one)
    slots.ask(Row(one, HOURLY), 0, lambda: order.append(("c", one_rig.clock.now() - START)))
    slots.give_back(one)
    one_rig.clock.advance(timedelta(hours=5))

    assert order == [("a", timedelta()), ("b", timedelta(hours=5)), ("c", timedelta(hours=6))]


def test_a_start_that_its_throttle_holds_up_holds_no_place():
    one_rig, order, one = rig(), [], (Taken(("account", "k"), 1),)
    slots = Slots(one_rig)

    slots.ask(Row(one, HOURLY), 0, lambda: order.append("start"))
    slots.give_back(one)
    slots.ask(Row(one, HOURLY), 0, lambda: order.append("held up"))
    slots.ask(Row(one, None), 9, lambda: order.append("other"))

    assert order == ["start", "other"]


def test_the_lowest_score_is_the_next_to_start_whatever_its_limits():
    one_rig, order = rig(), []
    slots = Slots(one_rig)

    for name, score in (("now", 9), ("third", 3), ("second", 2), ("first", 1)):
        slots.ask(Row((Taken(("fn", name), 1),), HOURLY), score, lambda name=name: order.append(name))
    one_rig.clock.advance(timedelta(hours=3))

    assert order == ["now", "first", "second", "third"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_is_wanted_no_more_takes_no_turn(place):
    one_rig, order, unwanted = rig(), [], set()
    slots = Slots(one_rig)

    for number in range(4):
        slots.ask(
            Row((), HOURLY), 0, lambda number=number: order.append(number), lambda number=number: number not in unwanted
        )
    unwanted.add(1 + place)
    slots.look_again(Row((), HOURLY))
    one_rig.clock.advance(timedelta(hours=2))

    assert order == [number for number in range(4) if number not in unwanted]


def test_no_timer_is_left_when_nobody_wants_to_start_any_more():
    one_rig, wanted = rig(), [True]
    slots = Slots(one_rig)
    slots.ask(Row((), HOURLY), 0, lambda: None)
    slots.ask(Row((), HOURLY), 0, lambda: None, lambda: bool(wanted))

    wanted.clear()
    slots.look_again(Row((), HOURLY))

    assert not one_rig.clock.pending
    assert not slots._rows
    assert not slots._timers
