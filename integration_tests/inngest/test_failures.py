"""Errors: what is tried again and when, what is given to whom, and what an end makes known."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import inngest
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.kernel import VirtualClock

from ..waiting import until
from .stacks import STACKS
from .stage import Stage, output

ABOUT = timedelta(seconds=5)
BACKOFF = [timedelta(seconds=seconds) for seconds in (15, 30, 60, 120)]
JITTER = timedelta(seconds=30)


class PaymentError(Exception):
    pass


def fail(message="no", error=PaymentError):
    raise error(message)


# --- Attempts ---------------------------------------------------------------------------------------


def test_a_function_is_tried_five_times_by_default(stage):
    attempts = []

    @stage.function("failing")
    def failing(ctx):
        attempts.append(ctx.attempt)
        fail()

    run = stage.run("failing")

    assert run.status == "failed"
    assert attempts == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_step_is_tried_once_more_than_it_has_retries(stage, retries):
    attempts = []

    @stage.function("failing", retries=retries)
    def failing(ctx):
        yield ctx.step.run("fails", lambda: attempts.append(ctx.attempt) or fail())

    run = stage.run("failing")

    assert attempts == list(range(retries + 1))
    assert run.spans[0].attempts == retries + 1


def test_attempts_are_apart_by_the_backoff_and_at_most_thirty_seconds_more(stage):
    times = []

    @stage.function("failing")
    def failing(ctx):
        times.append(stage.clock.now())
        yield ctx.step.run("fails", fail)

    stage.run("failing")

    gaps = [later - earlier for earlier, later in pairwise(times)][:4]
    for gap, backoff in zip(gaps, BACKOFF, strict=True):
        assert backoff <= gap <= backoff + JITTER + ABOUT


def test_the_seed_makes_the_jitter_of_retries_repeatable():
    ends = []
    for _ in range(2):
        with VirtualClock(start=datetime(2030, 1, 1, tzinfo=UTC)) as clock, DevServer(clock=clock, seed=7) as dev:
            stage = Stage(STACKS[0], dev)

            @stage.function("failing", retries=2)
            def failing(ctx):
                fail()

            stage.run("failing")
            stage.close()
            ends.append(clock.now())

    assert abs(ends[0] - ends[1]) < timedelta(milliseconds=1)


def test_a_fixed_interval_takes_the_place_of_the_backoff():
    with VirtualClock() as clock, DevServer(clock=clock, retry_interval=timedelta(seconds=2)) as dev:
        stage = Stage(STACKS[0], dev)

        @stage.function("failing", retries=3)
        def failing(ctx):
            fail()

        before = clock.now()
        stage.run("failing")
        stage.close()

        assert timedelta(seconds=6) <= clock.now() - before < timedelta(seconds=6) + ABOUT


def test_a_step_that_succeeds_in_the_end_gives_its_output(stage):
    attempts = []

    @stage.function("flaky")
    def flaky(ctx):
        def work():
            attempts.append(1)
            return len(attempts) if len(attempts) == 3 else fail()

        return (yield ctx.step.run("work", work))

    run = stage.run("flaky")

    assert output(run) == 3
    step = run.spans[0]
    assert [(child.name, child.status) for child in step.children] == [
        ("Attempt 0", "failed"),
        ("Attempt 1", "failed"),
        ("Attempt 2", "completed"),
    ]
    assert step.children[0].failure.message == "no"


# --- Retry-After --------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_step", [True, False], ids=["step", "function"])
@pytest.mark.parametrize("after", [timedelta(seconds=7), timedelta(hours=5), 90_000])
def test_a_delay_that_is_asked_for_is_kept(stage, in_step, after):
    @stage.function("later")
    def later(ctx):
        def work():
            if ctx.attempt == 0:
                raise inngest.RetryAfterError("later", after)
            return "done"

        if in_step:
            return (yield ctx.step.run("work", work))
        return work()

    before = stage.clock.now()
    run = stage.run("later")

    wanted = after if isinstance(after, timedelta) else timedelta(milliseconds=after)
    assert output(run) == "done"
    assert abs(stage.clock.now() - before - wanted) < timedelta(seconds=1)


def test_a_date_that_is_asked_for_is_kept_to_the_millisecond(stage):
    wanted = []

    @stage.function("later")
    def later(ctx):
        if ctx.attempt == 0:
            wanted.append(datetime.now(UTC) + timedelta(hours=1, milliseconds=250))
            raise inngest.RetryAfterError("later", wanted[0])

    stage.run("later")

    assert abs(stage.clock.now() - wanted[0]) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("after", "kept"), [(timedelta(days=3), timedelta(hours=24)), (timedelta(milliseconds=10), timedelta(seconds=1))]
)
def test_a_delay_is_kept_between_a_second_and_a_day(one_stage, after, kept):
    @one_stage.function("later")
    def later(ctx):
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("later", after)

    before = one_stage.clock.now()
    one_stage.run("later")

    assert kept <= one_stage.clock.now() - before + timedelta(milliseconds=1) < kept + timedelta(seconds=1)


# --- Errors that are final ------------------------------------------------------------------------------


@pytest.mark.parametrize("in_step", [True, False], ids=["step", "function"])
def test_a_non_retriable_error_ends_the_run_at_once(stage, in_step):
    attempts = []

    @stage.function("final")
    def final(ctx):
        def work():
            attempts.append(ctx.attempt)
            raise inngest.NonRetriableError("never again")

        if in_step:
            yield ctx.step.run("work", work)
        work()

    run = stage.run("final")

    assert attempts == [0]
    assert run.status == "failed"
    assert output(run)["name"] == "NonRetriableError"
    assert output(run)["message"] == "never again"


def test_a_functions_error_is_the_runs_output_just_as_the_sdk_sent_it(stage):
    @stage.function("failing", retries=0)
    def failing(ctx):
        fail("card declined")

    run = stage.run("failing")

    shown = output(run)
    assert (shown["code"], shown["name"], shown["message"]) == ("unknown", "PaymentError", "card declined")
    assert "card declined" in shown["stack"]
    assert (run.failure.name, run.failure.message) == ("PaymentError", "card declined")


def test_a_step_error_can_be_caught(stage):
    @stage.function("careful", retries=1)
    def careful(ctx):
        try:
            yield ctx.step.run("fails", lambda: fail("declined"))
        except inngest.StepError as error:
            caught = [error.name, error.message]
        return [*caught, (yield ctx.step.run("after", lambda: "paid otherwise"))]

    run = stage.run("careful")

    assert output(run) == ["PaymentError", "declined", "paid otherwise"]
    assert [(span.name, span.status) for span in run.spans] == [
        ("fails", "failed"),
        ("after", "completed"),
        ("function success", "completed"),
    ]


def test_an_uncaught_step_error_fails_the_run_without_further_attempts(stage):
    attempts = []

    @stage.function("careless", retries=1)
    def careless(ctx):
        yield ctx.step.run("fails", lambda: attempts.append(1) or fail("declined"))

    run = stage.run("careless")

    assert attempts == [1, 1]
    assert len(stage.calls_of("careless")) == 3
    assert output(run)["name"] == "PaymentError"
    assert output(run)["message"] == "declined"


def test_the_last_error_of_a_step_is_the_one_that_counts(stage):
    @stage.function("changing", retries=1)
    def changing(ctx):
        def work():
            raise (ValueError("first") if ctx.attempt == 0 else LookupError("second"))

        try:
            yield ctx.step.run("work", work)
        except inngest.StepError as error:
            return [error.name, error.message]

    assert output(stage.run("changing")) == ["LookupError", "second"]


def test_a_step_in_a_step_fails_and_says_why(stage):
    if not stage.stack.runs_async:
        pytest.skip("only asynchronous steps can be nested by accident")

    @stage.function("nested", retries=2)
    def nested(ctx):
        async def outer():
            return await ctx.step.run("inner", lambda: 1)

        yield ctx.step.run("outer", outer)

    run = stage.run("nested")

    assert run.failure.message == "Nested steps are not supported."


def test_an_output_that_is_no_json_fails_the_run(stage):
    @stage.function("odd", retries=0)
    def odd(ctx):
        return {1, 2}

    assert stage.run("odd").status == "failed"


def test_the_server_goes_on_after_a_failed_run(stage):
    @stage.function("sometimes", retries=0)
    def sometimes(ctx):
        return "fine" if ctx.event.data["ok"] else fail()

    assert stage.run("sometimes", {"ok": False}).status == "failed"
    assert output(stage.run("sometimes", {"ok": True})) == "fine"


# --- What an end makes known ----------------------------------------------------------------------------


def test_the_handler_of_a_failure_is_given_the_error_and_the_event(stage):
    handled = []

    def on_failure(ctx):
        handled.append((ctx.event.data, ctx.attempt, len(ctx.events)))

    @stage.function("failing", retries=1, on_failure=on_failure)
    def failing(ctx):
        fail("declined")

    run = stage.run("failing", {"order": 7}, id="mine", ts=1_700_000_000_000)
    stage.only_run("failing-failure")

    ((data, attempt, events),) = handled
    assert set(data["error"]) == {"error", "message", "name", "stack"}
    assert data["error"] | {"stack": ...} == {
        "error": "invalid status code: 500",
        "message": "declined",
        "name": "PaymentError",
        "stack": ...,
    }
    assert "declined" in data["error"]["stack"]
    assert data["function_id"] == f"{stage.app_id}-failing"
    assert data["run_id"] == run.id
    original = {"id": "mine", "name": "test/failing", "ts": 1_700_000_000_000, "data": {"order": 7}}
    assert original.items() <= data["event"].items()
    assert (attempt, events) == (0, 1)


def test_the_handler_of_a_failure_is_not_called_for_other_functions(stage):
    handled = []

    @stage.function("watched", retries=0, on_failure=lambda ctx: handled.append("watched"))
    def watched(ctx):
        fail()

    @stage.function("unwatched", retries=0)
    def unwatched(ctx):
        fail()

    stage.run("unwatched")
    stage.run("watched")
    stage.only_run("watched-failure")

    assert handled == ["watched"]


def test_the_handler_of_a_failure_is_not_called_for_a_cancelled_run(stage):
    handled = []

    @stage.function("waiting", on_failure=lambda ctx: handled.append(1))
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(hours=1))

    run_id = stage.start("waiting")
    stage.waiting(run_id, "wait")
    stage.http.delete(f"/v1/runs/{run_id}")

    assert stage.ended(run_id).status == "cancelled"
    assert stage.runs("waiting-failure") == []
    assert [len(stage.events(f"inngest/function.{end}")) for end in ("finished", "cancelled", "failed")] == [1, 1, 0]


def test_every_end_is_an_event_with_what_came_of_it(stage):
    @stage.function("good")
    def good(ctx):
        return {"fine": True}

    @stage.function("bad", retries=0)
    def bad(ctx):
        fail("declined")

    good_run, bad_run = stage.run("good", {"n": 1}), stage.run("bad")

    until(lambda: len(stage.events("inngest/function.finished")) == 2)
    finished = {event["data"]["run_id"]: event["data"] for event in stage.events("inngest/function.finished")}
    assert finished[good_run.id]["result"] == {"fine": True}
    assert finished[good_run.id]["_inngest"] == {"status": "Completed"}
    assert finished[good_run.id]["event"]["data"] == {"n": 1}
    assert finished[good_run.id]["events"] == [finished[good_run.id]["event"]]
    assert "error" not in finished[good_run.id]
    assert finished[bad_run.id]["error"]["message"] == "declined"
    assert finished[bad_run.id]["result"]["message"] == "declined"
    assert finished[bad_run.id]["_inngest"] == {"status": "Failed"}
    (failed,) = stage.events("inngest/function.failed")
    assert failed["id"] == bad_run.id
    assert failed["data"]["error"]["message"] == "declined"


@pytest.mark.parametrize("name", ["inngest/function.finished", "inngest/function.failed"])
def test_a_function_started_by_an_end_makes_no_further_end_known(stage, name):
    """Or it would start itself for ever."""
    seen = []

    @stage.function("watcher", inngest.TriggerEvent(event=name), retries=0)
    def watcher(ctx):
        seen.append(ctx.event.data["run_id"])
        fail("in the handler, too")

    @stage.function("failing", retries=0)
    def failing(ctx):
        fail()

    run = stage.run("failing")
    stage.only_run("watcher")

    assert seen == [run.id]
    assert len(stage.events(name)) == 1


def test_a_function_is_started_by_a_cancelled_run(stage):
    @stage.function("watcher", inngest.TriggerEvent(event="inngest/function.cancelled"))
    def watcher(ctx):
        return [ctx.event.data["run_id"], "error" in ctx.event.data, "result" in ctx.event.data]

    @stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(hours=1))

    run_id = stage.start("waiting")
    stage.waiting(run_id, "wait")
    stage.http.delete(f"/v1/runs/{run_id}")

    assert output(stage.only_run("watcher")) == [run_id, False, False]


def test_a_run_that_is_cancelled_while_its_app_is_called_stays_cancelled(stage):
    def cancel(ctx):
        stage.http.delete(f"/v1/runs/{ctx.run_id}")
        shown.append(stage.get(f"/v1/runs/{ctx.run_id}")["status"])

    @stage.function("doomed")
    def doomed(ctx):
        cancel(ctx)
        return "too late"

    shown = []
    run_id = stage.start("doomed")
    run = stage.ended(run_id)
    until(lambda: not stage.clock.in_flight, "the end of the call")

    assert shown == ["Cancelled"]
    assert (run.status, run.output) == ("cancelled", None)
    assert stage.ended(run_id).status == "cancelled"
