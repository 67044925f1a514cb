"""Handlers that raise, hang, exit, or return what no durable function does."""

import json
import threading
from itertools import pairwise

import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.execution import InvocationStatus

from steprig.aws import ExecutionStatus, ResourceNotFoundException, ServiceException

from . import samples
from .samples import value


def completed(result):
    return [event for event in result.history() if event.event_type == "InvocationCompleted"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "Invalid invocation output: "),
        ([], "Invalid invocation output: "),
        ("SUCCEEDED", "Invalid invocation output: "),
        ({}, "Invalid invocation output: "),
        ({"Status": "DONE"}, "Invalid invocation output: "),
        ({"Status": 1}, "Invalid invocation output: "),
        ({"Status": "SUCCEEDED", "Result": 5}, "Invalid invocation output: "),
        (object(), "Invalid invocation output: "),
        ({"Status": "SUCCEEDED", "Error": {}}, "Cannot provide an Error for SUCCEEDED status."),
        ({"Status": "FAILED", "Result": "1"}, "Cannot provide a Result for FAILED status."),
        ({"Status": "PENDING"}, "Cannot return PENDING status with no pending operations."),
    ],
)
def test_what_no_durable_function_returns_fails_the_execution(runner_of, output, message):
    result = runner_of(lambda event, context: output).run("null")

    assert result.execution_status is ExecutionStatus.FAILED
    assert result.error.type == "InvalidParameterValueException"
    assert result.error.message.startswith(message)
    assert len(completed(result)) == (3 if output == {"Status": "PENDING"} else 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("broken"), "RuntimeError"),
        (SystemExit(3), "Runtime.ExitError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
    ],
)
def test_a_handler_that_crashes_is_called_five_times(runner_of, error, kind):
    def handler(event, context):
        raise error

    result = runner_of(handler).run("null")

    assert result.execution_status is ExecutionStatus.FAILED
    assert result.error.type == kind
    assert [event.details["Error"]["Payload"]["ErrorType"] for event in completed(result)] == [kind] * 5
    times = [event.event_timestamp for event in completed(result)]
    assert all((later - earlier).total_seconds() >= 5 for earlier, later in pairwise(times))


def test_user_code_that_exits_ends_its_invocation_and_not_the_runner(runner_of):
    made = []

    @durable_execution
    def handler(event, context):
        context.step(lambda _: "kept", name="before")
        made.append(1)
        if len(made) < 3:
            raise SystemExit(1)
        return context.step(lambda _: "done", name="after")

    result = runner_of(handler).run("null")

    assert value(result) == "done"
    assert len(completed(result)) == 3
    assert [event.event_type for event in result.history()].count("StepSucceeded") == 2


def test_an_invocation_that_ends_well_starts_the_count_of_crashes_anew(runner_of):
    made = []

    @durable_execution
    def handler(event, context):
        made.append(1)
        if len(made) not in (5, 10):
            raise SystemExit(1)
        context.wait(samples.seconds(1), name="between")
        return "done"

    result = runner_of(handler).run("null")

    assert value(result) == "done"
    assert len(completed(result)) == 10


def test_a_handler_that_hangs_is_given_up(runner_of, caplog):
    release = threading.Event()

    @durable_execution
    def handler(event, context):
        release.wait(20)
        return context.step(lambda _: "late", name="late")

    runner = runner_of(handler, invocation_timeout=60)
    try:
        arn = runner.run_async("null")
        with pytest.raises(TimeoutError, match="Execution did not complete within"):
            runner.wait_for_result(arn, timeout=0.1)
        result = runner_of(handler).run("null", execution_timeout=1)
        assert result.execution_status is ExecutionStatus.TIMED_OUT
    finally:
        release.set()


def test_an_invocation_that_takes_too_long_is_repeated(runner_of):
    release, made = threading.Event(), []

    @durable_execution
    def handler(event, context):
        made.append(1)
        if len(made) == 1:
            release.wait(20)
        return len(made)

    runner = runner_of(handler, invocation_timeout=1)
    try:
        result = runner.run("null", execution_timeout=30)
    finally:
        release.set()

    assert value(result) == 2
    assert completed(result)[0].details["Error"]["Payload"]["ErrorMessage"] == "Function timed out after 1 seconds"


