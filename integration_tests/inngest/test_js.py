"""The npm SDK on Node: the same server, asked by another SDK, with checkpoints and without."""

import pytest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.records import RUN, CallStarted
from steprig.kernel import VirtualClock, stream_of

from . import js_app
from .stacks import STACKS
from .stage import Stage, output


@pytest.fixture(scope="session")
def packages():
    """The folder of the app with what npm has installed."""
    return js_app.installed()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "checkpoints"])
def js(request, packages, few_certificates):
    """The Node app on a dev server whose sleeps take no time, for all tests here."""
    with VirtualClock() as clock, DevServer(clock=clock) as dev:
        stage = Stage(STACKS[0], dev)
        with js_app.started(packages, stage, checkpointing=request.param):
            yield stage
        stage.close()


def calls(stage, run):
    """How often the app was called for a run."""
    records = stage.dev.journal.read(stream_of(RUN, run.id))
    return sum(isinstance(record.entry, CallStarted) for record in records)


@pytest.fixture
def checkpoints(js, request):
    """Whether the app reports each step while its call goes on."""
    return request.node.callspec.params["js"]


def spans(run):
    return [(span.name, span.kind, span.status) for span in run.spans]


def test_the_app_is_registered_with_its_language_and_its_framework(js):
    (app,) = js.dev._platform.engine.apps

    assert (app.name, app.sdk_language, app.sdk_version, app.framework) == (js.app_id, "js", "v4.24.0", "express")


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
    assert calls(js, run) == (4 if checkpoints else 5)


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


def test_a_step_may_say_when_it_is_tried_again(js):
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
    assert "server.mjs" in run.failure.stack
