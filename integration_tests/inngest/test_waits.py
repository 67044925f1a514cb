"""`wait_for_event`: what ends it, and what does not."""

from datetime import timedelta

import inngest
import pytest

from .stage import output


@pytest.fixture
def waiter(stage):
    """A function that waits for `test/answer` on a condition, and gives the answer's data."""

    @stage.function("waiter")
    def waiter(ctx):
        answer = yield ctx.step.wait_for_event(
            "answer", event="test/answer", if_exp=ctx.event.data.get("if"), timeout=timedelta(hours=1)
        )
        return answer and answer.model_dump()

    return waiter


def begin(stage, condition=None, **data):
    run_id = stage.start("waiter", {"if": condition} | data)
    stage.waiting(run_id, "answer")
    return run_id


def test_an_event_that_meets_the_condition_is_given_to_the_run(stage, waiter):
    run_id = begin(stage, "async.data.order == event.data.order", order=7)

    stage.send("test/answer", {"order": 7, "by": "post"}, id="mine", ts=1_700_000_000_000)

    assert output(stage.ended(run_id)) == {
        "data": {"order": 7, "by": "post"},
        "id": "mine",
        "name": "test/answer",
        "ts": 1_700_000_000_000,
    }


def test_an_event_that_does_not_meet_the_condition_is_ignored(stage, waiter):
    run_id = begin(stage, "async.data.order == event.data.order", order=7)

    stage.send("test/answer", {"order": 8})
    stage.send("test/answer", {})
    stage.send("test/other", {"order": 7})
    assert stage.reached(run_id, lambda run: True).status == "running"
    stage.send("test/answer", {"order": 7, "right": True})

    assert output(stage.ended(run_id))["data"]["right"]


@pytest.mark.parametrize("condition", [None, ""])
def test_without_a_condition_any_event_of_the_name_ends_the_wait(stage, waiter, condition):
    run_id = begin(stage, condition)

    stage.send("test/answer", {"any": "thing"})

    assert output(stage.ended(run_id))["data"] == {"any": "thing"}


@pytest.mark.parametrize(
    ("condition", "data"),
    [
        ("async.data.n == 1", {"n": 1.0}),
        ("async.data.who == 'me' && event.data.x > 0.5", {"who": "me"}),
        ("async.data.ok == true", {"ok": True}),
        ("async.data.tags.exists(tag, tag == 'b')", {"tags": ["a", "b"]}),
        ("async.data.nothing == null", {"nothing": None}),
        ("!(async.data.missing == 1)", {}),
        ("async.data['a key'] == event.data[\"key 'quoted'\"]", {"a key": "☃"}),
    ],
)
def test_conditions_see_numbers_texts_lists_and_missing_keys(one_stage, condition, data):
    @one_stage.function("waiter")
    def waiter(ctx):
        answer = yield ctx.step.wait_for_event("answer", event="test/answer", if_exp=condition, timeout=60_000)
        return answer.data

    run_id = begin(one_stage, x=1, **{"key 'quoted'": "☃"})
    one_stage.send("test/answer", data)

    assert output(one_stage.ended(run_id)) == data


def test_the_first_of_several_matches_counts(stage, waiter):
    run_id = begin(stage)

    stage.client.send_sync([inngest.Event(name="test/answer", data={"n": number}) for number in range(3)])

    assert output(stage.ended(run_id))["data"] == {"n": 0}


def test_an_event_ends_the_waits_of_all_runs(stage, waiter):
    run_ids = [begin(stage) for _ in range(3)]

    stage.send("test/answer", {"to": "all"})

    assert [output(stage.ended(run_id))["data"] for run_id in run_ids] == [{"to": "all"}] * 3


def test_an_event_from_before_the_wait_does_not_end_it(stage, waiter):
    stage.send("test/answer", {"too": "early"})
    run_id = begin(stage)

    assert stage.reached(run_id, lambda run: True).status == "running"


def test_the_event_that_starts_a_run_does_not_end_its_wait(stage):
    @stage.function("echo")
    def echo(ctx):
        return (yield ctx.step.wait_for_event("again", event="test/echo", timeout=timedelta(hours=1)))

    run_id = stage.start("echo")

    assert stage.waiting(run_id, "again").status == "running"


def test_a_wait_times_out_when_time_is_moved_past_its_timeout(stage, waiter):
    run_id = begin(stage)

    stage.clock.advance(minutes=59)
    assert stage.reached(run_id, lambda run: True).status == "running"
    stage.clock.advance(minutes=1)

    run = stage.ended(run_id)
    assert output(run) is None
    assert run.spans[0].attributes["timed_out"] is True


def test_a_wait_is_not_jumped_over_while_an_event_may_still_come(stage, waiter):
    """Another run's sleeps take the clock past the timeout; the event still wins."""

    @stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.sleep("long", timedelta(days=3))

    run_id = begin(stage)
    stage.run("sleeper")
    stage.send("test/answer", {"in": "time"})

    assert output(stage.ended(run_id))["data"] == {"in": "time"}


@pytest.mark.parametrize("condition", ["async.data.a ==", "(((", "'open"])
def test_a_condition_that_cannot_be_read_fails_the_run_at_once(stage, waiter, condition):
    run = stage.run("waiter", {"if": condition})

    assert run.status == "failed"
    assert output(run)["error"]["name"] == "InvalidExpression"
    assert len(stage.calls_of("waiter")) == 1


def test_a_timeout_of_more_than_366_days_fails_the_run(one_stage):
    @one_stage.function("patient")
    def patient(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(days=400))

    assert one_stage.run("patient").failure.name == "InngestErrTimeoutTooLong"


def test_an_internal_event_can_be_waited_for(stage):
    @stage.function("worker")
    def worker(ctx):
        return "work"

    @stage.function("boss")
    def boss(ctx):
        done = yield ctx.step.wait_for_event("done", event="inngest/function.finished", timeout=timedelta(hours=1))
        return done.data["result"]

    run_id = stage.start("boss")
    stage.waiting(run_id, "done")
    stage.run("worker")

    assert output(stage.ended(run_id)) == "work"


def test_two_waits_one_after_the_other_need_two_events(stage):
    @stage.function("twice")
    def twice(ctx):
        first = yield ctx.step.wait_for_event("first", event="test/answer", timeout=timedelta(hours=1))
        second = yield ctx.step.wait_for_event("second", event="test/answer", timeout=timedelta(hours=1))
        return [first.data["n"], second.data["n"]]

    run_id = stage.start("twice")
    stage.waiting(run_id, "first")
    stage.send("test/answer", {"n": 1})
    stage.waiting(run_id, "second")
    stage.send("test/answer", {"n": 2})

    assert output(stage.ended(run_id)) == [1, 2]


def test_a_step_of_the_same_group_can_send_the_event_that_is_waited_for(stage):
    """The wait is there before anything else that the same reply starts."""

    @stage.function("self-service")
    def self_service(ctx):
        sent, answer = yield ctx.group.parallel(
            (
                lambda: ctx.step.send_event("send", inngest.Event(name="test/answer", data={"n": 1})),
                lambda: ctx.step.wait_for_event("wait", event="test/answer", timeout=timedelta(hours=1)),
            )
        )
        return [len(sent), answer.data]

    assert output(stage.run("self-service")) == [1, {"n": 1}]


def test_a_wait_of_a_run_that_was_cancelled_takes_no_event(stage, waiter):
    run_id = begin(stage)

    stage.http.delete(f"/v1/runs/{run_id}")
    stage.send("test/answer")

    run = stage.ended(run_id)
    assert (run.status, run.output) == ("cancelled", None)
    assert stage.clock.pending == []
