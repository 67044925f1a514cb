"""Requests that no client sends: what they are answered, and that nothing half-done stays behind."""

import json
from urllib.parse import quote

import pytest

from steprig.kernel import MemoryJournal

from ...waiting import until
from .. import samples
from .stage import kinds

NOWHERE = "arn:aws:lambda:us-west-2:123456789012:function:f:$LATEST/durable-execution/none/none"


@pytest.fixture
def run(server, client_of, raw_of, held):
    """A client that sends anything, a boto3 client, and an execution with its token."""
    runner = server({"held": held, "adds": samples.adds})
    client = client_of(runner)
    client.invoke(FunctionName="held", InvocationType="Event")
    return raw_of(runner), client, *held.called()


def checkpoint_path(arn):
    return f"/2025-12-01/durable-executions/{quote(arn, safe='')}/checkpoint"


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["x-amzn-ErrorType"] == code
    assert answer.headers["x-amzn-RequestId"]
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["Type"] in ("User", "Service")
    return told.get("message") or told["Message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "missing required field `CheckpointToken`"),
        (b"{}", "missing required field `CheckpointToken`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b"{", "Could not parse request body into json"),
        (b"\xff", "Could not parse request body into json"),
        (b"[" * 100_000, "Expected `object`, got `array`"),
        (b'{"Unknown": ' + b"[" * 100_000, "Could not parse request body into json"),
        (b'{"CheckpointToken": 5}', "CheckpointToken: Expected `str`, got `int`. The value is 5."),
        (b'{"CheckpointToken": "dG8=", "Updates": {}}', "Updates: Expected `array`, got `object`. The value is {}."),
        (
            b'{"CheckpointToken": "dG8=", "Updates": [{"Id": "a", "Type": "STEP", "Action": "START"}, {"Id": ["b"]}]}',
            "Updates[1].Id: Expected `str`, got `array`. The value is ['b'].",
        ),
        (
            b'{"CheckpointToken": "dG8=", "Updates": [{"WaitOptions": {"WaitSeconds": "long"}, "Id": "a"}]}',
            "Updates[0].WaitOptions.WaitSeconds: Expected `int`, got `str`. The value is 'long'.",
        ),
        (b'{"CheckpointToken": "dG8=", "Updates": [{"Id": "a"}]}', "missing required field `Type`"),
        (b'{"CheckpointToken": "dG8=", "Updates": [null]}', "Updates[0]: Expected `object`, got `null`"),
        (b'{"CheckpointToken": "\\ud800"}', "Could not parse request body into json"),
    ],
)
def test_a_body_that_makes_no_sense_is_named_by_field_and_value(run, body, told):
    raw, client, arn, token = run

    answer = raw.post(checkpoint_path(arn), content=body)

    assert told in refused(answer, 400, "InvalidParameterValueException")
    assert kinds(client, arn) == ["ExecutionStarted"]
    client.checkpoint_durable_execution(DurableExecutionArn=arn, CheckpointToken=token)


def test_a_large_body_is_read_and_its_payload_refused(run):
    raw, client, arn, token = run
    body = {"CheckpointToken": token, "Updates": [{"Id": "a", "Type": "STEP", "Action": "SUCCEED", "Payload": ""}]}
    body["Updates"][0]["Payload"] = "x" * 7 * 1024 * 1024

    answer = raw.post(checkpoint_path(arn), json=body)

    assert "payload size must be less than or equal to 6291456" in refused(
        answer, 400, "InvalidParameterValueException"
    )
    assert kinds(client, arn) == ["ExecutionStarted"]


def test_a_payload_of_the_largest_size_is_taken_however_it_is_escaped(run):
    raw, client, arn, token = run
    payload = '"' * 6_291_456
    body = {"CheckpointToken": token, "Updates": [{"Id": "a", "Type": "STEP", "Action": "SUCCEED", "Payload": payload}]}

    answer = raw.post(checkpoint_path(arn), json=body)

    assert answer.status_code == 200
    assert kinds(client, arn) == ["ExecutionStarted", "StepSucceeded"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_not_read(server, raw_of, declared):
    raw = raw_of(server({"adds": samples.adds}, max_request_size=1000))
    body = b"x" * 1001

    answer = raw.post(checkpoint_path(NOWHERE), content=body if declared else iter([body]))

    assert "smaller than 1000 bytes" in refused(answer, 413, "RequestTooLargeException")
    assert raw.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/history", None),
        ("GET", "/state?CheckpointToken=dG8=", None),
        ("POST", "/checkpoint", {"CheckpointToken": "dG8="}),
        ("POST", "/stop", {}),
        ("POST", "/pause", {}),
        ("POST", "/resume", {}),
        ("DELETE", "", None),
    ],
)
@pytest.mark.parametrize("arn", [NOWHERE, "x", "../..", "a/b/c", "%", "\N{SNOWMAN}"])
def test_an_execution_that_is_not_there_is_told_of(run, method, path, body, arn):
    raw = run[0]

    answer = raw.request(method, f"/2025-12-01/durable-executions/{quote(arn, safe='')}{path}", json=body)

    assert refused(answer, 404, "ResourceNotFoundException") == "Durable Execution does not exist"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/2025-12-01/durable-executions/"),
        ("POST", "/2025-12-01/durable-executions//checkpoint"),
        ("POST", f"/2025-12-01/durable-executions/{NOWHERE}/checkpoint"),
        ("PUT", "/2025-12-01/durable-executions/x"),
        ("GET", "/2015-03-31/functions/adds/invocations"),
        ("POST", "/2015-03-31/functions/adds/invocations/"),
        ("DELETE", "/health"),
    ],
)
def test_a_path_that_is_not_there_is_told_of(run, method, path):
    assert method in refused(run[0].request(method, path), 404, "UnknownOperationException")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/history?MaxItems=1001", "MaxItems must be between 0 and 1000, not 1001"),
        ("/history?MaxItems=x", "MaxItems must be a whole number, not 'x'"),
        ("/history?Marker=x", "Invalid marker"),
        ("/history?IncludeExecutionData=1", "IncludeExecutionData must be true or false, not '1'"),
        ("?IncludeExecutionData=TRUE", "IncludeExecutionData must be true or false, not 'TRUE'"),
        ("/state", "CheckpointToken is required."),
        ("/state?CheckpointToken=TOKEN&MaxItems=1001", "MaxItems must be between 0 and 1000, not 1001"),
    ],
)
def test_a_query_that_makes_no_sense_is_named_by_field_and_value(run, path, told):
    raw, _, arn, token = run

    path = path.replace("TOKEN", quote(token, safe=""))
    answer = raw.get(f"/2025-12-01/durable-executions/{quote(arn, safe='')}{path}")

    assert told in refused(answer, 400, "InvalidParameterValueException")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"X-Amz-Invocation-Type": "Sometime"}, "InvocationType must be of Event, RequestResponse, DryRun, not 'Some"),
        ({"X-Amz-Durable-Execution-Name": "a b"}, "Value 'a b' at 'durableExecutionName'"),
        ({"X-Amz-Durable-Execution-Name": "x" * 65}, "at 'durableExecutionName'"),
        ({"X-Amz-Tenant-Id": "a!"}, "Value 'a!' at 'tenantId'"),
    ],
)
def test_headers_of_an_invoke_have_to_make_sense(run, headers, told):
    raw, client, *_ = run

    answer = raw.post("/2015-03-31/functions/adds/invocations", headers=headers)

    assert told in refused(answer, 400, "InvalidParameterValueException")
    assert client.list_durable_executions_by_function(FunctionName="adds")["DurableExecutions"] == []


