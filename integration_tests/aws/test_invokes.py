"""Functions that invoke others."""

import json
import threading

import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.lambda_service import OperationStatus

from steprig.aws import ExecutionStatus

from . import samples
from .samples import value


def invoke(runner, function, payload=None, **options):
    return runner.run(json.dumps({"function": function, "payload": payload}), **options)


def event(result, kind):
    return next(one for one in result.history() if one.event_type == kind)


def test_a_durable_function_runs_as_an_execution_of_its_own(runner_of, any_journal):
    runner = runner_of(samples.calls, store=any_journal).register_durable_function("nested", samples.nests)

    result = invoke(runner, "nested", 4)

    assert value(result) == 9
    assert result.get_invoke("call").status is OperationStatus.SUCCEEDED
    details = event(result, "ChainedInvokeStarted").details
    assert details["ExecutedVersion"] == "$LATEST"
    child = runner.get_execution_history(details["DurableExecutionArn"]).events
    assert (child[0].event_type, child[-1].event_type) == ("ExecutionStarted", "ExecutionSucceeded")


def test_a_plain_function_is_called_once(runner_of):
    seen = []

    def plain(payload, context):
        seen.append((payload, context.function_name, context.aws_request_id))
        return {"got": payload}

    runner = runner_of(samples.calls).register_function("plain", plain)

    assert value(invoke(runner, "plain", [1, 2])) == {"got": [1, 2]}
    assert len(seen) == 1
    assert seen[0][:2] == ([1, 2], "plain")


@pytest.mark.parametrize(
    "name", ["target", "target:$LATEST", "arn:aws:lambda:us-west-2:123456789012:function:target", "target:7"]
)
def test_a_function_is_found_by_each_form_of_its_name(runner_of, name):
    runner = runner_of(samples.calls).register_function("target", lambda payload, context: context.function_version)

    assert value(invoke(runner, name)) == ("7" if name.endswith("7") else "$LATEST")


def test_a_qualified_registration_goes_before_the_bare_one(runner_of):
    runner = runner_of(samples.calls)
    runner.register_function("target", lambda payload, context: "bare")
    runner.register_function("target:2", lambda payload, context: "two")

    assert value(invoke(runner, "target:2")) == "two"
    assert value(invoke(runner, "target:3")) == "bare"


def test_an_unknown_function_fails_at_once(runner_of):
    result = invoke(runner_of(samples.calls), "nobody")

    assert result.execution_status is ExecutionStatus.FAILED
    error = result.get_invoke("call").error
    assert (error.type, error.message) == ("ResourceNotFoundException", "Function not found: nobody.")
    assert [one.event_type for one in result.history()].count("InvocationCompleted") == 1


def test_a_plain_function_that_raises_fails_the_invoke(runner_of):
    def plain(payload, context):
        raise KeyError("lost")

    result = invoke(runner_of(samples.calls).register_function("plain", plain), "plain")

    assert result.get_invoke("call").status is OperationStatus.FAILED
    assert result.get_invoke("call").error.type == "KeyError"


@pytest.mark.parametrize("output", [object(), "x" * 1_048_577])
def test_a_plain_function_that_returns_what_cannot_be_sent_fails_the_invoke(runner_of, output):
    runner = runner_of(samples.calls).register_function("plain", lambda payload, context: output)

    assert invoke(runner, "plain").get_invoke("call").status is OperationStatus.FAILED


def test_a_durable_function_that_fails_fails_the_invoke(runner_of):
    handler, _ = samples.flaky(9, attempts=1)

    result = invoke(runner_of(samples.calls).register_durable_function("flaky", handler), "flaky")

    assert result.get_invoke("call").error.message == "attempt 1"


def test_a_durable_function_that_takes_too_long_times_out_the_invoke(runner_of):
    runner = runner_of(samples.calls, skip_deadlines=True)
    runner.register_durable_function("slow", samples.sleeps, execution_timeout=60)

    result = invoke(runner, "slow")

    invoke_operation = result.get_invoke("call")
    assert invoke_operation.status is OperationStatus.TIMED_OUT
    assert invoke_operation.error.type == "ChainedInvoke.Timeout"
    assert invoke_operation.error.message == "CHAINED_INVOKE timed out after 60 seconds."


def test_a_durable_function_that_is_stopped_stops_the_invoke(runner_of):
    runner = runner_of(samples.calls).register_durable_function("asks", samples.asks)
    arn = runner.run_async(json.dumps({"function": "asks"}))
    runner.timeline.wait_for(arn, lambda run: len(run.spans) == 1, timeout=15)
    started = runner.get_execution_history(arn).events[1]
    child = runner.timeline.wait_for(started.details["DurableExecutionArn"], lambda run: True, timeout=15)
    assert child.parent_id == arn
    runner.wait_for_callback(child.id)

    runner.stop_execution(child.id)

    invoke_operation = runner.wait_for_result(arn).get_invoke("call")
    assert invoke_operation.status is OperationStatus.STOPPED
    assert invoke_operation.error.message == "Execution stopped by user request"


def test_callbacks_of_invoked_functions_are_answered_in_advance(runner_of):
    runner = runner_of(samples.calls, callbacks={"approval": "yes"}).register_durable_function("asks", samples.asks)

    assert value(invoke(runner, "asks")) == "yes"


def test_a_function_invokes_itself(runner_of):
    @durable_execution
    def factorial(number, context):
        return number * context.invoke("test-function", number - 1, name="less") if number > 1 else 1

    assert value(runner_of(factorial).run("6")) == 720


def test_functions_that_wait_for_each_other_do_not_starve(runner_of):
    @durable_execution
    def fans_out(event, context):
        branches = [lambda branch, n=n: branch.invoke("plain", n, name=f"call {n}") for n in range(20)]
        return context.parallel(branches, name="all").get_results()

    runner = runner_of(fans_out).register_function("plain", lambda payload, context: payload * 2)

    assert value(runner.run("null")) == [n * 2 for n in range(20)]


def test_a_plain_function_that_hangs_times_out_and_time_goes_on_without_it(runner_of):
    release = threading.Event()

    @durable_execution
    def handler(event, context):
        try:
            context.invoke("slow", None, name="call")
        except Exception:  # noqa: BLE001 - each version of the SDK has its own
            context.wait(samples.seconds(60), name="after")
            return "gave up"

    runner = runner_of(handler, invocation_timeout=1)
    runner.register_function("slow", lambda payload, context: release.wait(20))
    try:
        result = runner.run("null", execution_timeout=30)
    finally:
        release.set()

    assert value(result) == "gave up"
    assert result.get_invoke("call").error.type == "Sandbox.Timedout"
    assert "Task timed out after 1.0" in result.get_invoke("call").error.message
