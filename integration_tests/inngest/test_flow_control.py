"""Flow control, on the virtual clock: an hour of debouncing takes milliseconds."""

import asyncio
from datetime import timedelta

import inngest
import pytest

from steprig.kernel import Status

from ..waiting import until
from .stage import output


def send_many(stage, name, *data):
    """Several events in one request. Returns their internal ids."""
    if not stage._servers:
        stage.serve()
    return stage.client.send_sync([inngest.Event(name=name, data=one) for one in data])


def all_ended(stage, fn_id, number):
    """The runs of a function, once there are so many and all are over."""
    until(lambda: len(runs := stage.runs(fn_id)) == number and all(run.status.ended for run in runs), f"{number} runs")
    return stage.runs(fn_id)


def seconds_after_the_first(runs):
    starts = sorted(run.started_at for run in runs)
    return [round((start - starts[0]).total_seconds()) for start in starts]


class Overlap:
    """How many calls of a function are under way at once."""

    def __init__(self):
        self.most = self._now = 0

    def __enter__(self):
        self._now += 1
        self.most = max(self.most, self._now)

    def __exit__(self, *error):
        self._now -= 1


# --- Concurrency --------------------------------------------------------------------------------------


def test_no_more_calls_are_in_flight_than_the_limit_and_as_many_as_it_allows(one_stage):
    overlap, pairs = Overlap(), asyncio.Barrier(2)

    @one_stage.function("limited", concurrency=[inngest.Concurrency(limit=2)])
    def limited(ctx):
        with overlap:
            yield pairs.wait()

    send_many(one_stage, "test/limited", *({"n": n} for n in range(8)))

    assert {run.status for run in all_ended(one_stage, "limited", 8)} == {Status.COMPLETED}
    assert overlap.most == 2


def test_each_value_of_a_key_has_a_limit_of_its_own(one_stage):
    both_keys, overlaps = asyncio.Barrier(2), {"a": Overlap(), "b": Overlap()}

    @one_stage.function("keyed", concurrency=[inngest.Concurrency(limit=1, key="event.data.who")])
    def keyed(ctx):
        with overlaps[ctx.event.data["who"]]:
            yield both_keys.wait()

    send_many(one_stage, "test/keyed", *({"who": who} for who in "aaabbb"))

    all_ended(one_stage, "keyed", 6)
    assert [overlap.most for overlap in overlaps.values()] == [1, 1]


@pytest.mark.parametrize("scope", ["env", "account"])
def test_functions_share_a_limit_beyond_their_own_scope(one_stage, scope):
    overlap = Overlap()

    for name in ("one", "two"):

        @one_stage.function(
            name,
            trigger=inngest.TriggerEvent(event="test/shared"),
            concurrency=[inngest.Concurrency(limit=1, key="event.data.who", scope=scope)],
        )
        def shared(ctx):
            with overlap:
                yield asyncio.sleep(0)

    send_many(one_stage, "test/shared", *({"who": "a"} for _ in range(4)))

    all_ended(one_stage, "one", 4)
    all_ended(one_stage, "two", 4)
    assert overlap.most == 1


def test_runs_that_sleep_hold_no_place(one_stage):
    @one_stage.function("sleeper", concurrency=[inngest.Concurrency(limit=1)])
    def sleeper(ctx):
        yield ctx.step.wait_for_event("wait", event="test/wake", timeout=timedelta(days=1))

    first, second = (one_stage.start("sleeper"), one_stage.start("sleeper"))

    one_stage.waiting(first, "wait")
    one_stage.waiting(second, "wait")


def test_a_run_of_higher_priority_goes_first(one_stage):
    order = []

    @one_stage.function(
        "urgent", concurrency=[inngest.Concurrency(limit=1)], priority=inngest.Priority(run="event.data.priority")
    )
    def urgent(ctx):
        order.append(ctx.event.data["priority"])
        yield asyncio.sleep(0)

    send_many(one_stage, "test/urgent", *({"priority": priority} for priority in (0, 0, -600, 600, 60)))

    all_ended(one_stage, "urgent", 5)
    assert order == [0, 600, 60, 0, -600]


