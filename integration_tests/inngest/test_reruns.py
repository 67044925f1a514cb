"""Running a function again: what the new run keeps of the old one, and what flow control says to it."""

from datetime import timedelta

import inngest
import pytest

from steprig.kernel import Status

from ..waiting import until
from .graphql_client import GraphQL
from .opcode_app import OpcodeApp
from .stage import output

RERUN = "mutation R($id: ULID!, $step: RerunFromStepInput) { rerun(runID: $id, fromStep: $step) }"
ORIGINAL = "query Q($id: String!) { run(runID: $id) { originalRunID } }"


@pytest.fixture
def graphql(one_stage):
    return GraphQL(one_stage)


@pytest.fixture
def rerun(graphql):
    return lambda run_id, **from_step: graphql.data(RERUN, id=run_id, step=from_step or None)["rerun"]


@pytest.fixture
def app(one_stage):
    with OpcodeApp(one_stage) as app:
        yield app


def ran(step, data):
    return {"op": "StepRun", "id": step, "displayName": step, "data": data}


# --- Which run it repeats -----------------------------------------------------------------------------------


def test_a_repetition_says_which_run_it_repeats_and_so_does_a_repetition_of_it(one_stage, graphql, rerun):
    @one_stage.function("plain")
    def plain(ctx):
        return ctx.event.data["n"]

    first = one_stage.run("plain", {"n": 1})
    again = one_stage.ended(rerun(first.id))
    once_more = one_stage.ended(rerun(again.id))

    assert "original_run_id" not in one_stage.get(f"/v1/runs/{first.id}")
    for run in (again, once_more):
        assert one_stage.get(f"/v1/runs/{run.id}")["original_run_id"] == first.id
        assert graphql.data(ORIGINAL, id=run.id)["run"]["originalRunID"] == first.id
    assert graphql.data(ORIGINAL, id=first.id)["run"]["originalRunID"] is None


def test_a_repetition_uses_the_configuration_of_now(one_stage, rerun):
    @one_stage.function("changing", retries=0)
    def changing(ctx):
        raise ValueError("no")

    first = one_stage.run("changing")
    assert one_stage.calls_of("changing") == ["step"]

    @one_stage.function("changing", retries=2)
    def changed(ctx):
        raise ValueError("no")

    one_stage.serve()
    one_stage.ended(rerun(first.id))

    assert one_stage.calls_of("changing") == ["step"] * 4


def test_a_repetition_does_not_lengthen_the_time_in_which_an_event_id_counts(one_stage, rerun):
    @one_stage.function("once")
    def once(ctx):
        return None

    first = one_stage.run("once", id="the-same")
    one_stage.clock.advance(timedelta(hours=23))
    one_stage.ended(rerun(first.id))
    one_stage.clock.advance(timedelta(hours=2))

    assert one_stage.ended(one_stage.start("once", id="the-same")).status is Status.COMPLETED


# --- From a step --------------------------------------------------------------------------------------------


def test_steps_that_began_before_are_kept_whenever_they_ended(one_stage, app, rerun):
    """Two steps at once, of which the first ends last."""

    @app.function("parallel")
    def parallel(body):
        steps = body["steps"]
        if "after" in steps:
            return "done"
        if {"one", "two"} <= steps.keys():
            return [ran("after", 3)]
        return [
            {"op": "WaitForEvent", "id": "one", "displayName": "one", "opts": {"event": "test/go", "timeout": "1h"}},
            {"op": "Sleep", "id": "two", "displayName": "two", "opts": {"duration": "1s"}},
        ]

    run_id = app.start("parallel")
    one_stage.reached(run_id, lambda run: run.span("two") is not None and run.span("two").status is Status.COMPLETED)
    one_stage.send("test/go")
    run = one_stage.ended(run_id)
    assert [span.name for span in run.spans if span.status is Status.COMPLETED][:2] == ["one", "two"]

    again = rerun(run_id, stepID="two")
    ended = one_stage.ended(again)
    assert ended.status is Status.COMPLETED
    calls = [body["steps"].keys() for body in app.bodies if body["ctx"]["run_id"] == again]
    assert list(calls[0]) == ["one"]


def test_a_step_is_given_another_input(one_stage, app, rerun):
    @app.function("given")
    def given(body):
        steps = body["steps"]
        if "data" in steps.get("second", {}):
            return {"given": steps["second"]["data"]}
        if "first" not in steps:
            return [ran("first", 1)]
        return [ran("second", steps.get("second", {}).get("input", "the function's own"))]

    run = app.run("given")
    assert output(run) == {"given": "the function's own"}

    again = one_stage.ended(rerun(run.id, stepID="second", input='[{"n": 12345678901234567890}, "x"]'))

    assert output(again) == {"given": [{"n": 12345678901234567890}, "x"]}
    first_call = next(body for body in app.bodies if body["ctx"]["run_id"] == again.id)
    assert first_call["steps"] == {"first": {"data": 1}, "second": {"input": [{"n": 12345678901234567890}, "x"]}}
    assert first_call["ctx"]["stack"]["stack"] == ["first"]