@pytest.mark.parametrize("name", ["a b", "x" * 257, "a/b", "f:", "arn:aws:s3:::bucket"])
def test_a_name_that_no_function_can_have_is_told_of(run, name):
    answer = run[0].post(f"/2015-03-31/functions/{quote(name, safe='')}/invocations")

    assert "at 'functionName'" in refused(answer, 400, "InvalidParameterValueException")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ErrorMessage": 5}'])
def test_an_error_that_makes_no_sense_stops_nothing(run, body):
    raw, client, arn, _ = run

    answer = raw.post(f"/2025-12-01/durable-executions/{quote(arn, safe='')}/stop", content=body)

    refused(answer, 400, "InvalidParameterValueException")
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "RUNNING"


def test_every_answer_has_an_id_of_its_own(run):
    raw = run[0]

    ids = {raw.get("/health").headers["x-amzn-RequestId"] for _ in range(5)}

    assert len(ids) == 5


class BrokenJournal(MemoryJournal):
    """Cannot be read."""

    def read(self, stream, *, after=0):
        raise OSError("the disk is gone")


def test_a_fault_of_the_service_is_told_as_one(server, raw_of):
    runner = server(store=BrokenJournal())

    answer = raw_of(runner).get(f"/2025-12-01/durable-executions/{quote(NOWHERE, safe='')}")

    assert "the disk is gone" in refused(answer, 500, "ServiceException")
    assert answer.json()["Type"] == "Service"
    until(lambda: "OSError: the disk is gone" in runner.logs, "that it is logged")


def test_json_in_an_answer_is_whole(run):
    raw, client, arn, token = run
    text = 'quote " back \\ newline \n ünï \N{SNOWMAN} \x00'
    client.checkpoint_durable_execution(
        DurableExecutionArn=arn,
        CheckpointToken=token,
        Updates=[{"Id": "a", "Type": "STEP", "Action": "SUCCEED", "Payload": text}],
    )

    told = raw.get(f"/2025-12-01/durable-executions/{quote(arn, safe='')}/history?IncludeExecutionData=true")

    assert json.loads(told.content)["Events"][-1]["StepSucceededDetails"]["Result"]["Payload"] == text