def test_what_a_handler_does_after_it_was_given_up_counts_for_nothing(runner_of):
    release, over, made = threading.Event(), threading.Event(), []

    @durable_execution
    def handler(event, context):
        made.append(1)
        if len(made) == 1:
            release.wait(20)
            try:
                return context.step(lambda _: "late", name="one")
            finally:
                over.set()
        return context.step(lambda _: "right", name="one")

    runner = runner_of(handler, invocation_timeout=1)
    try:
        result = runner.run("null", execution_timeout=30)
    finally:
        release.set()
    assert over.wait(10)

    assert value(result) == "right"
    assert [event.event_type for event in result.history()].count("StepSucceeded") == 1
    assert [one.event_type for one in runner.get_execution_history(result.execution_arn).events] == [
        event.event_type for event in result.history()
    ]


def test_input_that_is_no_json_is_a_string(runner_of):
    handler = durable_execution(lambda event, context: event)
    runner = runner_of(handler)

    assert value(runner.run("plain text")) == "plain text"
    assert value(runner.run('{"a": 1}')) == {"a": 1}
    assert value(runner.run(json.dumps("ünï \N{SNOWMAN}"))) == "ünï \N{SNOWMAN}"


def test_an_unknown_execution_is_told_of(runner_of):
    runner = runner_of(samples.adds)

    for ask in (runner.wait_for_result, runner.wait_for_callback, runner.get_execution_history, runner.stop_execution):
        with pytest.raises(ResourceNotFoundException, match="Durable Execution does not exist"):
            ask("arn:aws:lambda:us-west-2:123456789012:function:f:$LATEST/durable-execution/none/none")


def test_an_execution_that_is_stopped_ends_as_stopped(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")
    runner.wait_for_callback(arn)

    runner.stop_execution(arn)
    runner.stop_execution(arn)
    result = runner.wait_for_result(arn)

    assert result.execution_status is ExecutionStatus.STOPPED
    assert result.status is InvocationStatus.FAILED
    assert result.error.message == "Execution stopped by user request"
    assert [event.event_type for event in result.history()].count("ExecutionStopped") == 1


def test_a_closed_runner_refuses(runner_of):
    runner = runner_of(samples.adds)
    runner.close()
    runner.close()

    with pytest.raises(ServiceException, match="stopped"):
        runner.run_async("null")


def test_a_runner_that_is_closed_leaves_no_thread(runner_of):
    before = set(threading.enumerate())
    runner = runner_of(samples.asks, callbacks={"approval": "yes"})
    runner.run("null")

    runner.close()

    assert set(threading.enumerate()) <= before


def test_a_paused_execution_is_not_invoked(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")
    callback_id = runner.wait_for_callback(arn)

    runner.pause_execution(arn)
    runner.send_callback_success(callback_id, b"yes")
    with pytest.raises(TimeoutError, match="PAUSED"):
        runner.wait_for_result(arn, timeout=0.1)
    runner.resume_execution(arn)

    result = runner.wait_for_result(arn)
    assert value(result) == "yes"
    kinds = [event.event_type for event in result.history()]
    assert kinds[kinds.index("ExecutionPaused") :] == [
        "ExecutionPaused",
        "CallbackSucceeded",
        "ExecutionResumed",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]


def test_a_pause_ends_a_running_invocation_at_its_next_checkpoint(runner_of):
    from steprig.aws.in_process import REVOCABLE

    entered, release = threading.Event(), threading.Event()

    @durable_execution
    def handler(event, context):
        def body(_):
            entered.set()
            assert release.wait(20)
            return "first"

        first = context.step(body, name="first")
        return first + context.step(lambda _: "second", name="second")

    runner = runner_of(handler)
    arn = runner.run_async("null")
    assert entered.wait(20)
    runner.timeline.wait_for(arn, lambda run: len(run.spans) == 1, timeout=20)
    pausing = threading.Thread(target=runner.pause_execution, args=(arn,))
    pausing.start()
    until_paused(runner, arn)
    release.set()
    pausing.join(20)
    assert not pausing.is_alive()
    kinds = [event.event_type for event in runner.get_execution_history(arn).events]
    assert kinds.count("StepSucceeded") == (1 if REVOCABLE else 2)

    if REVOCABLE:
        runner.resume_execution(arn)
    result = runner.wait_for_result(arn)
    assert value(result) == "firstsecond"
    assert [event.event_type for event in result.history()].count("StepSucceeded") == 2


def until_paused(runner, arn):
    runner.timeline.wait_for(arn, lambda run: run.status.value == "suspended", timeout=20)
