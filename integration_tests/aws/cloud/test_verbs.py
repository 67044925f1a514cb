"""What a runner of functions that are deployed can do, and what it says when it cannot."""

import inspect
import threading
from datetime import timedelta

import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.lambda_service import ErrorObject, OperationStatus

from steprig.aws import (
    CallbackTimeoutException,
    DurableExecutionAlreadyStartedException,
    DurableFunctionCloudTestRunner,
    DurableFunctionsTestError,
    DurableFunctionWebTestRunner,
    ExecutionStatus,
    InvalidParameterValueException,
    RequestTooLargeException,
    ResourceNotFoundException,
)

from .. import samples
from ..samples import value
from .conftest import NAME

UNKNOWN = "arn:aws:lambda:us-west-2:123456789012:function:f:$LATEST/durable-execution/none/such"


@durable_execution
def echo(event, context):
    return event


@durable_execution
def asks_twice(event, context):
    first, second = (context.create_callback(name=name) for name in ("first", "second"))
    return [first.result(), second.result()]


@durable_execution
def works_beside(event, context):
    """Makes a callback, and stays busy."""
    callback = context.create_callback(name="made early")
    context.step(lambda _: RELEASE.wait(60), name="busy")
    return callback.result()


RELEASE = threading.Event()


def test_positional_arguments_are_those_of_the_peer():
    made = inspect.signature(DurableFunctionCloudTestRunner).parameters
    run = inspect.signature(DurableFunctionCloudTestRunner.run).parameters

    assert list(made)[:4] == ["function_name", "region", "lambda_endpoint", "poll_interval"]
    assert [made[name].default for name in list(made)[1:4]] == ["us-west-2", None, 1.0]
    assert list(run)[1:3] == ["input", "timeout"]
    assert (run["input"].default, run["timeout"].default) == (None, 60)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, None),
        ({"a": [1, None]}, {"a": [1, None]}),
        ('{"a": 1}', {"a": 1}),
        ("plain \N{SNOWMAN}", "plain \N{SNOWMAN}"),
        ("", ""),
        (7, 7),
    ],
)
def test_an_input_is_the_same_everywhere(anywhere, given, seen):
    assert value(anywhere(echo).run(given)) == seen


def test_a_large_input_arrives(cloud):
    length = 1_500_000

    assert value(cloud(durable_execution(lambda event, context: len(event))).run("x" * length)) == length


def test_an_input_may_be_too_large(cloud):
    with pytest.raises(RequestTooLargeException, match="smaller than 6291456 bytes"):
        cloud(echo).run("x" * 6_300_000)


def test_an_execution_is_called_what_the_test_wants(cloud):
    runner = cloud(echo)

    first, again = (runner.run_async(1, execution_name="mine") for _ in range(2))

    assert first == again
    assert "/durable-execution/mine/" in first
    with pytest.raises(DurableExecutionAlreadyStartedException):
        runner.run_async(2, execution_name="mine")
    assert runner.run_async(2) != runner.run_async(2)


def test_a_function_is_told_of_the_tenant(cloud):
    runner = cloud(durable_execution(lambda event, context: context.lambda_context.tenant_id))

    assert value(runner.run(tenant_id="blue")) == "blue"


def test_who_waits_in_vain_is_told_where_the_execution_is(cloud):
    runner = cloud(samples.asks)
    arn = runner.run_async()
    runner.wait_for_callback(arn)

    with pytest.raises(TimeoutError) as told:
        runner.wait_for_result(arn, timeout=0.2)

    lines = str(told.value).splitlines()
    assert lines[0] == "Execution did not complete within 0.2 s; the execution is RUNNING"
    assert lines[1].startswith(f"{NAME}  running")
    assert "approval  (Callback)  waiting" in str(told.value)


def test_run_is_over_in_its_time(cloud):
    with pytest.raises(TimeoutError, match="Execution did not complete within"):
        cloud(samples.asks).run(timeout=0.3)


def test_a_callback_that_nobody_makes_is_not_waited_for_longer_than_wished(cloud):
    runner = cloud(samples.asks)
    arn = runner.run_async()

    with pytest.raises(
        TimeoutError, match=r"Callback 'another' did not become available within 0.3 s; the execution is RUNNING"
    ):
        runner.wait_for_callback(arn, "another", timeout=0.3)


def test_a_callback_is_found_by_its_name_and_else_the_latest(anywhere):
    runner = anywhere(asks_twice)
    arn = runner.run_async("null")

    latest = runner.wait_for_callback(arn)
    first, second = runner.wait_for_callback(arn, "first"), runner.wait_for_callback(arn, "second")
    runner.send_callback_success(second, b"two")
    with pytest.raises(DurableFunctionsTestError, match="Callback second has already completed"):
        runner.wait_for_callback(arn, "second")
    runner.send_callback_success(first, b"one")

    assert latest == second != first
    assert value(runner.wait_for_result(arn)) == ["one", "two"]
    with pytest.raises(
        DurableFunctionsTestError, match="Callback did not become available; the execution is SUCCEEDED"
    ):
        runner.wait_for_callback(arn)