def test_an_input_is_among_what_an_app_fetches_of_a_run(one_stage, app, rerun):
    @app.function("waits")
    def waits(body):
        if body["steps"].get("wait", {}).get("name") == "test/go":
            return "done"
        return [
            {"op": "WaitForEvent", "id": "wait", "displayName": "wait", "opts": {"event": "test/go", "timeout": "1h"}}
        ]

    run_id = app.start("waits")
    one_stage.waiting(run_id, "wait")
    again = rerun(run_id, stepID="wait", input="[1]")
    one_stage.waiting(again, "wait")

    assert one_stage.http.get(f"/v0/runs/{again}/actions").json() == {"wait": {"input": [1]}}
    one_stage.send("test/go")
    assert {one_stage.ended(each).status for each in (run_id, again)} == {Status.COMPLETED}


@pytest.mark.parametrize("given", ["", "{}", '"x"', "[1", "null", "nonsense"])
def test_an_input_that_is_no_array_is_refused_and_nothing_runs(one_stage, app, graphql, given):
    @app.function("refused")
    def refused(body):
        return "done" if body["steps"] else [ran("only", 1)]

    run = app.run("refused")

    message = graphql.error(RERUN, id=run.id, step={"stepID": "only", "input": given})

    assert message.endswith("input is not a valid JSON array")
    assert [one.id for one in one_stage.runs("refused")] == [run.id]


# --- Flow control -------------------------------------------------------------------------------------------


@pytest.fixture
def declare(one_stage):
    """Declare a function that waits until the event `test/go` is there."""

    def declare(**options):
        @one_stage.function("controlled", **options)
        def controlled(ctx):
            yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(hours=1))

        run_id = one_stage.start("controlled")
        one_stage.waiting(run_id, "wait")
        return run_id

    return declare


def test_a_rate_limit_does_not_hold_a_repetition_up(one_stage, declare, rerun):
    run_id = declare(rate_limit=inngest.RateLimit(limit=1, period=timedelta(hours=24)))
    assert one_stage.runs_of(one_stage.send("test/controlled")) == []

    one_stage.waiting(rerun(run_id), "wait")


def test_a_singleton_skips_a_repetition_while_a_run_goes_on(one_stage, declare, graphql, rerun):
    run_id = declare(singleton=inngest.Singleton(mode="skip"))

    assert graphql.error(RERUN, id=run_id).startswith("function skipped")
    assert len(one_stage.runs("controlled")) == 1

    one_stage.send("test/go")
    one_stage.ended(run_id)
    one_stage.waiting(rerun(run_id), "wait")


def test_a_singleton_cancels_the_run_that_goes_on(one_stage, declare, rerun):
    run_id = declare(singleton=inngest.Singleton(mode="cancel"))

    again = rerun(run_id)

    assert one_stage.ended(run_id).status is Status.CANCELLED
    one_stage.waiting(again, "wait")


def test_a_bad_request_to_repeat_a_singleton_cancels_nothing(one_stage, declare, graphql):
    run_id = declare(singleton=inngest.Singleton(mode="cancel"))

    graphql.error(RERUN, id=run_id, step={"stepID": "nothing"})

    assert one_stage.waiting(run_id, "wait").status is Status.RUNNING


def test_a_debounced_function_is_repeated_when_it_has_been_quiet(one_stage, graphql):
    @one_stage.function("quiet", debounce=inngest.Debounce(period=timedelta(seconds=10)))
    def quiet(ctx):
        return ctx.event.data["n"]

    one_stage.send("test/quiet", {"n": 7})
    run = one_stage.only_run("quiet")

    assert graphql.error(RERUN, id=run.id).startswith("function debounced")
    again = until(lambda: one_stage.runs("quiet")[1:], "the debounced repetition")[0]
    assert output(one_stage.ended(again.id)) == 7


def test_a_throttle_makes_a_repetition_wait(one_stage, rerun):
    @one_stage.function("throttled", throttle=inngest.Throttle(limit=1, period=timedelta(hours=1), burst=0))
    def throttled(ctx):
        return None

    run = one_stage.run("throttled")
    again = one_stage.ended(rerun(run.id))

    assert again.started_at - run.started_at >= timedelta(minutes=59)


def test_a_repeated_batch_is_the_same_batch(one_stage, rerun):
    @one_stage.function("batch", batch_events=inngest.Batch(max_size=2, timeout=timedelta(seconds=60)))
    def batch(ctx):
        return [event.data["n"] for event in ctx.events]

    one_stage.serve()
    one_stage.client.send_sync([inngest.Event(name="test/batch", data={"n": number}) for number in (1, 2)])
    run = one_stage.only_run("batch")
    again = one_stage.ended(rerun(run.id))

    assert output(run) == output(again) == [1, 2]
    assert again.batch_id == run.batch_id
