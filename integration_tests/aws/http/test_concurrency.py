"""Many at once, at one server."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from aws_durable_execution_sdk_python import durable_execution
from botocore.exceptions import ClientError

from ...waiting import until
from .. import samples
from .stage import ended, payload


@pytest.fixture
def together():
    """Runs a callable for each argument at once, and returns what comes of each."""

    def run(function, arguments):
        with ThreadPoolExecutor(len(arguments)) as pool:
            return list(pool.map(function, arguments))

    return run


def attempt(call):
    """What a call returns, or the name of the error that it raises."""
    try:
        return call()
    except ClientError as error:
        return type(error).__name__


def test_each_client_gets_its_own_answer(server, together):
    @durable_execution
    def handler(event, context):
        first = context.step(lambda _: event, name="first")
        context.wait(samples.seconds(3600), name="wait")
        both = context.map([1, 2], lambda inner, n, i, a: inner.step(lambda _: n * first, name="n"), name="map")
        return both.get_results()

    runner = server({"f": handler})

    def invoke(number):
        with closing(runner.client()) as client:
            return payload(client.invoke(FunctionName="f", Payload=json.dumps(number)))

    assert together(invoke, range(8)) == [[number, 2 * number] for number in range(8)]


def test_one_of_many_that_start_by_the_same_name_does(server, client_of, together):
    client = client_of(server({"adds": samples.adds}))
    body = b'{"left": 1, "right": 2}'

    def start(_):
        return client.invoke(FunctionName="adds", DurableExecutionName="one", Payload=body)["DurableExecutionArn"]

    assert len(set(together(start, range(8)))) == 1
    assert len(client.list_durable_executions_by_function(FunctionName="adds")["DurableExecutions"]) == 1


def test_one_of_many_payloads_gets_the_name(server, client_of, together):
    client = client_of(server({"adds": samples.adds}))

    def start(number):
        call = {"FunctionName": "adds", "DurableExecutionName": "one", "Payload": json.dumps(number)}
        return attempt(lambda: client.invoke(**call)["DurableExecutionArn"])

    found = together(start, range(8))
    assert found.count("DurableExecutionAlreadyStartedException") == 7


def test_one_of_many_answers_to_a_callback_counts(server, client_of, together):
    client = client_of(server({"asks": samples.asks}))
    arn = client.invoke(FunctionName="asks", InvocationType="Event")["DurableExecutionArn"]

    def events():
        return client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]

    until(lambda: events()[-1]["EventType"] == "InvocationCompleted", "that it asks")
    callback_id = next(
        one["CallbackStartedDetails"]["CallbackId"] for one in events() if "Callback" in one["EventType"]
    )

    def answer(number):
        text = json.dumps(number).encode()
        call = {"CallbackId": callback_id, "Result": text}
        return attempt(lambda: client.send_durable_execution_callback_success(**call) and number)

    found = together(answer, range(8))
    (winner,) = [one for one in found if one != "ResourceNotFoundException"]
    assert ended(client, arn)["Result"] == json.dumps(str(winner))


def test_one_of_many_checkpoints_with_a_token_is_taken(server, client_of, together, held):
    client = client_of(server({"held": held}))
    client.invoke(FunctionName="held", InvocationType="Event")
    arn, token = held.called()

    def checkpoint(number):
        updates = [{"Id": f"step-{number}", "Type": "STEP", "Action": "SUCCEED", "Payload": "1"}]
        call = {"DurableExecutionArn": arn, "CheckpointToken": token, "Updates": updates}
        return attempt(lambda: client.checkpoint_durable_execution(**call)["CheckpointToken"])

    found = together(checkpoint, range(8))
    assert found.count("InvalidParameterValueException") == 7
    history = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    assert [event["EventType"] for event in history].count("StepSucceeded") == 1


def test_a_repetition_that_overtakes_is_answered_alike(server, client_of, together, held):
    client = client_of(server({"held": held}))
    client.invoke(FunctionName="held", InvocationType="Event")
    arn, token = held.called()
    updates = [{"Id": "step", "Type": "STEP", "Action": "SUCCEED", "Payload": "1"}]

    def checkpoint(_):
        answer = client.checkpoint_durable_execution(
            DurableExecutionArn=arn, CheckpointToken=token, Updates=updates, ClientToken="same"
        )
        answer.pop("ResponseMetadata")
        return answer

    found = together(checkpoint, range(8))
    assert all(answer == found[0] for answer in found)


def test_who_looks_and_stops_meanwhile_is_in_nobodys_way(server, client_of, together):
    client = client_of(server({"sleeps": samples.sleeps}))

    def visit(number):
        arn = client.invoke(FunctionName="sleeps", InvocationType="Event")["DurableExecutionArn"]
        if number % 2:
            client.stop_durable_execution(DurableExecutionArn=arn)
        client.get_durable_execution_history(DurableExecutionArn=arn)
        client.list_durable_executions_by_function(FunctionName="sleeps")
        return ended(client, arn)["Status"]

    found = together(visit, range(8))
    assert all(status == "SUCCEEDED" for status in found[::2])
    assert all(status in ("STOPPED", "SUCCEEDED") for status in found[1::2])
