"""The npm SDK on Node, both of its major versions: the same server, asked by other SDKs in every way that they have."""

import inngest
import pytest

from steprig.inngest.records import RUN, CallStarted
from steprig.kernel import stream_of

from . import js_app
from .stage import output


@pytest.fixture(scope="module", params=js_app.VARIANTS, ids=lambda variant: variant.name)
def js(request, packages, few_certificates):
    """The Node app on a dev server whose sleeps take no time, for all tests here."""
    with js_app.staged(packages, request.param) as stage:
        yield stage


def calls(stage, run):
    """How often the app was called for a run."""
    records = stage.dev.journal.read(stream_of(RUN, run.id))
    return sum(isinstance(record.entry, CallStarted) for record in records)


@pytest.fixture
def checkpoints(js):
    """Whether the app reports each step while its call goes on."""
    return js.variant.checkpointing


def send_together(stage, name, data):
    """Send events in one request, so that none of them is a batch of its own before the next comes."""
    stage.client.send_sync([inngest.Event(name=name, data=each) for each in data])


def spans(run):
    return [(span.name, span.kind, span.status) for span in run.spans]


def test_the_app_is_registered_with_its_language_and_its_framework(js):
    (app,) = js.dev._platform.engine.apps

    language, framework = ("typescript", "connect") if js.variant.mode == "connect" else ("js", "express")
    assert (app.name, app.sdk_language, app.framework) == (js.app_id, language, framework)
    assert app.sdk_version.lstrip("v") == js.variant.version


def test_a_function_that_returns_nothing_gives_null(js):
    assert output(js.run("nothing")) is None


def test_data_passes_unchanged(js):
    data = {"z": [1, 2.5, None, True], "a": {"ü": "☃ 🚀"}, "data": {"data": 1}}

    assert output(js.run("echo", data)) == data


def test_steps_run_in_sequence_and_each_is_run_once(js):
    run = js.run("sequence")

    assert output(run) == {"first": 1, "second": 2, "third": {"list": [2, None, "ü ☃"]}}
    assert spans(run) == [
        ("first", "RUN", "completed"),
        ("second", "RUN", "completed"),
        ("third", "RUN", "completed"),
        ("function success", "function", "completed"),
    ]
    assert [bytes(span.output) for span in run.spans[:2]] == [b"1", b"2"]


def test_with_checkpoints_one_call_runs_all_steps(js, checkpoints):
    assert calls(js, js.run("sequence")) == (1 if checkpoints else 4)


def test_with_checkpoints_a_step_is_not_run_again_when_a_later_one_fails(js, checkpoints):
    run = js.run("retried")

    assert output(run) == [1, 3]
    assert calls(js, run) == (5 if not checkpoints else 3 if js.variant.is_old else 4)


def test_a_call_of_a_cancelled_run_is_told_not_to_go_on(js, checkpoints):
    """Without checkpoints nothing has to be told: the next step is a call that is not made."""
    key = f"checkpoints-{checkpoints}"
    run = js.run("cancelled-between", {"key": key})

    assert run.status == "cancelled"
    assert output(js.run("ran-after-cancel", {"key": key})) == 0


def test_a_step_that_returns_nothing_gives_null(js):
    assert output(js.run("null-step")) == [None, True]


def test_steps_with_the_same_id_are_told_apart(js):
    run = js.run("same-id")

    assert output(run) == [0, 1, 2]
    assert [span.name for span in run.spans[:-1]] == ["again"] * 3


def test_sleeps_take_as_long_as_asked_for(js):
    run = js.run("sleeps")

    assert output(run) == "awake"
    assert 90_000 - 5 < (run.ended_at - run.started_at).total_seconds() < 90_000 + 5
    assert [(span.name, span.kind) for span in run.spans[:-1]] == [
        ("a day", "SLEEP"),
        ("between", "RUN"),
        ("an hour", "SLEEP"),
    ]


def test_a_sleep_until_a_time_that_is_past_is_over_at_once(js):
    assert output(js.run("sleeps-until", {"until": "2020-01-01T00:00:00Z"})) == "woken"


