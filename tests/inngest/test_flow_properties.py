"""The engine under whatever mix of flow control, failures and cancellations: what holds all the same."""

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.inngest.flow.rates import rate_limit_rate, throttle_rate
from steprig.kernel import Status

from .flow_world import BROKEN, FATAL, OK, SILENT, Fn, Limit, Plan, Sent

PERIOD = timedelta(seconds=10)

holds = settings(max_examples=50, deadline=None)

limits = st.builds(Limit, st.integers(1, 3), st.booleans(), st.just("fn"))
concurrency = st.lists(
    st.one_of(
        limits,
        st.builds(Limit, st.integers(1, 3), st.just(True), st.sampled_from(["env", "account"])),
    ),
    max_size=2,
).map(tuple)


@st.composite
def functions(draw, number=0, dropping=True):
    """A function with a mix of controls that may be used together. `dropping` ones may drop an event."""
    batched = draw(st.booleans()) and draw(st.booleans())
    fn = Fn(
        number,
        steps=draw(st.integers(0, 3)),
        parallel=draw(st.booleans()),
        retries=draw(st.integers(0, 2)),
        concurrency=draw(concurrency),
        throttle=draw(st.none() | limits),
        burst=draw(st.integers(0, 2)),
    )
    if batched:
        return fn._replace(batch=Limit(draw(st.integers(2, 4)), draw(st.booleans())))
    fn = fn._replace(priority=draw(st.booleans()))
    if not dropping:
        return fn
    return fn._replace(
        rate_limit=draw(st.none() | limits),
        debounce=draw(st.none() | st.integers(1, 20)),
        singleton=draw(st.sampled_from([None, None, "skip", "cancel"])),
    )


outcomes = st.lists(st.sampled_from([OK, OK, OK, SILENT, BROKEN, FATAL]), min_size=1, max_size=12)
durations = st.none() | st.lists(st.integers(0, 40), min_size=1, max_size=5)


@st.composite
def plans(draw, dropping=True, durations=durations, **fixed):
    """Some functions and some events, and calls that take time or none."""
    fns = [draw(functions(number, dropping))._replace(**fixed) for number in range(draw(st.integers(1, 3)))]
    sent = st.builds(
        Sent,
        gap=st.sampled_from([0, 0, 0, 1, 4, 15]),
        function=st.integers(0, len(fns) - 1),
        key=st.sampled_from("ab"),
        priority=st.integers(-20, 20),
        cancels=st.integers(0, 5).map(lambda number: number == 5),
    )
    return Plan(fns, draw(st.lists(sent, min_size=1, max_size=25)), draw(outcomes), draw(durations))


def data(event):
    return msgspec.json.decode(event.data)


def runs_of(world, fn):
    return [run for run in world.runs if run.name == fn.slug]


def starts(world, fn, limit):
    """When the runs of a function were first called, for each key that a limit counts separately."""
    first = {}
    for call in world.calls:
        first.setdefault(call.run_id, call.began)
    by_key = defaultdict(list)
    for run in runs_of(world, fn):
        if run.id in first:
            by_key[data(run.events[0])["k"] if limit.keyed else ""].append(first[run.id])
    return {key: sorted(times) for key, times in by_key.items()}


# --- Nothing is lost, nothing is run twice -----------------------------------------------------------------


@holds
@given(plan=plans(dropping=False))
def test_every_event_starts_exactly_one_run_where_no_control_may_drop_it(plan):
    world = plan.play()

    started = Counter(data(event)["n"] for run in world.runs for event in run.events)

    assert started == Counter(range(len(world.sent)))


@holds
@given(plan=plans())
def test_no_event_starts_two_runs_and_none_starts_a_run_of_another_function(plan):
    world = plan.play()

    started = Counter()
    for run in world.runs:
        for event in run.events:
            started[data(event)["n"]] += 1
            assert run.name == f"app-{world.sent[data(event)['n']].function}"

    assert all(number == 1 for number in started.values())


@holds
@given(plan=plans())
def test_every_run_ends_so_that_nothing_starves(plan):
    world = plan.play()

    assert [run.name for run in world.runs if not run.status.ended] == []


@holds
@given(plan=plans())
def test_no_step_that_has_succeeded_is_run_again(plan):
    world = plan.play()

    assert [step for step, number in world.steps_given.items() if number > 1] == []


@holds
@given(plan=plans())
def test_a_run_that_completes_has_run_each_of_its_steps_once(plan):
    world = plan.play()

    for run in world.runs:
        if run.status is Status.COMPLETED:
            fn = world.functions[int(run.name.rpartition("-")[2])]
            steps = [step for run_id, step in world.steps_given if run_id == run.id]
            assert sorted(steps) == [f"step{number}" for number in range(fn.steps)]
            assert msgspec.json.decode(run.output) == sorted(steps)


@holds
@given(plan=plans())
def test_attempts_are_numbered_without_a_gap_and_never_more_than_allowed(plan):
    world = plan.play()

    attempts = defaultdict(list)
    for call in world.calls:
        attempts[call.run_id].append(call)
    for run_id, calls in attempts.items():
        fn = world.functions[int(world.queued[run_id].function.rpartition("-")[2])]
        before = defaultdict(lambda: -1)
        for call in calls:
            assert call.attempt <= fn.retries
            assert call.attempt in (0, before[call.step] + 1)
            before[call.step] = call.attempt