# --- Throttle, rate limit, idempotency ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("throttle", "starts"),
    [
        ({"limit": 2, "period": timedelta(seconds=4), "burst": 0}, [0, 0, 2, 4, 6]),
        ({"limit": 1, "period": timedelta(seconds=2), "burst": 1}, [0, 0, 2, 4, 6]),
        ({"limit": 3, "period": timedelta(seconds=6), "burst": 0}, [0, 0, 0, 2, 4]),
        ({"limit": 3, "period": timedelta(seconds=6), "burst": 1}, [0, 0, 0, 0, 2]),
    ],
)
def test_throttled_runs_start_one_by_one(one_stage, throttle, starts):
    @one_stage.function("throttled", throttle=inngest.Throttle(**throttle))
    def throttled(ctx):
        yield asyncio.sleep(0)

    send_many(one_stage, "test/throttled", *({} for _ in range(5)))

    assert seconds_after_the_first(all_ended(one_stage, "throttled", 5)) == starts


def test_runs_that_wait_for_one_another_are_still_throttled(one_stage):
    @one_stage.function(
        "both",
        concurrency=[inngest.Concurrency(limit=1)],
        throttle=inngest.Throttle(limit=1, period=timedelta(minutes=1), burst=0),
    )
    def both(ctx):
        yield ctx.step.sleep("s", timedelta(minutes=10 if ctx.event.data["long"] else 0))
        yield asyncio.sleep(0)

    send_many(one_stage, "test/both", *({"long": number == 0} for number in range(4)))

    assert seconds_after_the_first(all_ended(one_stage, "both", 4)) == [0, 60, 120, 180]


def test_throttled_runs_start_by_their_priority(one_stage):
    order = []

    @one_stage.function(
        "urgent",
        priority=inngest.Priority(run="event.data.priority"),
        throttle=inngest.Throttle(limit=1, period=timedelta(minutes=1), burst=0),
    )
    def urgent(ctx):
        order.append(ctx.event.data["priority"])
        yield asyncio.sleep(0)

    send_many(one_stage, "test/urgent", *({"priority": priority} for priority in (0, -600, 600, 60)))

    all_ended(one_stage, "urgent", 4)
    assert order == [0, 600, 60, -600]


def test_a_throttled_run_that_is_cancelled_leaves_its_turn_to_the_next(one_stage):
    @one_stage.function(
        "cancelled",
        throttle=inngest.Throttle(limit=1, period=timedelta(hours=1), burst=0),
        cancel=[inngest.Cancel(event="test/cancel", if_exp="event.data.n == async.data.n")],
    )
    def cancelled(ctx):
        yield asyncio.sleep(0)

    with one_stage.clock.working("sending"):
        send_many(one_stage, "test/cancelled", *({"n": n} for n in range(4)))
        send_many(one_stage, "test/cancel", {"n": 1}, {"n": 2})
    runs = all_ended(one_stage, "cancelled", 4)

    assert [run.status for run in runs].count(Status.CANCELLED) == 2
    assert seconds_after_the_first([run for run in runs if run.started_at]) == [0, 3600]


def test_only_the_start_of_a_run_is_throttled(one_stage):
    @one_stage.function("steps", throttle=inngest.Throttle(limit=1, period=timedelta(hours=1), burst=0))
    def steps(ctx):
        for number in range(3):
            yield ctx.step.run(f"step {number}", one_stage.written(lambda: 1))

    run = one_stage.run("steps")

    assert run.ended_at - run.started_at < timedelta(hours=1)


@pytest.mark.parametrize(("limit", "seconds", "accepted"), [(3, 6, 1), (10, 60, 2)])
def test_events_beyond_the_rate_start_nothing(one_stage, limit, seconds, accepted):
    period = timedelta(seconds=seconds)

    @one_stage.function("limited", rate_limit=inngest.RateLimit(limit=limit, period=period))
    def limited(ctx):
        return "ran"
        yield

    ids = send_many(one_stage, "test/limited", *({} for _ in range(5)))

    assert [len(one_stage.runs_of(event_id)) for event_id in ids] == [1] * accepted + [0] * (5 - accepted)
    one_stage.clock.advance(period / limit)
    assert one_stage.run("limited").status is Status.COMPLETED


def test_a_rate_key_that_is_false_does_not_apply(one_stage):
    @one_stage.function("keyed", rate_limit=inngest.RateLimit(limit=1, period=60_000, key="event.data.limited"))
    def keyed(ctx):
        return "ran"
        yield

    ids = send_many(one_stage, "test/keyed", {"limited": False}, {"limited": False}, {"limited": "x"}, {"limited": "x"})

    assert [len(one_stage.runs_of(event_id)) for event_id in ids] == [1, 1, 1, 0]


