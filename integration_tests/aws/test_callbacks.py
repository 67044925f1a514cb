"""Callbacks: answered by the test, in advance, or not at all."""

import threading
import time
from datetime import timedelta

import pytest
from aws_durable_execution_sdk_python.lambda_service import ErrorObject, OperationStatus

from steprig.aws import (
    CallbackTimeoutException,
    DurableFunctionsTestError,
    ExecutionStatus,
    InvalidParameterValueException,
    ResourceNotFoundException,
)

from . import samples
from .samples import value


def types(result):
    return [event.event_type for event in result.history()]


def test_a_test_answers(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")

    callback_id = runner.wait_for_callback(arn, name="approval")
    runner.send_callback_success(callback_id, b"yes")
    result = runner.wait_for_result(arn)

    assert value(result) == "yes"
    callback = result.get_callback("approval")
    assert callback.callback_id == callback_id
    assert callback.result == "yes"
    assert result.get_step("send").result.strip('"') == callback_id


def test_a_test_answers_with_an_error(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")

    error = ErrorObject("no", "Refused", None, None)
    runner.send_callback_failure(runner.wait_for_callback(arn), error)
    result = runner.wait_for_result(arn)

    assert result.execution_status is ExecutionStatus.FAILED
    assert result.get_callback("approval").error == error
    assert "no" in result.error.message


def test_a_failure_without_an_error_has_none_of_its_parts(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")

    runner.send_callback_failure(runner.wait_for_callback(arn))

    failed = next(event for event in runner.wait_for_result(arn).history() if event.event_type == "CallbackFailed")
    assert failed.details == {"Error": {"Payload": {}, "Truncated": False}}


def test_a_wait_for_callback_has_a_callback_and_a_submitter(runner_of):
    runner = runner_of(samples.waits_for_callback)
    arn = runner.run_async("null")

    runner.send_callback_success(runner.wait_for_callback(arn, name="approval create callback id"), b'"ok"')
    result = runner.wait_for_result(arn)

    context = result.get_context("approval")
    assert context.get_callback("approval create callback id").status is OperationStatus.SUCCEEDED
    assert context.get_step("approval submitter").status is OperationStatus.SUCCEEDED


@pytest.mark.parametrize("handler", [samples.asks, samples.waits_for_callback])
@pytest.mark.parametrize("answer", ["yes", b"yes", lambda callback: "yes"])
def test_an_answer_is_given_in_advance(runner_of, handler, answer):
    result = runner_of(handler, callbacks={"approval": answer}).run("null")

    assert value(result) == "yes"
    made = types(result).index("CallbackStarted")
    assert types(result)[made:].index("InvocationCompleted") < types(result)[made:].index("CallbackSucceeded")


def test_an_answer_in_advance_may_be_an_error(runner_of):
    def refuse(callback):
        raise PermissionError(f"not {callback.name}")

    result = runner_of(samples.asks, callbacks={"approval": refuse}).run("null")

    assert result.get_callback("approval").error.type == "PermissionError"
    assert result.get_callback("approval").error.message == "not approval"


def test_other_callbacks_are_not_answered_in_advance(runner_of):
    runner = runner_of(samples.asks, callbacks={"another": 1})
    arn = runner.run_async("null")

    assert runner.wait_for_callback(arn, "approval")


def test_whoever_skips_deadlines_sees_the_timeout_at_once(runner_of):
    started = time.monotonic()

    result = runner_of(samples.asks).run("null", skip_deadlines=True)

    assert time.monotonic() - started < 30
    callback = result.get_callback("approval")
    assert callback.status is OperationStatus.TIMED_OUT
    assert (callback.error.type, callback.error.message) == ("Callback.Timeout", "Callback timed out")
    assert callback.end_timestamp - callback.start_timestamp >= timedelta(hours=1)


def test_the_clock_can_be_moved_past_a_timeout(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")
    callback_id = runner.wait_for_callback(arn)

    runner.advance(minutes=59)
    assert types_so_far(runner, arn).count("CallbackTimedOut") == 0
    runner.advance(minutes=2)

    assert runner.wait_for_result(arn).get_callback("approval").status is OperationStatus.TIMED_OUT
    with pytest.raises(CallbackTimeoutException):
        runner.send_callback_success(callback_id, b"late")


def types_so_far(runner, arn):
    return [event.event_type for event in runner.get_execution_history(arn).events]


def test_signs_of_life_put_off_the_heartbeat_timeout(runner_of):
    runner = runner_of(samples.listens)
    arn = runner.run_async("null")
    callback_id = runner.wait_for_callback(arn, "worker")

    for _ in range(3):
        runner.advance(minutes=4)
        runner.send_callback_heartbeat(callback_id)
    assert types_so_far(runner, arn).count("CallbackTimedOut") == 0
    runner.advance(minutes=6)

    error = runner.wait_for_result(arn).get_callback("worker").error
    assert (error.type, error.message) == ("Callback.Heartbeat", "Callback timed out on heartbeat")


def test_a_deadline_passes_in_real_time_while_somebody_waits(runner_of):
    from aws_durable_execution_sdk_python import durable_execution
    from aws_durable_execution_sdk_python.config import CallbackConfig

    @durable_execution
    def handler(event, context):
        return context.create_callback(name="one", config=CallbackConfig(timeout=samples.seconds(1))).result()

    result = runner_of(handler).run("null")

    assert result.get_callback("one").status is OperationStatus.TIMED_OUT


def test_an_execution_times_out_in_real_time_while_somebody_waits(runner_of):
    result = runner_of(samples.asks).run("null", execution_timeout=1)

    assert result.execution_status is ExecutionStatus.TIMED_OUT
    assert result.error.message == "Execution timed out after 1 seconds."


def test_an_execution_timeout_that_was_asked_for_holds_on_the_clock(runner_of):
    result = runner_of(samples.sleeps).run("null", execution_timeout=3600, skip_deadlines=True)

    assert result.execution_status is ExecutionStatus.TIMED_OUT


def test_an_execution_timeout_that_nobody_asked_for_does_not(runner_of):
    result = runner_of(samples.sleeps).run("null", skip_deadlines=True)

    assert result.execution_status is ExecutionStatus.SUCCEEDED


def test_an_answer_while_the_function_runs_is_seen_by_it(runner_of):
    from aws_durable_execution_sdk_python import durable_execution

    @durable_execution
    def handler(event, context):
        callback = context.create_callback(name="own")
        context.step(lambda _: runner.send_callback_success(callback.callback_id, b"mine"), name="answer")
        return callback.result()

    runner = runner_of(handler)
    result = runner.run("null")

    assert value(result) == "mine"
    assert types(result).count("InvocationCompleted") == 1


def test_many_threads_answer_at_once_and_one_wins(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")
    callback_id = runner.wait_for_callback(arn)
    refused = []
    barrier = threading.Barrier(8)

    def answer(number):
        barrier.wait()
        try:
            runner.send_callback_success(callback_id, str(number).encode())
        except ResourceNotFoundException as error:
            refused.append(error)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert types(runner.wait_for_result(arn)).count("CallbackSucceeded") == 1
    assert len(refused) == 7


@pytest.mark.parametrize("unknown", ["", "nonsense", "AAAA", "YXxi", "\N{SNOWMAN}"])
def test_an_unknown_callback_is_told_of(runner_of, unknown):
    runner = runner_of(samples.asks)

    for send in (runner.send_callback_success, runner.send_callback_failure, runner.send_callback_heartbeat):
        with pytest.raises(ResourceNotFoundException):
            send(unknown)


@pytest.mark.parametrize("result", [b"x" * 1_048_577, b"\xff"])
def test_a_result_that_cannot_be_is_refused_and_the_callback_stays_open(runner_of, result):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")
    callback_id = runner.wait_for_callback(arn)

    with pytest.raises(InvalidParameterValueException):
        runner.send_callback_success(callback_id, result)

    runner.send_callback_success(callback_id, b"fine")
    assert value(runner.wait_for_result(arn)) == "fine"


def test_a_named_callback_that_is_answered_is_an_error_to_wait_for(runner_of):
    runner = runner_of(samples.asks, callbacks={"approval": "yes"})
    arn = runner.run_async("null")
    runner.wait_for_result(arn)

    with pytest.raises(DurableFunctionsTestError, match="already completed"):
        runner.wait_for_callback(arn, "approval")


def test_waiting_in_vain_says_where_the_execution_is(runner_of):
    runner = runner_of(samples.asks)
    arn = runner.run_async("null")
    runner.wait_for_callback(arn)

    with pytest.raises(
        TimeoutError, match=r"(?s)Callback 'other' did not become available within 0.05 s.*RUNNING.*approval.*waiting"
    ):
        runner.wait_for_callback(arn, "other", timeout=0.05)
    with pytest.raises(TimeoutError, match=r"(?s)Execution did not complete within 0.05 s.*approval"):
        runner.wait_for_result(arn, timeout=0.05)


@pytest.mark.parametrize("answer", [lambda callback: object(), b"x" * 1_048_577])
def test_an_answer_in_advance_that_cannot_be_sent_fails_the_callback(runner_of, answer):
    result = runner_of(samples.asks, callbacks={"approval": answer}).run("null")

    assert result.get_callback("approval").status is OperationStatus.FAILED