def test_a_wait_ends_with_the_event_that_meets_its_condition(js):
    run_id = js.start("waits", {"key": 1})
    js.waiting(run_id, "answer")

    js.send("test/answer", {"key": 2})
    js.send("test/answer", {"key": 1, "right": True})

    assert output(js.ended(run_id)) == {"key": 1, "right": True}


def test_a_wait_that_times_out_gives_null(js):
    run_id = js.start("waits", {"key": "never"})
    js.waiting(run_id, "answer")

    js.clock.advance(days=1)

    assert output(js.ended(run_id)) is None


def test_an_invoked_function_gives_its_result(js):
    run = js.run("parent", {"number": 21})

    assert output(run) == 42
    assert spans(run)[0] == ("call child", "INVOKE", "completed")


def test_the_failure_of_an_invoked_function_may_be_caught(js):
    run = js.run("parent-catches")

    assert (run.status, output(run)) == ("completed", "caught: negative")


def test_events_sent_by_a_step_start_functions(js):
    run = js.run("sends", {"number": 5})

    assert output(run) == 2
    assert output(js.only_run("told")) == 5


def test_parallel_steps_are_run_once_each_and_joined(js):
    run = js.run("parallel")

    assert output(run) == [1, 1, 1, "slept", 1]
    assert {span.name for span in run.spans} == {"before", "a", "b", "c", "after", "function success"}


def test_parallel_branches_go_on_by_themselves(js):
    run = js.run("branches")

    assert output(run) == ["a1a2", "b1b2"]
    assert len(run.spans) == 5


def test_the_first_of_several_steps_decides_a_race(js):
    assert output(js.run("race")) == "fast"


def test_a_step_that_fails_is_tried_again_alone(js):
    run = js.run("retried")

    assert output(run) == [1, 3]
    kept, flaky, _ = run.spans
    assert (kept.attempts, flaky.attempts) == (1, 3)
    assert [attempt.status for attempt in flaky.children] == ["failed", "failed", "completed"]


def test_a_function_that_fails_is_tried_again(js):
    assert output(js.run("function-retried")) == [1, 2]


def test_a_step_may_say_when_it_is_tried_again(js, checkpoints):
    if js.variant.is_old and checkpoints:
        pytest.skip("version 3 of the SDK does not say when if it reports steps while a call goes on")
    run = js.run("retry-after")

    assert output(run) == 1
    assert 3600 - 5 < (run.ended_at - run.started_at).total_seconds() < 3600 + 5


def test_a_non_retriable_error_ends_the_run_at_once(js):
    run = js.run("fatal")

    assert run.status == "failed"
    assert run.failure.message == "hopeless"
    assert run.span(run.spans[0].id).attempts == 1


def test_the_error_of_a_step_may_be_caught(js):
    run = js.run("step-error-caught")

    assert output(run) == "after TypeError: bad step"
    assert [span.status for span in run.spans] == ["failed", "completed", "completed"]


def test_one_of_several_parallel_steps_may_fail(js):
    assert output(js.run("parallel-error")) == ["fulfilled", "rejected"]


def test_on_failure_runs_with_the_error_and_the_event(js):
    run = js.run("mourned", {"who": "me"})

    assert (run.status, run.failure.name, run.failure.message) == ("failed", "Error", "lost")
    assert output(js.only_run("mourned-failure")) == {
        "error": "lost",
        "of": f"{js.app_id}-mourned",
        "data": {"who": "me"},
    }


def test_an_error_has_its_name_its_message_and_its_stack(js):
    run = js.run("unregistered-error")

    assert (run.failure.name, run.failure.message) == ("Error", "plain")
    assert "cases.mjs" in run.failure.stack


def test_an_event_starts_every_function_that_it_is_a_trigger_of(js):
    event_id = js.send("test/fan", {"number": 3})

    outputs = [output(js.ended(run["run_id"])) for run in js.runs_of(event_id)]

    assert sorted(outputs) == ["fan-one: 3", "fan-two: 3"]


def test_an_event_cancels_the_runs_that_it_is_meant_for(js):
    with js.clock.working("what this test does"):  # or the sleeps would be over at once
        kept, dropped = js.start("cancellable", {"key": "kept"}), js.start("cancellable", {"key": "dropped"})
        js.waiting(kept, "for long")
        js.waiting(dropped, "for long")
        js.send("test/cancel", {"key": "dropped"})

    assert js.ended(dropped).status == "cancelled"
    assert output(js.ended(kept)) == "slept"


