"""Handlers behind a Lambda endpoint: another server, which runs each once when it is asked to."""

import json
from base64 import b64encode

import pytest
from aws_durable_execution_sdk_python import durable_execution
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws import WebRunner
from steprig.aws.handlers import body_of
from steprig.live import UvicornTestServer

from ...waiting import until
from .. import samples
from .stage import config, ended, kinds, payload

CONFIGS = {
    "sleeps": {"DurableConfig": {"ExecutionTimeout": 600, "RetentionPeriodInDays": 3}},
    "calls": {"DurableConfig": {}},
    "nests": {"DurableConfig": {"ExecutionTimeout": 60}},
    "inc": {},
    "none": None,
}


@pytest.fixture
def service(opened):
    """Makes a service whose functions live at an endpoint."""
    return lambda **options: WebRunner(config(skip_time=True, function_configs=CONFIGS, **options))


@pytest.fixture
def lambdas(opened, client_of):
    """Makes the endpoint, with handlers that speak to a service through boto3."""

    def make(service, durable=(), plain=()):
        endpoint = WebRunner(config())
        client = client_of(service)
        for name, function in dict(durable).items():
            endpoint.register_durable_function(name, durable_execution(body_of(function), boto3_client=client))
        for name, function in dict(plain).items():
            endpoint.register_function(name, function)
        return opened.enter_context(endpoint)

    return make


@pytest.fixture
def both(service, lambdas, opened, raw_of):
    """A service, and an endpoint that it is told of, with some functions."""
    made = service()
    endpoint = lambdas(
        made,
        {"sleeps": samples.sleeps, "calls": samples.calls, "nests": samples.nests},
        {"inc": lambda event, context: event + 1},
    )
    opened.enter_context(made)
    told = raw_of(made).put("/lambda-endpoint", json={"EndpointUrl": endpoint.endpoint_url})
    assert (told.status_code, told.json()) == (200, {})
    return made, endpoint


def test_a_durable_function_runs_at_the_endpoint(both, client_of):
    service, endpoint = both
    client = client_of(service)

    answer = client.invoke(FunctionName="sleeps")

    assert payload(answer) == "done"
    told = client.get_durable_execution(DurableExecutionArn=answer["DurableExecutionArn"])
    assert told["DurableConfig"] == {"ExecutionTimeout": 600, "RetentionPeriodInDays": 3}
    assert kinds(client, answer["DurableExecutionArn"]).count("InvocationCompleted") == 3
    listed = client_of(endpoint).list_durable_executions_by_function(FunctionName="sleeps")
    assert listed["DurableExecutions"] == [], "the endpoint has started nothing of its own"


def test_chained_invokes_go_to_the_endpoint_as_well(both, client_of):
    client = client_of(both[0])

    durable = client.invoke(FunctionName="calls", Payload=json.dumps({"function": "nests", "payload": 4}))
    plain = client.invoke(FunctionName="calls", Payload=json.dumps({"function": "inc", "payload": 4}))
    nothing = client.invoke(FunctionName="calls", Payload=json.dumps({"function": "elsewhere"}))

    assert (payload(durable), payload(plain)) == (9, 5)
    assert nothing["FunctionError"] == "Unhandled"
    assert "Function not found: elsewhere" in payload(nothing)["errorMessage"]


def test_a_function_that_is_not_durable_is_called_there(both, client_of):
    answer = client_of(both[0]).invoke(FunctionName="inc", Payload=b"41")

    assert payload(answer) == 42


def test_what_a_client_tells_of_itself_arrives_there(both, client_of):
    service, endpoint = both
    endpoint.register_function("inc", lambda event, context: context.client_context.custom)

    context = b64encode(b'{"custom": "c"}').decode()
    answer = client_of(service).invoke(FunctionName="inc", ClientContext=context)

    assert payload(answer) == "c"


def test_an_error_there_is_an_error_here(both, client_of):
    answer = client_of(both[0]).invoke(FunctionName="inc", Payload=b'"text"')

    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorType"] == "TypeError"


