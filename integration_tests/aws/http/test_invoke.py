"""`Invoke`: durable functions and others, by each of their names, in each of the three ways."""

import json
import threading
from base64 import b64encode

import httpx
import pytest
from aws_durable_execution_sdk_python import durable_execution

from ...waiting import until
from .. import samples
from .stage import ended, kinds, payload

ACCOUNT, REGION = "123456789012", "us-west-2"


@durable_execution
def fails(event, context):
    raise ValueError("no good")


def test_a_durable_function_answers_with_its_result(server, client_of):
    client = client_of(server({"adds": samples.adds}))

    answer = client.invoke(FunctionName="adds", Payload=b'{"left": 1, "right": 2}')

    assert payload(answer) == 3
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    name = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:adds:$LATEST/durable-execution/"
    assert answer["DurableExecutionArn"].startswith(name)
    assert kinds(client, answer["DurableExecutionArn"])[-1] == "ExecutionSucceeded"


def test_waits_are_skipped_and_told_of_at_their_length(server, client_of):
    client = client_of(server({"sleeps": samples.sleeps}))

    told = ended(client, client.invoke(FunctionName="sleeps", Payload=b"{}")["DurableExecutionArn"])

    assert (told["EndTimestamp"] - told["StartTimestamp"]).total_seconds() >= 26 * 3600


def test_an_error_of_a_durable_function_is_in_the_answer(server, client_of):
    client = client_of(server({"fails": fails}))

    answer = client.invoke(FunctionName="fails")

    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    told = payload(answer)
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no good")


def test_an_event_is_accepted_before_the_function_has_run(server, client_of, held):
    client = client_of(server({"held": held}))

    answer = client.invoke(FunctionName="held", InvocationType="Event", Payload=b'{"a": 1}')
    arn, _ = held.called()

    assert answer["StatusCode"] == 202
    assert answer["DurableExecutionArn"] == arn
    assert answer["Payload"].read() == b""
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "RUNNING"
    held.returns({"Status": "SUCCEEDED", "Result": '"late"'})
    assert ended(client, arn)["Result"] == '"late"'


def test_a_dry_run_starts_nothing(server, client_of):
    client = client_of(server({"adds": samples.adds}))

    answer = client.invoke(FunctionName="adds", InvocationType="DryRun", Payload=b"{}")

    assert answer["StatusCode"] == 204
    assert "DurableExecutionArn" not in answer
    assert client.list_durable_executions_by_function(FunctionName="adds")["DurableExecutions"] == []


@pytest.mark.parametrize(
    "name",
    [
        "adds",
        f"{ACCOUNT}:function:adds",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:adds",
        "adds:$LATEST",
        f"{ACCOUNT}:function:adds:$LATEST",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:adds:$LATEST",
    ],
)
def test_a_function_is_found_by_each_form_of_its_name(server, client_of, name):
    client = client_of(server({"adds": samples.adds}))

    answer = client.invoke(FunctionName=name, Payload=b'{"left": 1, "right": 2}')

    assert payload(answer) == 3


def test_a_version_is_called_by_its_number_and_all_others_by_the_name(server, client_of):
    client = client_of(
        server({"f": durable_execution(lambda e, c: "latest"), "f:7": durable_execution(lambda e, c: "7")})
    )

    by_name = client.invoke(FunctionName="f:7")
    by_query = client.invoke(FunctionName="f", Qualifier="7")
    other = client.invoke(FunctionName="f", Qualifier="8")

    assert [payload(by_name), payload(by_query), payload(other)] == ["7", "7", "latest"]
    assert [by_name["ExecutedVersion"], other["ExecutedVersion"]] == ["7", "8"]
    assert ":function:f:7/durable-execution/" in by_name["DurableExecutionArn"]


def test_the_qualifier_has_to_be_one(server, client_of):
    client = client_of(server({"f": samples.adds}))

    with pytest.raises(client.exceptions.InvalidParameterValueException, match="does not match"):
        client.invoke(FunctionName="f:1", Qualifier="2")