def test_a_signal_that_another_function_sends_resumes_a_run(js):
    run_id = js.start("waits-for-signal", {"signal": "go"})
    js.waiting(run_id, "signal")

    assert output(js.run("sends-signal", {"signal": "go"})) == {"runId": run_id}
    assert output(js.ended(run_id)) == {"signal": "go", "data": {"n": 7}}


def test_a_wait_for_a_signal_that_times_out_gives_null(js):
    run_id = js.start("waits-for-signal", {"signal": "never"})
    js.waiting(run_id, "signal")

    js.clock.advance(days=1)

    assert output(js.ended(run_id)) is None


def test_a_second_wait_for_a_signal_fails_or_takes_its_place(js):
    first = js.start("waits-for-signal", {"signal": "one"})
    js.waiting(first, "signal")
    assert js.run("waits-for-signal", {"signal": "one"}).status == "failed"

    second = js.start("waits-for-signal", {"signal": "one", "onConflict": "replace"})
    js.waiting(second, "signal")
    js.run("sends-signal", {"signal": "one"})

    assert output(js.ended(second)) == {"signal": "one", "data": {"n": 7}}


def test_events_are_handled_as_a_batch(js):
    send_together(js, "test/batched", [{"number": number} for number in range(4)])

    assert output(js.only_run("batched")) == [0, 1, 2, 3]


def test_a_run_too_large_to_be_sent_along_is_fetched(js):
    assert output(js.run("large")) == [1_000_000, "1", 1_000_000, "2", 1_000_000, "3", 1_000_000, "4", 1_000_000, "5"]


def test_a_batch_too_large_to_be_sent_along_is_fetched(js):
    send_together(js, "test/large-batch", [{"text": "x" * 1_000_000}] * 8)

    assert output(js.only_run("large-batch")) == {"sizes": [1_000_000] * 8, "again": 8}


def test_the_server_makes_a_request_for_a_step(js):
    js.ask_app("/asked")

    data = {"url": f"{js.app_origin}/upstream/echo/a", "method": "PUT", "body": "snow ☃"}
    run = js.run("fetches", data)

    assert output(run)["status"] == 201
    (asked,) = js.ask_app("/asked")
    assert (asked["method"], asked["path"], asked["askedBy"]) == ("PUT", "/upstream/echo/a", "a step")


def test_the_answer_to_a_request_is_the_steps_even_when_it_tells_of_an_error(js):
    run = js.run("fetches", {"url": f"{js.app_origin}/upstream/fails/a", "method": "GET"})

    assert output(run) == {"status": 500, "body": '{"error":"no"}'}


def test_a_request_that_breaks_off_is_made_again(js):
    js.ask_app("/asked")

    run = js.run("fetches", {"url": f"{js.app_origin}/upstream/recovers/a", "method": "POST", "body": "1"})

    assert output(run)["status"] == 201
    assert len(js.ask_app("/asked")) == 2


def test_a_request_that_nobody_answers_fails_the_run(js):
    run = js.run("fetches", {"url": "http://127.0.0.1:9/", "method": "GET"})

    assert run.status == "failed"
    assert "Error making gateway request" in run.failure.message


def test_the_server_asks_a_model_for_a_step(js):
    js.ask_app("/asked")

    assert output(js.run("infers", {"url": f"{js.app_origin}/upstream/ai/v1"})) == "white, says small"

    (asked,) = js.ask_app("/asked")
    assert (asked["path"], asked["authorization"]) == ("/upstream/ai/v1/chat/completions", "Bearer a-key")
    assert asked["body"] == {"model": "small", "messages": [{"role": "user", "content": "snow ☃?"}]}


def test_the_error_of_a_model_may_be_caught_once_it_was_asked_again(js):
    js.ask_app("/asked")

    error = output(js.run("infers-in-vain", {"url": f"{js.app_origin}/upstream/fails/v1"}))

    assert (error["name"], "Error making AI request" in error["message"]) == ("AIGatewayError", True)
    assert len(js.ask_app("/asked")) == 2