@holds
@given(plan=plans())
def test_a_run_fails_only_when_its_attempts_are_used_up_or_an_error_is_final(plan):
    world = plan.play()

    for run in world.runs:
        if run.status is Status.FAILED:
            fn = world.functions[int(run.name.rpartition("-")[2])]
            assert any(
                call.outcome == FATAL or (call.outcome != OK and call.attempt == fn.retries)
                for call in world.calls
                if call.run_id == run.id
            )


@holds
@given(plan=plans())
def test_a_run_is_cancelled_only_by_an_event_or_by_a_newer_singleton(plan):
    world = plan.play()

    for run in world.runs:
        if run.status is Status.CANCELLED:
            fn = world.functions[int(run.name.rpartition("-")[2])]
            asked = any(world.sent[data(event)["n"]].cancels for event in run.events)
            assert asked or fn.singleton == "cancel"


@holds
@given(plan=plans())
def test_nothing_is_kept_for_runs_that_have_ended(plan):
    effects = plan.play().engine._effects

    assert not effects._waits._by_event
    assert not effects._cancels._by_event
    assert not effects._timers._timers
    assert not effects._calls._slots._rows
    assert not effects._calls._slots._taken
    assert not effects._calls._slots._timers


# --- No limit is ever exceeded --------------------------------------------------------------------------------


@holds
@given(plan=plans())
def test_no_concurrency_limit_is_ever_exceeded(plan):
    world = plan.play()

    assert world.exceeded == []


@holds
@given(plan=plans(throttle=Limit(1)) | plans(throttle=Limit(3, keyed=True)))
def test_no_throttle_is_ever_exceeded(plan):
    world = plan.play()

    assert_throttled(world)


def test_no_throttle_is_exceeded_by_runs_that_had_to_wait_for_one_another():
    fn = Fn(steps=0, concurrency=(Limit(1),), throttle=Limit(1))
    world = Plan([fn], [Sent(gap=0, function=0)] * 3, durations=[40, 0]).play()

    assert_throttled(world)


def assert_throttled(world):
    for fn in world.functions:
        if fn.throttle is not None:
            rate = throttle_rate(fn.throttle.limit, PERIOD, fn.burst)
            for times in starts(world, fn, fn.throttle).values():
                assert_within(rate, times)


@holds
@given(plan=plans(rate_limit=Limit(1), batch=None) | plans(rate_limit=Limit(3, keyed=True), batch=None))
def test_no_rate_limit_is_ever_exceeded(plan):
    world = plan.play()

    for fn in world.functions:
        if fn.debounce is None:
            rate = rate_limit_rate(fn.rate_limit.limit, PERIOD)
            by_key = defaultdict(list)
            for run in runs_of(world, fn):
                by_key[data(run.events[0])["k"] if fn.rate_limit.keyed else ""].append(run.queued_at)
            for times in by_key.values():
                assert_within(rate, sorted(times))


def assert_within(rate, times):
    """In any stretch of time there are as many as the bucket holds, and those for which it is long enough."""
    for first, start in enumerate(times):
        for number, other in enumerate(times[first:], 1):
            # Marks of time are microseconds apart even while a clock stands.
            allowed = rate.capacity + (other - start + timedelta(milliseconds=1)) // rate.interval
            assert number <= allowed, f"{number} within {other - start}"


@holds
@given(plan=plans(batch=Limit(3, keyed=True), priority=False, rate_limit=None, debounce=None, singleton=None))
def test_a_batch_has_no_more_events_than_it_may_all_of_one_key_in_their_order(plan):
    world = plan.play()

    for run in world.runs:
        sent = [data(event) for event in run.events]
        assert 1 <= len(sent) <= 3
        assert len({event["k"] for event in sent}) == 1
        assert [event["n"] for event in sent] == sorted(event["n"] for event in sent)


@holds
@given(plan=plans(singleton="skip", batch=None) | plans(singleton="cancel", batch=None))
def test_no_two_runs_of_a_singleton_go_on_at_the_same_time(plan):
    world = plan.play()

    for fn in world.functions:
        runs = sorted(runs_of(world, fn), key=lambda run: run.queued_at)
        for run, newer in pairwise(runs):
            assert run.ended_at <= newer.queued_at


# --- Nothing starves --------------------------------------------------------------------------------------------


@holds
@given(seconds=st.integers(1, 40))
def test_a_priority_of_so_many_seconds_lets_runs_go_first_that_come_within_as_many_seconds_and_no_others(seconds):
    fn = Fn(steps=0, concurrency=(Limit(1),), priority=True)
    first, waiting = Sent(gap=0, function=0), Sent(gap=0, function=0)
    more_than_can_be_done = [Sent(gap=1, function=0, priority=seconds)] * 60
    world = Plan([fn], [first, waiting, *more_than_can_be_done], durations=[2]).play()

    order = [data(world.queued[call.run_id].events[0])["n"] for call in world.calls]
    assert order.index(1) == seconds


@holds
@given(plan=plans(dropping=False, durations=st.just([1]), throttle=None, batch=None, priority=False))
def test_runs_of_one_function_are_first_called_in_the_order_of_their_events(plan):
    world = plan.play()

    for fn in world.functions:
        if not any(limit.keyed for limit in fn.concurrency):
            first = [call for call in world.calls if call.step == "step" and call.attempt == 0]
            order = dict.fromkeys(call.run_id for call in first if world.queued[call.run_id].function == fn.slug)
            numbers = [data(world.queued[run_id].events[0])["n"] for run_id in order]
            assert numbers == sorted(numbers)
