"""Reserved concurrency: what comes to a function that runs as often as it may."""

import threading
from concurrent import futures
from datetime import timedelta

import boto3
import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration
from botocore.config import Config

from steprig.kernel import VirtualClock

from ...waiting import until
from .stage import payload

AT_ONCE = Config(retries={"total_max_attempts": 1})


class Busy:
    """Runs until it is let go, and counts how many of it run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._go = threading.Event()
        self.running = self.most = self.calls = 0

    def __call__(self, event, context):
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._go.wait(60), "nobody lets it go"
        with self._lock:
            self.running -= 1
        return event

    def let_go(self):
        self._go.set()


@pytest.fixture
def busy():
    function = Busy()
    yield function
    function.let_go()


@pytest.fixture
def impatient(opened):
    """A client that tries nothing again by itself."""

    def client_of(runner):
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-west-2"}
        client = boto3.client("lambda", endpoint_url=runner.endpoint_url, config=AT_ONCE, **keys)
        opened.callback(client.close)
        return client

    return client_of


@pytest.fixture
def pool():
    with futures.ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.mark.parametrize("durable", [False, True])
def test_a_request_that_is_one_too_many_is_refused(server, impatient, busy, pool, durable):
    handler = durable_execution(lambda event, context: busy(event, context)) if durable else busy
    runner = server(**{"durable" if durable else "plain": {"f": handler}})
    client = impatient(runner)
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    first = pool.submit(client.invoke, FunctionName="f", Payload=b"1")
    until(lambda: busy.running == 1, "that it runs")

    with pytest.raises(client.exceptions.TooManyRequestsException) as refused:
        client.invoke(FunctionName="f", Payload=b"2")
    busy.let_go()

    told = refused.value.response
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert told["Error"]["Code"] == "TooManyRequestsException"
    assert told["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert told["message"] == "Rate Exceeded."
    assert told["Type"] == "User"
    assert int(told["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
    assert payload(first.result()) == 1
    assert busy.calls == 1
    assert payload(client.invoke(FunctionName="f", Payload=b"3")) == 3


def test_a_client_that_tries_again_gets_through(server, client_of, busy, pool):
    client = client_of(server(plain={"f": busy}))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)

    answers = [pool.submit(client.invoke, FunctionName="f", Payload=str(number).encode()) for number in range(2)]
    until(lambda: busy.running == 1, "that one runs")
    busy.let_go()

    assert {payload(answer.result()) for answer in answers} == {0, 1}
    assert busy.most == 1


def test_versions_share_what_is_reserved(server, impatient, busy, pool):
    client = impatient(server(plain={"f": busy, "f:1": busy}))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    pool.submit(client.invoke, FunctionName="f:1")
    until(lambda: busy.running == 1, "that it runs")

    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName="f")
    busy.let_go()


def test_an_event_waits_for_its_turn(server, impatient, busy):
    client = impatient(server(plain={"f": busy}))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)

    for number in range(4):
        client.invoke(FunctionName="f", InvocationType="Event", Payload=str(number).encode())
    until(lambda: busy.running == 1, "that one runs")
    busy.let_go()

    until(lambda: busy.calls == 4, "that all have run")
    assert busy.most == 1


def test_an_event_that_never_gets_its_turn_is_dropped_after_six_hours(server, impatient, caplog):
    called = []
    clock = VirtualClock()
    began = clock.now()
    client = impatient(server(plain={"f": lambda event, context: called.append(event)}, clock=clock))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)

    client.invoke(FunctionName="f", InvocationType="Event")
    until(lambda: "was dropped" in caplog.text, "that the event is dropped")

    assert "condition EventAgeExceeded, approximateInvokeCount 0" in caplog.text
    assert timedelta(hours=6) < clock.now() - began < timedelta(hours=6, minutes=6)
    assert called == []


def test_the_invocations_of_executions_wait_for_their_turn(server, impatient):
    lock, running, most = threading.Lock(), [0], [0]

    def step(_):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1

    @durable_execution
    def works(event, context):
        for number in range(3):
            context.step(step, name=f"step {number}")
            context.wait(Duration.from_hours(1))
        return event

    client = impatient(server({"f": works}))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)

    arns = [
        client.invoke(FunctionName="f", InvocationType="Event", Payload=str(number).encode())["DurableExecutionArn"]
        for number in range(5)
    ]
    results = [
        until(lambda arn=arn: client.get_durable_execution(DurableExecutionArn=arn).get("Result"), f"the end of {arn}")
        for arn in arns
    ]

    assert results == ["0", "1", "2", "3", "4"]
    assert most == [1]


def test_an_execution_that_was_started_is_found_though_no_other_could_begin(server, impatient, busy):
    client = impatient(server({"f": durable_execution(lambda event, context: busy(event, context))}))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    call = {"FunctionName": "f", "DurableExecutionName": "one"}
    arn = client.invoke(InvocationType="Event", **call)["DurableExecutionArn"]
    until(lambda: busy.running == 1, "that it runs")
    threading.Timer(0.2, busy.let_go).start()

    assert client.invoke(**call)["DurableExecutionArn"] == arn


def test_what_is_reserved_is_told_and_undone(server, impatient):
    client = impatient(server(plain={"f": lambda event, context: event}))

    before = client.get_function_concurrency(FunctionName="f")
    put = client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    told = client.get_function_concurrency(FunctionName="f")
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName="f")
    client.delete_function_concurrency(FunctionName="f")

    assert "ReservedConcurrentExecutions" not in before
    assert put["ReservedConcurrentExecutions"] == told["ReservedConcurrentExecutions"] == 0
    assert payload(client.invoke(FunctionName="f", Payload=b"1")) == 1
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.put_function_concurrency(FunctionName="none", ReservedConcurrentExecutions=1)


def test_fewer_than_none_cannot_be_reserved(server, raw_of):
    raw = raw_of(server(plain={"f": lambda event, context: event}))

    for body, message in (
        ({"ReservedConcurrentExecutions": -1}, "must be 0 or more, not -1"),
        ({}, "ReservedConcurrentExecutions"),
    ):
        refused = raw.put("/2017-10-31/functions/f/concurrency", json=body)
        assert refused.status_code == 400
        assert message in refused.json()["message"]
