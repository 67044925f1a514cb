"""Sleeps, and what they do to time."""

from datetime import UTC, datetime, timedelta

import pytest

from steprig.inngest.dev_server import DevServer
from steprig.kernel import TimerKind, VirtualClock

from .stacks import STACKS
from .stage import Stage, output

ABOUT = timedelta(seconds=5)
"""How exact a time can be that depends on when an SDK asked what time it is."""


def test_a_sleep_of_thirty_days_takes_thirty_days_of_virtual_time(stage):
    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep("nap", timedelta(days=30))
        return "woke"

    before = stage.clock.now()
    run = stage.run("sleeper")

    assert output(run) == "woke"
    assert abs(stage.clock.now() - before - timedelta(days=30)) < ABOUT
    assert stage.calls_of("sleeper") == ["step"] * 2


def test_sleeps_one_after_the_other_add_up(stage):
    @stage.function("sleeper")
    def sleeper(ctx):
        for day in range(5):
            yield ctx.step.sleep(f"day {day}", timedelta(days=1))

    before = stage.clock.now()
    stage.run("sleeper")

    assert abs(stage.clock.now() - before - timedelta(days=5)) < ABOUT


def test_a_sleep_given_in_milliseconds(stage):
    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep("nap", 90_000)

    before = stage.clock.now()
    stage.run("sleeper")

    assert abs(stage.clock.now() - before - timedelta(seconds=90)) < ABOUT


def test_sleep_until_a_time(stage):
    until = datetime.now(UTC) + timedelta(hours=3)

    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep_until("nap", until)

    stage.run("sleeper")

    assert abs(stage.clock.now() - until) < ABOUT


def test_sleep_until_a_time_that_is_past_ends_at_once(stage):
    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep_until("nap", datetime(2001, 1, 1, tzinfo=UTC))
        return "awake"

    before = stage.clock.now()

    assert output(stage.run("sleeper")) == "awake"
    assert stage.clock.now() - before < ABOUT


def test_a_sleep_of_more_than_366_days_fails_the_run(stage):
    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep("nap", timedelta(days=400))

    assert stage.run("sleeper").failure.name == "InngestErrTimeoutTooLong"


def test_runs_wake_in_the_order_in_which_their_sleeps_end(stage):
    woke = []

    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep("nap", timedelta(hours=ctx.event.data["hours"]))
        woke.append(ctx.event.data["hours"])

    stage.serve()
    with stage.clock.working("the test, which sends all events first"):
        run_ids = [stage.start("sleeper", {"hours": hours}) for hours in (3, 1, 2)]
    for run_id in run_ids:
        stage.ended(run_id)

    assert woke == [1, 2, 3]


@pytest.mark.parametrize("start", [datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)])
def test_a_sleep_takes_its_time_on_a_clock_that_shows_another_year(start):
    with VirtualClock(start=start) as clock, DevServer(clock=clock) as dev:
        stage = Stage(STACKS[0], dev)

        @stage.function("sleeper")
        def sleeper(ctx):
            yield ctx.step.sleep("nap", timedelta(hours=1))
            yield ctx.step.sleep("nap", timedelta(hours=1))
            return "woke"

        run = stage.run("sleeper")
        stage.close()

    assert output(run) == "woke"
    assert abs(clock.now() - start - timedelta(hours=2)) < ABOUT


def test_python_time_that_follows_the_clock_makes_sleeps_exact(dev):
    stage = Stage(STACKS[0], dev)

    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep("nap", timedelta(days=1))
        yield ctx.step.sleep("nap", timedelta(days=1))

    stage.serve()
    with stage.clock.freeze_python_time():
        before = stage.clock.now()
        stage.run("sleeper")
        assert abs(stage.clock.now() - before - timedelta(days=2)) < ABOUT
    stage.close()


def test_an_event_of_the_future_starts_its_function_then(stage):
    @stage.function("later")
    def later(ctx):
        return None

    now = stage.clock.now()
    at = datetime.now(UTC) + timedelta(hours=6)
    run = stage.run("later", ts=int(at.timestamp() * 1000))

    assert abs(run.started_at - at) < ABOUT
    assert run.queued_at - now < ABOUT


def test_a_run_that_is_to_start_in_the_future_is_queued_and_has_no_trace(stage):
    @stage.function("later")
    def later(ctx):
        return None

    stage.serve()
    with stage.clock.working("the test, which looks before time goes on"):
        at = datetime.now(UTC) + timedelta(hours=6)
        run_id = stage.start("later", ts=int(at.timestamp() * 1000))
        query = "query Q($id: String!) { run(runID: $id) { status startedAt trace { name } } }"
        asked = {"query": query, "variables": {"id": run_id}}
        shown = stage.http.post("/v0/gql", json=asked).json()["data"]["run"]

        assert shown == {"status": "QUEUED", "startedAt": None, "trace": None}
        assert stage.calls == []


def test_an_event_of_the_past_starts_its_function_at_once(stage):
    @stage.function("old")
    def old(ctx):
        return ctx.event.ts

    assert output(stage.run("old", ts=978_307_200_000)) == 978_307_200_000


def test_sleeps_are_timers_that_the_clock_may_jump_to_and_waits_are_not(stage):
    @stage.function("both")
    def both(ctx):
        yield ctx.group.parallel(
            (
                lambda: ctx.step.sleep("nap", timedelta(hours=1)),
                lambda: ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(minutes=1)),
            )
        )

    run_id = stage.start("both")
    stage.reached(run_id, lambda run: any(span.name == "nap" and span.status.ended for span in run.spans))

    assert [timer.kind for timer in stage.clock.pending] == [TimerKind.DEADLINE]


def test_real_time_is_waited_for_without_a_virtual_clock():
    with DevServer() as dev:
        stage = Stage(STACKS[0], dev)

        @stage.function("sleeper")
        def sleeper(ctx):
            yield ctx.step.sleep("nap", 50)

        run = stage.run("sleeper")
        stage.close()

    assert run.status == "completed"
    assert run.ended_at - run.queued_at >= timedelta(milliseconds=49)