def test_a_function_that_the_endpoint_does_not_have_fails_its_execution_at_once(
    service, lambdas, opened, client_of, raw_of
):
    made = service()
    endpoint = lambdas(made)
    client = client_of(opened.enter_context(made))
    raw_of(made).put("/lambda-endpoint", json={"EndpointUrl": endpoint.endpoint_url})

    answer = client.invoke(FunctionName="sleeps")

    assert payload(answer)["errorType"] == "ResourceNotFoundException"
    assert kinds(client, answer["DurableExecutionArn"]).count("InvocationCompleted") == 1


def test_an_endpoint_that_is_not_there_is_tried_five_times(service, opened, client_of):
    made = opened.enter_context(service(lambda_endpoint="http://127.0.0.1:9"))
    client = client_of(made)

    answer = client.invoke(FunctionName="sleeps")

    told = payload(answer)
    assert told["errorType"] == "Lambda.Unreachable"
    assert "cannot call sleeps at http://127.0.0.1:9" in told["errorMessage"]
    assert kinds(client, answer["DurableExecutionArn"]).count("InvocationCompleted") == 5


@pytest.fixture
def scripted(service, opened, client_of):
    """A service whose endpoint gives one answer, whatever it is asked; returns it, and what it was asked."""

    def make(status=200, body=b"", headers=None, **options):
        asked = []

        async def answer(request: Request) -> Response:
            asked.append((request, await request.body()))
            return Response(body, status, headers)

        path = "/2015-03-31/functions/{name}/invocations"
        endpoint = UvicornTestServer(Starlette(routes=[Route(path, answer, methods=["POST"])]))
        opened.enter_context(endpoint)
        made = opened.enter_context(service(lambda_endpoint=endpoint.base_url, **options))
        return client_of(made), asked

    return make


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"garbage", "Invalid invocation output"),
        (b"\xff\xfe", "Invalid invocation output"),
        (b"", "Invalid invocation output"),
        (b"[1]", "Invalid invocation output"),
        (b'{"Status": "DONE"}', "Invalid invocation output"),
        (b'{"Status": "SUCCEEDED", "Error": {}}', "Cannot provide an Error for SUCCEEDED status."),
        (b'{"Status": "PENDING"}', "Cannot return PENDING status with no pending operations."),
    ],
)
def test_garbage_from_a_durable_function_fails_its_execution(scripted, body, told):
    client, asked = scripted(body=body)

    answer = client.invoke(FunctionName="sleeps")

    assert payload(answer)["errorType"] == "InvalidParameterValueException"
    assert told in payload_again(client, answer)["ErrorMessage"]
    assert len(asked) == (3 if b"PENDING" in body else 1)


def payload_again(client, answer):
    return client.get_durable_execution(DurableExecutionArn=answer["DurableExecutionArn"])["Error"]


def test_what_the_endpoint_is_asked(scripted):
    client, asked = scripted(body=b'{"Status": "SUCCEEDED", "Result": "1"}')

    arn = client.invoke(FunctionName="sleeps", Payload=b'{"a": 1}', TenantId="blue")["DurableExecutionArn"]

    (request, body), event = asked[0], json.loads(asked[0][1])
    assert request.headers["x-dex-handler-invoke"] == "true"
    assert request.headers["x-amz-invocation-type"] == "RequestResponse"
    assert request.headers["x-amz-tenant-id"] == "blue"
    assert body
    assert event["DurableExecutionArn"] == arn
    assert event["UpdatedOperationIds"] == []
    assert event["InitialExecutionState"]["NextMarker"] == ""
    (operation,) = event["InitialExecutionState"]["Operations"]
    assert operation["ExecutionDetails"] == {"InputPayload": '{"a": 1}'}
    assert isinstance(operation["StartTimestamp"], int)
    assert operation["StartTimestamp"] > 1_600_000_000_000


