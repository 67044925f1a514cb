"""Functions that are not durable, invoked by `Event`: what becomes of those that fail."""

import logging
import threading
import time
from datetime import timedelta

import pytest
from aws_durable_execution_sdk_python import durable_execution

from steprig.kernel import RealClock, VirtualClock

from ...waiting import until
from .stage import ended, kinds

MINUTE = timedelta(minutes=1)


class Failing:
    """Fails so many times, and notes when it was called on the clock, and under which ids."""

    def __init__(self, clock, times=1000) -> None:
        self._clock = clock
        self._times = times
        self.called = []
        self.ids = set()

    def __call__(self, event, context):
        self.called.append(self._clock.now())
        self.ids.add(context.aws_request_id)
        if len(self.called) <= self._times:
            raise ValueError("no good")

    def apart(self):
        return [later - earlier for earlier, later in zip(self.called, self.called[1:], strict=False)]


@pytest.fixture
def clock():
    with VirtualClock() as clock:
        yield clock


@pytest.fixture
def failing(clock):
    return Failing(clock)


def dropped(caplog):
    return [record.getMessage() for record in caplog.records if "was dropped" in record.getMessage()]


def send(client, name="f"):
    assert client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")["StatusCode"] == 202


def test_an_event_is_tried_again_after_one_minute_and_after_two_and_then_dropped(
    server, client_of, clock, failing, caplog
):
    began = time.monotonic()

    send(client_of(server(plain={"f": failing}, clock=clock)))
    until(lambda: dropped(caplog), "that the event is dropped")

    first, second = failing.apart()
    assert timedelta() <= first - MINUTE < timedelta(seconds=1)
    assert timedelta() <= second - 2 * MINUTE < timedelta(seconds=1)
    assert len(failing.ids) == 1
    (message,) = dropped(caplog)
    assert "for function f " in message
    assert "condition RetriesExhausted, approximateInvokeCount 3): ValueError: no good" in message
    assert [record.levelno for record in caplog.records if "was dropped" in record.getMessage()] == [logging.WARNING]
    assert time.monotonic() - began < 60


def test_an_event_that_succeeds_in_the_end_is_done_with(server, client_of, clock, caplog):
    failing = Failing(clock, times=2)

    send(client_of(server(plain={"f": failing}, clock=clock)))
    until(lambda: len(failing.called) == 3, "the third attempt")
    clock.advance(timedelta(hours=7))

    assert len(failing.called) == 3
    assert not dropped(caplog)


def test_in_real_time_it_really_waits(server, client_of):
    clock = RealClock()
    failing = Failing(clock)
    runner = server(plain={"f": failing, "other": lambda event, context: None}, clock=clock)
    client = client_of(runner)

    send(client)
    until(lambda: failing.called, "the first attempt")
    for _ in range(50):  # time enough for one that does not wait
        client.invoke(FunctionName="other")
    runner.stop()

    assert len(failing.called) == 1


def test_a_request_is_not_tried_again(server, client_of, clock, failing):
    client = client_of(server(plain={"f": failing}, clock=clock))

    assert client.invoke(FunctionName="f")["FunctionError"] == "Unhandled"
    clock.advance(timedelta(hours=1))

    assert len(failing.called) == 1


def test_the_event_of_a_durable_function_starts_one_execution(server, client_of, clock):
    started = []

    @durable_execution
    def fails(event, context):
        started.append(context.lambda_context.aws_request_id)
        raise ValueError("no good")

    client = client_of(server({"f": fails}, clock=clock))

    arn = client.invoke(FunctionName="f", InvocationType="Event")["DurableExecutionArn"]
    ended(client, arn)
    clock.advance(timedelta(hours=7))

    assert len(started) == 1
    assert kinds(client, arn) == ["ExecutionStarted", "InvocationCompleted", "ExecutionFailed"]
    assert len(client.list_durable_executions_by_function(FunctionName="f")["DurableExecutions"]) == 1


def test_one_that_takes_too_long_has_failed(server, client_of, caplog):
    release, called = threading.Event(), []

    def hangs(event, context):
        called.append(event)
        release.wait(60)

    runner = server(plain={"f": hangs}, invocation_timeout_seconds=1)
    try:
        client = client_of(runner)
        client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
        send(client)
        until(lambda: dropped(caplog), "that the event is dropped")
    finally:
        release.set()

    assert "Function timed out after 1 seconds" in dropped(caplog)[0]
    assert len(called) == 1


# --- What may be set --------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 1])
def test_the_number_of_attempts_may_be_set(server, client_of, clock, failing, caplog, retries):
    client = client_of(server(plain={"f": failing}, clock=clock))

    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=retries)
    send(client)
    until(lambda: dropped(caplog), "that the event is dropped")

    assert len(failing.called) == retries + 1


def test_an_event_that_is_too_old_is_dropped(server, client_of, clock, failing, caplog):
    client = client_of(server(plain={"f": failing}, clock=clock))

    client.put_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=90)
    send(client)
    until(lambda: dropped(caplog), "that the event is dropped")

    assert len(failing.called) == 2
    assert "condition EventAgeExceeded, approximateInvokeCount 2" in dropped(caplog)[0]


def test_what_is_set_is_told_and_undone(server, client_of):
    client = client_of(server(plain={"f": lambda event, context: None}))

    put = client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
    updated = client.update_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=60)
    told = client.get_function_event_invoke_config(FunctionName="f")
    client.delete_function_event_invoke_config(FunctionName="f")

    assert put["FunctionArn"] == "arn:aws:lambda:us-west-2:123456789012:function:f:$LATEST"
    assert (put["MaximumRetryAttempts"], put["MaximumEventAgeInSeconds"]) == (1, 21600)
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (1, 60)
    assert told["LastModified"] == updated["LastModified"]
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="doesn't have an EventInvokeConfig"):
        client.get_function_event_invoke_config(FunctionName="f")


def test_an_alias_has_settings_of_its_own(server, client_of, clock, failing, caplog):
    client = client_of(server(plain={"f": failing}, clock=clock))

    client.put_function_event_invoke_config(FunctionName="f", Qualifier="live", MaximumRetryAttempts=0)
    send(client, "f:live")
    until(lambda: len(dropped(caplog)) == 1, "that the alias's event is dropped")
    by_alias = len(failing.called)
    send(client, "f")
    until(lambda: len(dropped(caplog)) == 2, "that the function's event is dropped")

    assert (by_alias, len(failing.called)) == (1, 4)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("f", {"MaximumRetryAttempts": 3}, "MaximumRetryAttempts must be between 0 and 2, not 3"),
        ("f", {"MaximumEventAgeInSeconds": 59}, "MaximumEventAgeInSeconds must be between 60 and 21600, not 59"),
        ("f", {"DestinationConfig": {"OnFailure": {"Destination": "arn:x"}}}, "DestinationConfig cannot be set"),
        ("durable", {"MaximumRetryAttempts": 1}, "durable is durable"),
    ],
)
def test_what_cannot_be_set_is_refused(server, raw_of, name, body, message):
    runner = server({"durable": durable_execution(lambda e, c: None)}, {"f": lambda event, context: None})

    refused = raw_of(runner).put(f"/2019-09-25/functions/{name}/event-invoke-config", json=body)

    assert refused.status_code == 400
    assert message in refused.json()["message"]