def test_an_idempotency_key_starts_a_function_once_a_day(one_stage):
    @one_stage.function("once", idempotency="event.data.order")
    def once(ctx):
        return "ran"
        yield

    ids = send_many(one_stage, "test/once", {"order": "a"}, {"order": "a"}, {"order": "b"})

    assert [len(one_stage.runs_of(event_id)) for event_id in ids] == [1, 0, 1]
    one_stage.clock.advance(hours=24)
    assert one_stage.run("once", {"order": "a"}).status is Status.COMPLETED


# --- Debounce and batches -----------------------------------------------------------------------------


def test_the_last_of_debounced_events_starts_the_run_after_the_quiet(one_stage):
    @one_stage.function("quiet", debounce=inngest.Debounce(period=timedelta(hours=1)))
    def quiet(ctx):
        return [event.data["n"] for event in ctx.events]
        yield

    before = one_stage.clock.now()
    send_many(one_stage, "test/quiet", {"n": 1}, {"n": 2}, {"n": 3})

    (run,) = all_ended(one_stage, "quiet", 1)
    assert output(run) == [3]
    assert timedelta(hours=1) <= run.started_at - before < timedelta(hours=1, seconds=1)


def test_debounced_events_are_told_apart_by_their_key(one_stage):
    @one_stage.function("quiet", debounce=inngest.Debounce(period=timedelta(hours=1), key="event.data.who"))
    def quiet(ctx):
        return ctx.event.data["n"]
        yield

    send_many(one_stage, "test/quiet", {"who": "a", "n": 1}, {"who": "b", "n": 2}, {"who": "a", "n": 3})

    assert sorted(output(run) for run in all_ended(one_stage, "quiet", 2)) == [2, 3]


def test_a_full_batch_starts_at_once(one_stage):
    @one_stage.function("batched", batch_events=inngest.Batch(max_size=3, timeout=timedelta(seconds=50)))
    def batched(ctx):
        return [event.data["n"] for event in ctx.events]
        yield

    before = one_stage.clock.now()
    send_many(one_stage, "test/batched", {"n": 1}, {"n": 2}, {"n": 3})

    (run,) = all_ended(one_stage, "batched", 1)
    assert output(run) == [1, 2, 3]
    assert run.started_at - before < timedelta(seconds=1)


def test_a_batch_that_does_not_fill_starts_at_its_timeout(one_stage):
    @one_stage.function("batched", batch_events=inngest.Batch(max_size=3, timeout=timedelta(seconds=50)))
    def batched(ctx):
        return [event.data["n"] for event in ctx.events]
        yield

    before = one_stage.clock.now()
    ids = send_many(one_stage, "test/batched", {"n": 1}, {"n": 2})

    (run,) = all_ended(one_stage, "batched", 1)
    assert output(run) == [1, 2]
    assert timedelta(seconds=50) <= run.started_at - before < timedelta(seconds=51)
    assert [one_stage.runs_of(event_id)[0]["run_id"] for event_id in ids] == [run.id, run.id]


def test_an_event_that_the_batch_does_not_take_runs_alone(one_stage):
    @one_stage.function(
        "batched", batch_events=inngest.Batch(max_size=2, timeout=timedelta(seconds=50), if_exp="event.data.small")
    )
    def batched(ctx):
        return [event.data["n"] for event in ctx.events]
        yield

    send_many(one_stage, "test/batched", {"n": 1, "small": True}, {"n": 2, "small": False}, {"n": 3, "small": True})

    assert sorted(output(run) for run in all_ended(one_stage, "batched", 2)) == [[1, 3], [2]]


# --- Singletons ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "first_ends", "runs"), [("skip", None, 1), ("cancel", Status.CANCELLED, 2)])
def test_a_singleton_runs_once_at_a_time(one_stage, mode, first_ends, runs):
    @one_stage.function("single", singleton=inngest.Singleton(mode=mode, key="event.data.who"))
    def single(ctx):
        yield ctx.step.wait_for_event("wait", event="test/wake", timeout=timedelta(days=1))

    first = one_stage.start("single", {"who": "a"})
    one_stage.waiting(first, "wait")
    one_stage.send("test/single", {"who": "a"})
    other = one_stage.start("single", {"who": "b"})
    one_stage.waiting(other, "wait")

    assert len(one_stage.runs("single")) == runs + 1
    if first_ends is None:
        assert not one_stage.dev.timeline.run(first).status.ended
    else:
        assert one_stage.ended(first).status is first_ends