def test_a_callback_can_be_answered_once_the_invocation_is_over_that_made_it(anywhere):
    RELEASE.clear()
    runner = anywhere(works_beside)
    arn = runner.run_async("null")
    try:
        with pytest.raises(TimeoutError):
            runner.wait_for_callback(arn, "made early", timeout=0.5)
    finally:
        RELEASE.set()

    runner.send_callback_success(runner.wait_for_callback(arn, "made early"), b"yes")

    assert value(runner.wait_for_result(arn)) == "yes"


def test_answers_that_nobody_asked_for_are_refused(anywhere):
    runner = anywhere(samples.asks)

    for send in (runner.send_callback_success, runner.send_callback_failure, runner.send_callback_heartbeat):
        with pytest.raises(ResourceNotFoundException):
            send("AAAA")


def test_an_answer_that_comes_too_late_is_refused(web):
    runner = web(samples.asks)
    arn = runner.run_async()
    callback_id = runner.wait_for_callback(arn)

    runner.advance(hours=2)

    assert runner.wait_for_result(arn).get_callback("approval").status is OperationStatus.TIMED_OUT
    with pytest.raises(CallbackTimeoutException):
        runner.send_callback_success(callback_id, b"late")


def test_signs_of_life_put_off_the_heartbeat_timeout(web):
    runner = web(samples.listens)
    arn = runner.run_async()
    callback_id = runner.wait_for_callback(arn, "worker")

    for _ in range(3):
        runner.advance(minutes=4)
        runner.send_callback_heartbeat(callback_id)
    runner.send_callback_success(callback_id, b"alive")

    assert value(runner.wait_for_result(arn)) == "alive"


def test_what_boto3_refuses_is_refused_as_by_the_service(cloud):
    with pytest.raises(InvalidParameterValueException, match="CallbackId"):
        cloud(samples.asks).send_callback_success("")


def test_an_execution_is_stopped(anywhere):
    runner = anywhere(samples.asks)
    arn = runner.run_async("null")
    runner.wait_for_callback(arn)

    runner.stop_execution(arn, ErrorObject("enough", "Stopped", None, None))
    result = runner.wait_for_result(arn)

    assert result.execution_status is ExecutionStatus.STOPPED
    assert result.status.value == "FAILED"
    assert (result.error.type, result.error.message) == ("Stopped", "enough")


def test_an_execution_times_out(cloud):
    result = cloud(samples.asks, timeout=1).run()

    assert result.execution_status is ExecutionStatus.TIMED_OUT
    assert result.error.message == "Execution timed out after 1 seconds."


def test_an_unknown_execution_is_told_of(anywhere):
    runner = anywhere(echo)

    for ask in (runner.wait_for_result, runner.wait_for_callback, runner.get_execution_history):
        with pytest.raises(ResourceNotFoundException):
            ask(UNKNOWN)


def test_history_leaves_data_out_unless_it_is_asked_for(cloud):
    runner = cloud(samples.adds)
    arn = runner.run({"left": 1, "right": 2}).execution_arn

    bare = runner.get_execution_history(arn).events
    full = runner.get_execution_history(arn, include_execution_data=True).events

    assert bare[-1].to_dict()["ExecutionSucceededDetails"] == {"Result": {"Truncated": True}}
    assert full[-1].to_dict()["ExecutionSucceededDetails"] == {"Result": {"Payload": "3", "Truncated": False}}
    assert full[0].event_timestamp.utcoffset() == timedelta(0)


def test_a_function_that_is_not_durable_is_told_of(opened, deployed):
    server = deployed(echo).register_function("plain", lambda event, context: event)
    runner = opened.enter_context(DurableFunctionCloudTestRunner("plain", lambda_endpoint=server.endpoint_url))

    with pytest.raises(DurableFunctionsTestError, match="plain is not durable"):
        runner.run()


def test_a_function_that_is_not_there_is_told_of(opened, deployed):
    server = deployed(echo)
    runner = opened.enter_context(DurableFunctionCloudTestRunner("nobody", lambda_endpoint=server.endpoint_url))

    with pytest.raises(ResourceNotFoundException, match=r"Function not found: .*nobody"):
        runner.run()