@pytest.mark.parametrize(
    "name", ["none", "none:3", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:adds", "999999999999:function:adds"]
)
def test_a_function_that_is_not_there_is_told_of(server, client_of, name):
    client = client_of(server({"adds": samples.adds}))

    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Function not found"):
        client.invoke(FunctionName=name)


def test_a_function_that_is_not_durable_is_called(server, client_of):
    def describe(event, context):
        return {"event": event, "name": context.function_name, "tenant": context.tenant_id}

    client = client_of(server(plain={"describe": describe}))

    answer = client.invoke(FunctionName="describe", Payload=b'{"a": [1, null]}', TenantId="blue")

    assert payload(answer) == {"event": {"a": [1, None]}, "name": "describe", "tenant": "blue"}
    assert "DurableExecutionArn" not in answer
    assert answer["ExecutedVersion"] == "$LATEST"


def test_a_function_is_told_what_its_client_tells_of_itself(server, client_of):
    def describe(event, context):
        told = context.client_context
        return told and [told.custom, told.client]

    client = client_of(server(plain={"describe": describe}))
    context = b64encode('{"custom": {"a": "ü"}, "client": 5}'.encode()).decode()

    assert payload(client.invoke(FunctionName="describe", ClientContext=context)) == [{"a": "ü"}, 5]
    assert payload(client.invoke(FunctionName="describe")) is None


@pytest.mark.parametrize("context", ["*", "e30", b64encode(b"[]").decode(), b64encode(b"{").decode()])
def test_what_a_client_tells_of_itself_has_to_be_an_object(server, client_of, context):
    client = client_of(server(plain={"f": lambda e, c: e}))

    with pytest.raises(client.exceptions.InvalidRequestContentException, match="Client context must be"):
        client.invoke(FunctionName="f", ClientContext=context)


def test_one_without_a_payload_gets_an_empty_object(server, client_of):
    client = client_of(server({"d": durable_execution(lambda e, c: e)}, {"p": lambda e, c: e}))

    assert payload(client.invoke(FunctionName="p")) == {}
    assert payload(client.invoke(FunctionName="d")) == {}


def test_an_error_of_one_that_is_not_durable_is_in_the_answer(server, client_of):
    def breaks(event, context):
        raise KeyError("gone")

    client = client_of(server(plain={"breaks": breaks}))

    answer = client.invoke(FunctionName="breaks")

    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorType"] == "KeyError"


def test_one_that_is_not_durable_may_be_called_by_event(server, client_of):
    called = threading.Event()
    client = client_of(server(plain={"note": lambda e, c: called.set()}))

    assert client.invoke(FunctionName="note", InvocationType="Event")["StatusCode"] == 202
    assert called.wait(20)


def test_one_that_takes_too_long_is_given_up(server, client_of):
    release = threading.Event()
    client = client_of(server(plain={"hangs": lambda e, c: release.wait(60)}, invocation_timeout_seconds=1))

    try:
        answer = client.invoke(FunctionName="hangs")
    finally:
        release.set()

    assert payload(answer) == {"errorType": "Sandbox.Timedout", "errorMessage": "Function timed out after 1 seconds"}


@pytest.mark.parametrize("how", ["RequestResponse", "Event", "DryRun"])
def test_a_payload_has_to_be_json(server, client_of, how):
    client = client_of(server({"adds": samples.adds}, {"plain": lambda e, c: e}))

    for name in ("adds", "plain"):
        with pytest.raises(client.exceptions.InvalidRequestContentException, match="Could not parse request body"):
            client.invoke(FunctionName=name, InvocationType=how, Payload=b"{no json")


@pytest.mark.parametrize(("how", "most"), [("RequestResponse", 6_291_456), ("Event", 1_048_576)])
def test_a_payload_has_a_limit(server, client_of, how, most):
    client = client_of(server({"size": durable_execution(lambda e, c: len(e))}))
    text = b'"' + b"x" * (most - 2) + b'"'

    arn = client.invoke(FunctionName="size", InvocationType=how, Payload=text)["DurableExecutionArn"]
    assert ended(client, arn)["Result"] == str(most - 2)
    with pytest.raises(client.exceptions.RequestTooLargeException, match=f"smaller than {most} bytes") as refused:
        client.invoke(FunctionName="size", InvocationType=how, Payload=text + b" ")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_client_that_hangs_up_leaves_the_execution_running(server, client_of, raw_of, held):
    runner = server({"held": held})
    with pytest.raises(httpx.ReadTimeout):
        raw_of(runner).post("/2015-03-31/functions/held/invocations", timeout=httpx.Timeout(60, read=0.3))
    arn, _ = held.called()

    held.returns({"Status": "SUCCEEDED", "Result": "1"})

    assert ended(client_of(runner), arn)["Status"] == "SUCCEEDED"


def test_who_waits_is_told_that_the_server_stops(server, raw_of, held):
    runner = server({"held": held})
    raw, answers = raw_of(runner), []
    waiting = threading.Thread(
        target=lambda: answers.append(raw.post("/2015-03-31/functions/held/invocations")), daemon=True
    )
    waiting.start()
    held.called()

    runner.stop()
    waiting.join(20)

    assert not waiting.is_alive()
    assert answers[0].status_code == 500
    assert answers[0].headers["x-amzn-ErrorType"] == "ServiceException"


def test_chained_invokes_find_what_is_registered(server, client_of):
    client = client_of(server({"calls": samples.calls, "nests": samples.nests}, {"inc": lambda e, c: e + 1}))

    durable = client.invoke(FunctionName="calls", Payload=json.dumps({"function": "nests", "payload": 4}))
    plain = client.invoke(FunctionName="calls", Payload=json.dumps({"function": "inc", "payload": 4}))

    assert (payload(durable), payload(plain)) == (9, 5)
    until(lambda: client.list_durable_executions_by_function(FunctionName="nests")["DurableExecutions"], "a child")