def test_a_singleton_runs_again_once_it_is_over(one_stage):
    @one_stage.function("single", singleton=inngest.Singleton(mode="skip"))
    def single(ctx):
        return "ran"
        yield

    assert one_stage.run("single").status is Status.COMPLETED
    assert one_stage.run("single").status is Status.COMPLETED


# --- Timeouts and cancellation ------------------------------------------------------------------------


def test_a_run_that_does_not_start_in_time_is_cancelled(one_stage):
    @one_stage.function(
        "late",
        throttle=inngest.Throttle(limit=1, period=timedelta(hours=2), burst=0),
        timeouts=inngest.Timeouts(start=timedelta(hours=1)),
    )
    def late(ctx):
        return "ran"
        yield

    send_many(one_stage, "test/late", {}, {})

    first, second = all_ended(one_stage, "late", 2)
    assert (first.status, second.status) == (Status.COMPLETED, Status.CANCELLED)
    assert second.started_at is None


def test_a_run_that_has_started_in_time_may_take_long(one_stage):
    @one_stage.function("long", timeouts=inngest.Timeouts(start=timedelta(hours=1)))
    def long(ctx):
        yield ctx.step.sleep("long", timedelta(hours=2))

    assert one_stage.run("long").status is Status.COMPLETED


def test_a_run_that_does_not_finish_in_time_is_cancelled_even_while_it_sleeps(one_stage):
    @one_stage.function("slow", timeouts=inngest.Timeouts(finish=timedelta(hours=1)))
    def slow(ctx):
        yield ctx.step.sleep("long", timedelta(hours=2))

    run = one_stage.run("slow")

    assert run.status is Status.CANCELLED
    assert round((run.ended_at - run.started_at) / timedelta(hours=1), 3) == 1


@pytest.fixture(params=["sleeping", "waiting", "invoking", "running"])
def busy(request, one_stage):
    """A run that is doing something, and can be cancelled by `test/stop`."""
    at_work, go_on = asyncio.Event(), asyncio.Event()

    @one_stage.function("child")
    def child(ctx):
        yield ctx.step.wait_for_event("for ever", event="test/never", timeout=timedelta(days=9))

    stop = inngest.Cancel(event="test/stop", if_exp="async.data.who == event.data.who")

    @one_stage.function("busy", cancel=[stop])
    def busy(ctx):
        if request.param == "sleeping":
            # Not a sleep: the clock would skip it. A wait for nothing is what a sleep is to the platform.
            yield ctx.step.wait_for_event("sleep", event="test/none", timeout=timedelta(days=9))
        elif request.param == "waiting":
            yield ctx.step.wait_for_event("wait", event="test/wake", timeout=timedelta(days=9))
        elif request.param == "invoking":
            yield ctx.step.invoke("invoke", function=child, timeout=timedelta(days=9))
        else:
            at_work.set()
            yield go_on.wait()
        return "not cancelled"

    run_id = one_stage.start("busy", {"who": 7})
    if request.param == "running":
        until(at_work.is_set)
    else:
        one_stage.reached(run_id, lambda run: any(span.status is Status.WAITING for span in run.spans))
    yield run_id
    go_on._loop and go_on._loop.call_soon_threadsafe(go_on.set)


def test_an_event_cancels_a_run_whatever_it_does(one_stage, busy):
    one_stage.send("test/stop", {"who": 7})

    assert one_stage.ended(busy).status is Status.CANCELLED
    (told,) = until(lambda: one_stage.events("inngest/function.cancelled"))
    assert told["data"]["run_id"] == busy
    assert one_stage.events("inngest/function.failed") == []


def test_an_event_that_does_not_match_cancels_nothing(one_stage, busy):
    one_stage.send("test/stop", {"who": 8})
    one_stage.send("test/other", {"who": 7})

    assert not one_stage.dev.timeline.run(busy).status.ended


def test_an_event_cancels_only_within_its_timeout(one_stage):
    @one_stage.function("busy", cancel=[inngest.Cancel(event="test/stop", timeout=timedelta(hours=1))])
    def busy(ctx):
        yield ctx.step.wait_for_event("wait", event="test/wake", timeout=timedelta(days=9))

    late, early = one_stage.start("busy"), one_stage.start("busy")
    one_stage.waiting(late, "wait")
    one_stage.waiting(early, "wait")
    one_stage.clock.advance(hours=2)
    one_stage.send("test/stop")
    assert not one_stage.dev.timeline.run(late).status.ended

    fresh = one_stage.start("busy")
    one_stage.send("test/stop")
    assert one_stage.ended(fresh).status is Status.CANCELLED