def test_a_function_finds_what_is_deployed_beside_it(opened, deployed):
    server = deployed(samples.calls, nested=samples.nests)
    runner = opened.enter_context(DurableFunctionCloudTestRunner(NAME, lambda_endpoint=server.endpoint_url))

    result = runner.run({"function": "nested", "payload": 4})

    started = next(event for event in result.history() if event.event_type == "ChainedInvokeStarted")
    child = runner.wait_for_result(started.details["DurableExecutionArn"])
    assert (value(result), value(child)) == (9, 9)
    assert child.get_context("child").get_step("double").result == "8"


def test_a_server_of_its_own_may_get_more_functions(web):
    runner = web(samples.calls)
    runner.register_durable_function("nested", samples.nests).register_function("inc", lambda event, context: event + 1)

    assert value(runner.run({"function": "nested", "payload": 4})) == 9
    assert value(runner.run({"function": "inc", "payload": 4})) == 5
    assert len(runner.timeline.runs()) == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda runner: runner.register_durable_function("f", echo),
        lambda runner: runner.register_function("f", print),
        lambda runner: runner.advance(hours=1),
        lambda runner: runner.clock,
    ],
)
def test_what_cannot_be_done_to_deployed_functions_is_said(cloud, ask):
    with pytest.raises(DurableFunctionsTestError, match="functions that are deployed cannot"):
        ask(cloud(echo))


def test_a_client_can_be_brought_along_and_stays_open(deployed, monkeypatch):
    client, closed = deployed(echo).client(), []
    monkeypatch.setattr(client, "close", lambda: closed.append(client))
    with DurableFunctionCloudTestRunner(NAME, client=client) as runner:
        assert runner.lambda_client is client
        assert value(runner.run(1)) == 1

    assert closed == []
    monkeypatch.undo()
    client.close()


def test_closing_ends_all_waiting(cloud):
    runner = cloud(samples.asks, poll_interval=60)
    arn = runner.run_async()
    runner.wait_for_callback(arn)
    told, waiting = [], threading.Event()

    def wait():
        waiting.set()
        try:
            runner.wait_for_result(arn)
        except DurableFunctionsTestError as error:
            told.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait(20)
    runner.close()
    runner.close()
    thread.join(50)

    assert len(told) == 1
    assert "closed" in told[0]
    with pytest.raises(DurableFunctionsTestError, match="the runner is closed"):
        runner.run()


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_the_time_between_looks_has_to_be_one(interval):
    with pytest.raises(ValueError, match="poll_interval"):
        DurableFunctionCloudTestRunner("f", poll_interval=interval)


def test_a_boto3_that_is_too_old_is_told_of():
    with pytest.raises(DurableFunctionsTestError, match=r"boto3 .* knows no durable executions"):
        DurableFunctionCloudTestRunner("f", client=object())


def test_what_boto3_does_not_know_yet_is_told_of(cloud):
    runner = cloud(samples.asks)
    arn = runner.run_async()
    if hasattr(runner.lambda_client, "pause_durable_execution"):
        runner.wait_for_callback(arn)
        runner.pause_execution(arn)
        runner.resume_execution(arn)
    else:
        with pytest.raises(DurableFunctionsTestError, match="knows no pause_durable_execution"):
            runner.pause_execution(arn)


def test_nothing_of_a_server_is_left():
    with DurableFunctionWebTestRunner(echo) as runner:
        assert value(runner.run(1)) == 1
    runner.close()

    assert not runner.web.is_running
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("steprig")]
    assert runner.timeline.runs()[0].status == "completed"


def test_many_threads_run_executions(elsewhere):
    runner = elsewhere.of(samples.sleeps)
    results = []
    threads = [threading.Thread(target=lambda: results.append(runner.run())) for _ in range(10)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)

    assert [value(result) for result in results] == ["done"] * 10
    assert len({result.execution_arn for result in results}) == 10


def test_what_the_start_took_is_part_of_the_timeout(cloud, monkeypatch):
    left = []
    runner = cloud(samples.adds)
    monkeypatch.setattr(runner, "run_async", lambda *args, **options: threading.Event().wait(0.05) or "arn")
    monkeypatch.setattr(runner, "wait_for_result", lambda arn, timeout: left.append(timeout))

    runner.run(timeout=30)
    runner.run(timeout=0.01)

    assert 0 < left[0] <= 29.95
    assert left[1] == 0


def test_a_client_of_its_own_waits_longer_than_a_function_may_take(cloud):
    runner = cloud(samples.adds)

    assert runner.lambda_client.meta.config.read_timeout > 900


def test_a_client_of_its_own_is_closed_once(cloud, monkeypatch):
    runner, closed = cloud(samples.adds), []
    close = runner.lambda_client.close
    monkeypatch.setattr(runner.lambda_client, "close", lambda: closed.append("closed") or close())

    runner.close()
    runner.close()

    assert closed == ["closed"]
