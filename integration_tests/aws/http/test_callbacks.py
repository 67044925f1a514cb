"""Callbacks that are answered over HTTP."""

import pytest

from ...waiting import until
from .. import samples
from .stage import ended, kinds


@pytest.fixture
def asked(server, client_of):
    """Starts a function that makes a callback; returns a client, the execution and the callback's id."""

    def ask(handler=samples.asks, **options):
        runner = server({"asks": handler}, **options)
        client = client_of(runner)
        arn = client.invoke(FunctionName="asks", InvocationType="Event")["DurableExecutionArn"]
        until(lambda: "InvocationCompleted" in kinds(client, arn), "that it waits")
        events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
        callback_id = next(
            one["CallbackStartedDetails"]["CallbackId"] for one in events if "Callback" in one["EventType"]
        )
        return client, arn, callback_id, runner

    return ask


@pytest.mark.parametrize("text", ['"yes"', '{"a": [1, 2]}', "no json", "ünï \N{SNOWMAN}", "%2F +"])
def test_a_result_arrives_as_it_was_sent(asked, text):
    client, arn, callback_id, _ = asked()

    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=text.encode())

    told = ended(client, arn)
    events = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    answered = next(one for one in events if one["EventType"] == "CallbackSucceeded")
    assert told["Status"] == "SUCCEEDED"
    assert answered["CallbackSucceededDetails"]["Result"]["Payload"] == text


def test_success_needs_no_result(asked):
    client, arn, callback_id, _ = asked()

    client.send_durable_execution_callback_success(CallbackId=callback_id)

    assert ended(client, arn)["Result"] == "null"


def test_a_failure_raises_with_its_error(asked):
    client, arn, callback_id, _ = asked()

    error = {"ErrorType": "Refused", "ErrorMessage": "no", "ErrorData": "{}", "StackTrace": ["here"]}
    client.send_durable_execution_callback_failure(CallbackId=callback_id, Error=error)

    assert ended(client, arn)["Status"] == "FAILED"
    events = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    failed = next(one for one in events if one["EventType"] == "CallbackFailed")
    assert failed["CallbackFailedDetails"]["Error"]["Payload"] == error


def test_a_failure_needs_no_error(asked):
    client, arn, callback_id, _ = asked()

    client.send_durable_execution_callback_failure(CallbackId=callback_id)

    assert ended(client, arn)["Status"] == "FAILED"


def test_a_sign_of_life_puts_off_the_deadline(asked):
    client, arn, callback_id, runner = asked(samples.listens, timeout=7200)

    runner.advance(minutes=4)
    client.send_durable_execution_callback_heartbeat(CallbackId=callback_id)
    runner.advance(minutes=4)

    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "RUNNING"
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1")
    assert ended(client, arn)["Status"] == "SUCCEEDED"


def answers(client, callback_id):
    """The three requests, for one that cannot be answered."""
    return [
        lambda: client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1"),
        lambda: client.send_durable_execution_callback_failure(CallbackId=callback_id),
        lambda: client.send_durable_execution_callback_heartbeat(CallbackId=callback_id),
    ]


def test_a_callback_is_answered_once(asked):
    client, arn, callback_id, _ = asked()
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"1")
    ended(client, arn)

    for answer in answers(client, callback_id):
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="Callback does not exist any more"):
            answer()


def test_an_answer_may_be_too_late(asked):
    from aws_durable_execution_sdk_python import durable_execution
    from aws_durable_execution_sdk_python.config import CallbackConfig, Duration

    @durable_execution
    def handler(event, context):
        callback = context.create_callback(config=CallbackConfig(timeout=Duration.from_hours(1)))
        context.create_callback(name="keeps it open").result()
        return callback.result()

    client, _, callback_id, runner = asked(handler, timeout=7200)
    runner.advance(minutes=61)

    for answer in answers(client, callback_id):
        with pytest.raises(client.exceptions.CallbackTimeoutException, match="Callback timed out") as late:
            answer()
        assert late.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("callback_id", ["bm9uZQ==", "none", "b25lfHR3bw=="])
def test_a_callback_that_is_not_there_is_told_of(server, client_of, callback_id):
    client = client_of(server())

    for answer in answers(client, callback_id):
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="does not exist"):
            answer()


def test_a_result_has_a_limit(asked):
    client, arn, callback_id, _ = asked()

    with pytest.raises(client.exceptions.InvalidParameterValueException, match="less than or equal to 1048576 bytes"):
        client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"x" * 1_048_577)
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"x" * 1_048_576)

    assert ended(client, arn)["Status"] == "SUCCEEDED"


def test_a_result_is_text(asked):
    client, arn, callback_id, _ = asked()

    with pytest.raises(client.exceptions.InvalidParameterValueException, match="must be UTF-8"):
        client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"\xff\xfe")

    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "RUNNING"