def test_an_invocation_is_told_what_the_service_has_done_since_the_last(both, client_of):
    service, endpoint = both
    client, asked = client_of(service), []
    sleeps = durable_execution(body_of(samples.sleeps), boto3_client=client)
    endpoint.register_durable_function("sleeps", lambda event, context: asked.append(event) or sleeps(event, context))

    arn = client.invoke(FunctionName="sleeps")["DurableExecutionArn"]

    events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    waits = [event["Id"] for event in events if event["EventType"] == "WaitSucceeded"]
    assert [event["UpdatedOperationIds"] for event in asked] == [[], waits[:1], waits[1:]]


def test_the_endpoint_is_asked_for_the_version(scripted):
    client, asked = scripted(body=b'{"Status": "SUCCEEDED", "Result": "1"}')

    client.invoke(FunctionName="sleeps", Qualifier="8")

    assert asked[0][0].scope["raw_path"] == b"/2015-03-31/functions/sleeps%3A8/invocations"


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (500, {}, "Lambda.Unavailable"),
        (429, {"x-amzn-ErrorType": "TooManyRequestsException"}, "TooManyRequestsException"),
        (200, {"X-Amz-Function-Error": "Unhandled"}, "Custom"),
    ],
)
def test_a_call_that_fails_is_repeated(scripted, status, headers, error):
    client, asked = scripted(status, b'{"errorType": "Custom", "errorMessage": "m"}', headers)

    answer = client.invoke(FunctionName="sleeps")

    assert payload(answer)["errorType"] == error
    assert len(asked) == 5


def test_an_endpoint_that_is_slow_is_given_up(service, opened, client_of):
    import asyncio

    async def hang(request: Request) -> Response:
        await asyncio.sleep(600)
        return Response()

    path = "/2015-03-31/functions/{name}/invocations"
    endpoint = UvicornTestServer(Starlette(routes=[Route(path, hang, methods=["POST"])]), shutdown_timeout=0.2)
    made = service(lambda_endpoint=endpoint.base_url, invocation_timeout_seconds=1)
    with endpoint, made:
        client = client_of(made)
        arn = client.invoke(FunctionName="sleeps", InvocationType="Event")["DurableExecutionArn"]
        until(lambda: "InvocationCompleted" in kinds(client, arn), "that it was given up")
        client.stop_durable_execution(DurableExecutionArn=arn)
        events = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    failed = next(one["InvocationCompletedDetails"] for one in events if "InvocationCompletedDetails" in one)
    assert failed["Error"]["Payload"]["ErrorMessage"] == "Function timed out after 1 seconds"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "missing required field `EndpointUrl`"),
        ({"EndpointUrl": 5}, "EndpointUrl: Expected `str`, got `int`. The value is 5."),
        ({"EndpointUrl": "127.0.0.1"}, "EndpointUrl must be a URL such as http://127.0.0.1:3001, not '127.0.0.1'"),
        ({"EndpointUrl": "http://x", "RegionName": "eu-west-1"}, "RegionName must be this server's own, us-west-2"),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_told_of(server, raw_of, body, told):
    answer = raw_of(server()).put("/lambda-endpoint", json=body)

    assert answer.status_code == 400
    assert told in answer.json()["message"]


def test_an_execution_may_bring_its_own_endpoint(both, opened, raw_of, client_of):
    service, endpoint = both
    raw, client = raw_of(service), client_of(service)
    raw.put("/lambda-endpoint", json={"EndpointUrl": "http://127.0.0.1:9"})

    started = raw.post(
        "/start-durable-execution",
        json={
            "AccountId": "123456789012",
            "FunctionName": "sleeps",
            "FunctionQualifier": "$LATEST",
            "ExecutionName": "own",
            "ExecutionTimeoutSeconds": 600,
            "ExecutionRetentionPeriodDays": 7,
            "LambdaEndpoint": endpoint.endpoint_url,
        },
    )

    assert ended(client, started.json()["ExecutionArn"])["Result"] == '"done"'
