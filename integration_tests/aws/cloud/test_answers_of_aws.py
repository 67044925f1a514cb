"""What AWS answers, and a server on this machine never does: too early, too busy, in part, or in words to come."""

import io
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from steprig.aws import (
    DurableFunctionCloudTestRunner,
    DurableFunctionsTestError,
    ExecutionStatus,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from steprig.live import UvicornTestServer

ARN = "arn:aws:lambda:us-west-2:123456789012:function:shop:7/durable-execution/mine/EXEC"
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
WHOSE = {"DurableExecutionArn": ARN}


@pytest.fixture
def client():
    made = boto3.client(
        "lambda",
        region_name="us-west-2",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    yield made
    made.close()


@pytest.fixture
def answers(client):
    """What the service is going to answer, each request once."""
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def runner(client, answers):
    with DurableFunctionCloudTestRunner("shop:7", client=client, poll_interval=0.01) as runner:
        yield runner


def description(status="SUCCEEDED", **more):
    return {
        **WHOSE,
        "DurableExecutionName": "mine",
        "FunctionArn": "arn:aws:lambda:us-west-2:123456789012:function:shop:7",
        "Status": status,
        "StartTimestamp": BEGIN,
        **more,
    }


def event(number, kind, details=None, **more):
    at = BEGIN + timedelta(seconds=number)
    return {"EventId": number, "EventType": kind, "EventTimestamp": at, f"{kind}Details": details or {}, **more}


STARTED = event(1, "ExecutionStarted", {"Input": {"Payload": "7"}, "ExecutionTimeout": 60}, Id="EXEC", Name="mine")
STEP = {"Id": "one", "Name": "charge", "SubType": "Step"}
STEP_STARTED = event(2, "StepStarted", **STEP)
RETURNED = event(4, "InvocationCompleted", {"StartTimestamp": BEGIN, "EndTimestamp": BEGIN, "RequestId": "r"})


def step_succeeded(payload, **more):
    details = {"Result": {"Payload": payload, **more}, "RetryDetails": {"CurrentAttempt": 1}}
    return event(3, "StepSucceeded", details, **STEP)


def succeeded(payload, **more):
    return event(5, "ExecutionSucceeded", {"Result": {"Payload": payload, **more}})


def is_told(answers, *events, marker=None, after=None):
    asked = {"IncludeExecutionData": True, "MaxItems": 1000, **({"Marker": after} if after else {}), **WHOSE}
    page = {"Events": [*events], **({"NextMarker": marker} if marker is not None else {})}
    answers.add_response("get_durable_execution_history", page, asked)


def refuses(answers, operation, code, message="no", status=400):
    answers.add_client_error(operation, code, message, status)


def test_an_execution_may_not_be_visible_yet(runner, answers):
    answers.add_response(
        "invoke",
        {"StatusCode": 202, "DurableExecutionArn": ARN, "Payload": io.BytesIO()},
        {
            "FunctionName": "shop:7",
            "InvocationType": "Event",
            "Payload": b"7",
            "DurableExecutionName": ANY,
        },
    )
    for _ in range(3):
        refuses(answers, "get_durable_execution", "ResourceNotFoundException", status=404)
    answers.add_response("get_durable_execution", description("RUNNING"), WHOSE)
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(answers, STARTED, STEP_STARTED, step_succeeded("8"), RETURNED, succeeded("8"))

    result = runner.run(7)

    assert (result.result, result.execution_status) == ("8", ExecutionStatus.SUCCEEDED)
    assert result.get_step("charge").result == "8"
    assert result.execution_arn == ARN


def test_what_was_visible_and_is_gone_is_not_waited_for(runner, answers):
    answers.add_response("get_durable_execution", description("RUNNING"), WHOSE)
    refuses(answers, "get_durable_execution", "ResourceNotFoundException", "gone", 404)

    with pytest.raises(ResourceNotFoundException, match="gone"):
        runner.wait_for_result(ARN)


def test_what_does_not_become_visible_is_unknown(client, answers):
    refuses(answers, "get_durable_execution", "ResourceNotFoundException", "never", 404)
    with (
        DurableFunctionCloudTestRunner("shop", client=client, visible_within=0) as runner,
        pytest.raises(ResourceNotFoundException, match="never"),
    ):
        runner.wait_for_result(ARN)


def test_who_waits_for_what_is_not_visible_is_told_so(runner, answers):
    refuses(answers, "get_durable_execution", "ResourceNotFoundException", "unknown", 404)
    refuses(answers, "get_durable_execution_history", "ResourceNotFoundException", "unknown", 404)

    with pytest.raises(TimeoutError) as told:
        runner.wait_for_result(ARN, timeout=0)

    assert str(told.value) == (
        "Execution did not complete within 0 s; the service does not know it yet\n"
        "(its history cannot be shown: unknown)"
    )


@pytest.mark.parametrize("code", ["TooManyRequestsException", "ServiceException"])
def test_a_service_that_is_too_busy_is_asked_again(runner, answers, code):
    refuses(answers, "get_durable_execution", code, "slow down", 429)
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    refuses(answers, "get_durable_execution_history", code, "slow down", 429)
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(answers, STARTED, succeeded("8"))

    assert runner.wait_for_result(ARN).result == "8"


def test_who_waits_for_a_busy_service_is_told_so(runner, answers):
    refuses(answers, "get_durable_execution", "TooManyRequestsException", "slow down", 429)
    is_told(answers, STARTED)

    with pytest.raises(TimeoutError, match="the service has answered TooManyRequestsException: slow down"):
        runner.wait_for_result(ARN, timeout=0)


def test_a_history_may_be_late(runner, answers):
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(answers, STARTED, STEP_STARTED)
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(answers, STARTED, STEP_STARTED, step_succeeded("8"), RETURNED, succeeded("8"))

    result = runner.wait_for_result(ARN)

    assert [one.event_type for one in result.history()][-1] == "ExecutionSucceeded"
    assert result.get_step("charge").result == "8"


def test_a_history_that_stays_late_is_told_of(runner, answers):
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(answers, STARTED)
    is_told(answers, STARTED)

    with pytest.raises(TimeoutError, match="the execution is SUCCEEDED, and its history does not tell of its end yet"):
        runner.wait_for_result(ARN, timeout=0)


def test_all_pages_of_a_history_are_read(runner, answers):
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(answers, STARTED, STEP_STARTED, marker="page 2")
    is_told(answers, marker="page 3", after="page 2")
    is_told(answers, step_succeeded("8"), RETURNED, succeeded("8"), marker="", after="page 3")

    assert [one.event_id for one in runner.wait_for_result(ARN).history()] == [1, 2, 3, 4, 5]


def test_a_result_is_whole_where_the_history_has_it_cut(runner, answers):
    answers.add_response("get_durable_execution", description(Result='"whole"'), WHOSE)
    is_told(
        answers,
        STARTED,
        STEP_STARTED,
        step_succeeded('"who', Truncated=True),
        RETURNED,
        succeeded('"who', Truncated=True),
    )

    result = runner.wait_for_result(ARN)

    assert result.result == '"whole"'
    assert result.get_step("charge").result == '"who'
    assert result.history()[2].details["Result"] == {"Payload": '"who', "Truncated": True}
    bare = result.history(include_execution_data=False)[2]
    assert bare.details == {"Result": {"Truncated": True}, "RetryDetails": {"CurrentAttempt": 1}}


def test_a_result_may_be_in_the_history_alone(runner, answers):
    answers.add_response("get_durable_execution", description(ExecutionDataIncluded=False), WHOSE)
    is_told(answers, STARTED, succeeded("8"))

    assert runner.wait_for_result(ARN).result == "8"


def test_an_error_has_all_its_parts(runner, answers):
    error = {"ErrorMessage": "no", "ErrorType": "Refused", "ErrorData": "why", "StackTrace": ["a", "b"]}
    answers.add_response("get_durable_execution", description("FAILED", Error=error), WHOSE)
    is_told(answers, STARTED, event(2, "ExecutionFailed", {"Error": {"Payload": error}}))

    told = runner.wait_for_result(ARN).error

    assert (told.message, told.type, told.data, told.stack_trace) == ("no", "Refused", "why", ["a", "b"])


def test_an_attempt_is_counted_where_its_number_is_not_told(runner, answers):
    failed = {"Error": {"Payload": {"ErrorMessage": "no"}}, "RetryDetails": {"NextAttemptDelaySeconds": 9}}
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    is_told(
        answers,
        STARTED,
        STEP_STARTED,
        event(3, "StepFailed", failed, **STEP),
        event(4, "StepStarted", **STEP),
        event(5, "StepSucceeded", {"Result": {"Payload": "8"}, "RetryDetails": {}}, **STEP),
        event(6, "ExecutionSucceeded", {"Result": {"Payload": "8"}}),
    )

    step = runner.wait_for_result(ARN).get_step("charge")

    assert (step.attempt, step.result, step.error) == (2, "8", None)


def test_events_that_are_not_known_are_kept_and_change_nothing(runner, answers):
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    strange = {"EventId": 2, "EventType": "ExecutionPraised", "EventTimestamp": BEGIN}
    is_told(answers, STARTED, strange, succeeded("8"))

    result = runner.wait_for_result(ARN)

    assert [one.event_type for one in result.history()] == [
        "ExecutionStarted",
        "ExecutionPraised",
        "ExecutionSucceeded",
    ]
    assert result.operations == []


def test_a_history_that_makes_no_sense_is_told_of(runner, answers):
    answers.add_response("get_durable_execution", description(), WHOSE)
    is_told(answers, STARTED, event(2, "WaitSucceeded", {"Duration": 5}, Id="lost"))

    with pytest.raises(DurableFunctionsTestError, match=r"event 2 \(WaitSucceeded\) is about the operation 'lost'"):
        runner.wait_for_result(ARN)


def test_a_history_without_a_beginning_is_told_of(runner, answers):
    answers.add_response("get_durable_execution", description(), WHOSE)
    is_told(answers)

    with pytest.raises(DurableFunctionsTestError, match="does not begin with ExecutionStarted"):
        runner.wait_for_result(ARN)


def test_an_execution_that_is_being_deleted_has_its_result(runner, answers):
    answers.add_response("get_durable_execution", description("DELETING", Result="8"), WHOSE)
    is_told(answers, STARTED, succeeded("8"))

    assert runner.wait_for_result(ARN).execution_status is ExecutionStatus.SUCCEEDED


def test_an_execution_that_is_paused_goes_on(runner, answers):
    for status in ("PAUSING", "PAUSED"):
        answers.add_response("get_durable_execution", description(status), WHOSE)
    answers.add_response("get_durable_execution", description(Result="8"), WHOSE)
    paused = {"EventId": 2, "EventType": "ExecutionPaused", "EventTimestamp": BEGIN}
    is_told(answers, STARTED, paused, succeeded("8"))

    assert runner.wait_for_result(ARN).result == "8"


def test_other_errors_are_boto3s(runner, answers):
    refuses(answers, "get_durable_execution", "AccessDeniedException", "who are you?", 403)

    with pytest.raises(ClientError, match="who are you"):
        runner.wait_for_result(ARN)


class Busy:
    """A service that refuses most requests, and then answers."""

    def __init__(self, refusals):
        self.left = refusals
        self.asked = 0

    async def answer(self, request):
        self.asked += 1
        if self.left:
            self.left -= 1
            headers = {"x-amzn-ErrorType": "TooManyRequestsException"}
            return JSONResponse({"message": "slow down"}, 429, headers)
        return JSONResponse({"Events": [], "NextMarker": ""})


@pytest.fixture
def busy():
    """Serves a busy service, to a client that does not wait long."""
    service = Busy(0)
    app = Starlette(routes=[Route("/{rest:path}", service.answer)])
    config = Config(retries={"mode": "legacy", "max_attempts": 2})
    with UvicornTestServer(app, lifespan="off") as server:
        client = boto3.client(
            "lambda",
            endpoint_url=server.base_url,
            region_name="us-west-2",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=config,
        )
        with DurableFunctionCloudTestRunner("shop", client=client) as runner:
            yield service, runner
        client.close()


def test_boto3_tries_again_where_it_is_told_to_slow_down(busy):
    service, runner = busy
    service.left = 2

    assert runner.get_execution_history(ARN).events == []
    assert service.asked == 3


def test_who_is_told_to_slow_down_too_often_is_told_so(busy):
    service, runner = busy
    service.left = 100

    with pytest.raises(TooManyRequestsException, match="slow down"):
        runner.get_execution_history(ARN)
    assert service.asked == 3
