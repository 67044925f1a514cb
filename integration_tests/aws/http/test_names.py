"""The name of an execution is the key by which starting it is idempotent."""

import json
import threading

import pytest

from .. import samples
from .stage import ended, payload

SUM = b'{"left": 1, "right": 2}'


def start_body(**more):
    return {
        "AccountId": "123456789012",
        "FunctionName": "adds",
        "FunctionQualifier": "$LATEST",
        "ExecutionName": "sum",
        "ExecutionTimeoutSeconds": 60,
        "ExecutionRetentionPeriodDays": 7,
        "Input": SUM.decode(),
        **more,
    }


def test_the_same_name_and_payload_are_the_same_execution(server, client_of):
    client = client_of(server({"adds": samples.adds}))

    answers = [client.invoke(FunctionName="adds", DurableExecutionName="sum", Payload=SUM) for _ in range(3)]

    assert len({answer["DurableExecutionArn"] for answer in answers}) == 1
    assert [payload(answer) for answer in answers] == [3, 3, 3]
    assert len(client.list_durable_executions_by_function(FunctionName="adds")["DurableExecutions"]) == 1


def test_another_payload_under_the_same_name_is_refused(server, client_of):
    client = client_of(server({"adds": samples.adds}))
    arn = client.invoke(FunctionName="adds", DurableExecutionName="sum", Payload=SUM)["DurableExecutionArn"]

    with pytest.raises(client.exceptions.DurableExecutionAlreadyStartedException, match="sum") as refused:
        client.invoke(FunctionName="adds", DurableExecutionName="sum", Payload=b'{"left": 2, "right": 2}')

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert arn in str(refused.value)


def test_who_invokes_again_joins_the_execution_that_goes_on(server, client_of, held):
    client = client_of(server({"held": held}))
    first = client.invoke(FunctionName="held", InvocationType="Event", DurableExecutionName="one", Payload=SUM)
    held.called()
    threading.Timer(0.05, held.returns, [{"Status": "SUCCEEDED", "Result": "7"}]).start()

    again = client.invoke(FunctionName="held", DurableExecutionName="one", Payload=SUM)

    assert again["DurableExecutionArn"] == first["DurableExecutionArn"]
    assert payload(again) == 7


def test_names_belong_to_their_function(server, client_of):
    client = client_of(server({"adds": samples.adds, "other": samples.adds}))

    one = client.invoke(FunctionName="adds", DurableExecutionName="sum", Payload=SUM)
    two = client.invoke(FunctionName="other", DurableExecutionName="sum", Payload=SUM)

    assert one["DurableExecutionArn"] != two["DurableExecutionArn"]


def test_without_a_name_each_is_an_execution_of_its_own(server, client_of):
    client = client_of(server({"adds": samples.adds}))

    arns = {client.invoke(FunctionName="adds", Payload=SUM)["DurableExecutionArn"] for _ in range(3)}

    assert len(arns) == 3


def test_the_local_way_to_start_is_idempotent_too(server, client_of, raw_of):
    runner = server({"adds": samples.adds})
    client, raw = client_of(runner), raw_of(runner)

    first = raw.post("/start-durable-execution", json=start_body())
    again = raw.post("/start-durable-execution", json=start_body())
    other = raw.post("/start-durable-execution", json=start_body(Input="5"))

    arn = first.json()["ExecutionArn"]
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert again.json() == {"ExecutionArn": arn}
    assert other.json()["DurableExecutionArn"] == arn
    assert client.invoke(FunctionName="adds", DurableExecutionName="sum", Payload=SUM)["DurableExecutionArn"] == arn
    told = ended(client, arn)
    assert told["Result"] == "3"
    assert told["DurableConfig"] == {"ExecutionTimeout": 60, "RetentionPeriodInDays": 7}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"FunctionName": None}, "FunctionName: Expected `str`, got `null`"),
        ({"ExecutionTimeoutSeconds": 0}, "ExecutionTimeoutSeconds must be between 1 and 31622400, not 0"),
        ({"ExecutionTimeoutSeconds": "1"}, "ExecutionTimeoutSeconds: Expected `int`, got `str`. The value is '1'"),
        ({"ExecutionRetentionPeriodDays": 91}, "ExecutionRetentionPeriodDays must be between 1 and 90, not 91"),
        ({"ExecutionName": "a b"}, "Value 'a b' at 'executionName'"),
        ({"AccountId": "1"}, "Value '1' at 'accountId'"),
        ({"TenantId": "!"}, "Value '!' at 'tenantId'"),
        ({"LambdaEndpoint": "nowhere"}, "LambdaEndpoint must be a URL such as http://127.0.0.1:3001, not 'nowhere'"),
    ],
)
def test_a_start_that_makes_no_sense_is_named_by_field_and_value(server, raw_of, more, told):
    raw = raw_of(server({"adds": samples.adds}))

    answer = raw.post("/start-durable-execution", json=start_body(**more))

    assert answer.status_code == 400
    assert told in answer.json()["message"]
    assert raw.get("/2025-12-01/durable-executions").json() == {"DurableExecutions": []}


def test_the_local_endpoints_answer(server, raw_of):
    raw = raw_of(server({"adds": samples.adds}))
    raw.post("/start-durable-execution", content=json.dumps(start_body()))

    assert raw.get("/health").json() == {"status": "healthy"}
    assert raw.get("/metrics").json() == {"metrics": {}}
    (one,) = raw.get("/2025-12-01/durable-executions").json()["DurableExecutions"]
    assert one["DurableExecutionName"] == "sum"
