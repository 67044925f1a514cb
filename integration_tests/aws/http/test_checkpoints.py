"""Checkpoints and pages of operations, as handlers elsewhere make them."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from .stage import ended, kinds, update


@pytest.fixture
def run(server, client_of, held):
    """Starts an execution whose checkpoints are the test's to make; returns a client, its ARN and the first token."""

    def begin(**options):
        runner = server({"held": held}, {"plain": lambda e, c: e}, **options)
        client = client_of(runner)
        client.invoke(FunctionName="held", InvocationType="Event", Payload=b'{"a": 1}')
        return client, *held.called()

    return begin


def checkpoint(client, arn, token, *updates, **more):
    return client.checkpoint_durable_execution(
        DurableExecutionArn=arn, CheckpointToken=token, Updates=list(updates), **more
    )


def operations(answer):
    return {one["Id"]: one for one in answer["NewExecutionState"]["Operations"]}


def test_a_checkpoint_answers_with_what_has_changed_and_the_next_token(run):
    client, arn, token = run()

    first = checkpoint(client, arn, token, update("STEP", "START", Name="n", SubType="Step"))
    second = checkpoint(client, arn, first["CheckpointToken"], update("STEP", "SUCCEED", Payload='"done"'))
    third = checkpoint(client, arn, second["CheckpointToken"])

    one = operations(first)["one"]
    assert (one["Type"], one["Status"], one["Name"], one["SubType"]) == ("STEP", "STARTED", "n", "Step")
    assert one["StepDetails"] == {"Attempt": 0}
    assert abs((one["StartTimestamp"] - datetime.now(UTC)).total_seconds()) < 60
    done = operations(second)["one"]
    assert done["StepDetails"] == {"Attempt": 1, "Result": '"done"'}
    assert done["EndTimestamp"] > done["StartTimestamp"]
    assert operations(third) == {}
    assert len({token, *(answer["CheckpointToken"] for answer in (first, second, third))}) == 4


def test_each_kind_of_operation_tells_its_own_details(run):
    client, arn, token = run()

    answer = checkpoint(
        client,
        arn,
        token,
        update("CONTEXT", "START", "context", SubType="RunInChildContext"),
        update("STEP", "START", "step", ParentId="context"),
        update("WAIT", "START", "wait", WaitOptions={"WaitSeconds": 3600}),
        update("CALLBACK", "START", "callback", CallbackOptions={"TimeoutSeconds": 60}),
        update("CHAINED_INVOKE", "START", "invoke", ChainedInvokeOptions={"FunctionName": "none"}),
    )
    token = answer["CheckpointToken"]
    error = {"ErrorType": "E", "ErrorMessage": "m"}
    later = checkpoint(
        client,
        arn,
        token,
        update("STEP", "RETRY", "step", Error=error, StepOptions={"NextAttemptDelaySeconds": 60}),
        update("CONTEXT", "SUCCEED", "context", Payload="p", ContextOptions={"ReplayChildren": True}),
    )

    told = operations(answer)
    assert told["step"]["ParentId"] == "context"
    assert (told["wait"]["WaitDetails"]["ScheduledEndTimestamp"] - told["wait"]["StartTimestamp"]).seconds == 3600
    assert told["callback"]["CallbackDetails"]["CallbackId"]
    assert told["invoke"]["Status"] == "FAILED"
    assert told["invoke"]["ChainedInvokeDetails"]["Error"]["ErrorType"] == "ResourceNotFoundException"
    step = operations(later)["step"]
    assert (step["Status"], step["StepDetails"]["Attempt"], step["StepDetails"]["Error"]) == ("PENDING", 1, error)
    left = step["StepDetails"]["NextAttemptTimestamp"] - datetime.now(UTC)
    assert 0 < left.total_seconds() <= 60
    assert operations(later)["context"]["ContextDetails"] == {"ReplayChildren": True, "Result": "p"}


def test_the_time_of_the_next_attempt_is_told_by_the_clock_of_the_machine(server, client_of, held):
    """The SDK compares it with that, which knows nothing of the time that was skipped."""
    runner = server({"held": held})
    runner.advance(days=30)
    client = client_of(runner)
    client.invoke(FunctionName="held", InvocationType="Event")
    arn, token = held.called()

    again = update("STEP", "RETRY", Payload="1", StepOptions={"NextAttemptDelaySeconds": 60})
    answer = checkpoint(client, arn, token, again)
    state = client.get_durable_execution_state(DurableExecutionArn=arn, CheckpointToken=answer["CheckpointToken"])

    for step in (operations(answer)["one"], state["Operations"][-1]):
        left = step["StepDetails"]["NextAttemptTimestamp"] - datetime.now(UTC)
        assert 0 < left.total_seconds() <= 60
        assert (step["StartTimestamp"] - datetime.now(UTC)).days == 29


def test_the_first_operation_is_the_execution(run):
    client, arn, token = run()

    state = client.get_durable_execution_state(DurableExecutionArn=arn, CheckpointToken=token, Marker="")

    (operation,) = state["Operations"]
    assert (operation["Type"], operation["Id"]) == ("EXECUTION", arn.rpartition("/")[2])
    assert operation["ExecutionDetails"] == {"InputPayload": '{"a": 1}'}


def test_operations_come_by_pages(run):
    client, arn, token = run()
    updates = [update("STEP", "START", f"step-{number}") for number in range(120)]
    token = checkpoint(client, arn, token, *updates)["CheckpointToken"]

    def sizes(**options):
        pages = client.get_paginator("get_durable_execution_state").paginate(
            DurableExecutionArn=arn, CheckpointToken=token, **options
        )
        return [len(page["Operations"]) for page in pages]

    assert sizes() == [100, 21]
    assert sizes(PaginationConfig={"PageSize": 50}) == [50, 50, 21]


def test_a_marker_is_good_until_the_next_checkpoint(run):
    client, arn, token = run()
    answer = checkpoint(client, arn, token, update("STEP", "START", "a"), update("STEP", "START", "b"))
    token = answer["CheckpointToken"]
    ask = {"DurableExecutionArn": arn, "MaxItems": 1}
    marker = client.get_durable_execution_state(CheckpointToken=token, **ask)["NextMarker"]
    token = checkpoint(client, arn, token)["CheckpointToken"]

    for wrong in (marker, "none", "bm9uZQ=="):
        with pytest.raises(client.exceptions.InvalidParameterValueException, match="Invalid marker"):
            client.get_durable_execution_state(CheckpointToken=token, Marker=wrong, **ask)


def test_a_request_that_is_repeated_by_its_token_gets_the_same_answer(run):
    client, arn, token = run()
    one = update("STEP", "START")

    first = checkpoint(client, arn, token, one, ClientToken="again")
    second = checkpoint(client, arn, token, one, ClientToken="again")

    for answer in (first, second):
        answer.pop("ResponseMetadata")
    assert first == second
    assert kinds(client, arn).count("StepStarted") == 1


def test_without_the_same_client_token_it_is_no_repetition(run):
    client, arn, token = run()
    checkpoint(client, arn, token, ClientToken="one")

    with pytest.raises(
        client.exceptions.InvalidParameterValueException, match="Invalid checkpoint token: 1 checkpoints"
    ):
        checkpoint(client, arn, token, ClientToken="two")


def test_boto3_repeats_a_request_whose_answer_was_lost(run):
    """It names each request by itself, and sends that name again with every attempt."""
    client, arn, token = run()
    sent = []

    def lose_the_first_answer(**context):
        sent.append(1)
        return 1.0e-6 if len(sent) == 1 else None

    client.meta.events.register_first("needs-retry.lambda.CheckpointDurableExecution", lose_the_first_answer)

    answer = checkpoint(client, arn, token, update("STEP", "START"))

    assert len(sent) == 2
    assert operations(answer)["one"]["Status"] == "STARTED"
    assert kinds(client, arn).count("StepStarted") == 1


def code_and_message(refused):
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def test_the_message_about_a_token_begins_as_the_sdk_expects(run, held):
    client, arn, token = run()
    current = checkpoint(client, arn, token)["CheckpointToken"]
    client.invoke(FunctionName="held", InvocationType="Event")
    _, other = held.called()

    for wrong in (token, other, "bm9uZQ=="):
        with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
            checkpoint(client, arn, wrong)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        code, message = code_and_message(refused)
        assert code == "InvalidParameterValueException"
        assert message.startswith("Invalid checkpoint token")
        with pytest.raises(client.exceptions.InvalidParameterValueException, match="Invalid checkpoint token"):
            client.get_durable_execution_state(DurableExecutionArn=arn, CheckpointToken=wrong)
    checkpoint(client, arn, current)


def test_a_token_is_good_no_more_once_the_execution_has_ended(run):
    client, arn, token = run()
    client.stop_durable_execution(DurableExecutionArn=arn)

    with pytest.raises(ClientError, match="Invalid checkpoint token: the execution has ended"):
        checkpoint(client, arn, token)


def test_the_last_checkpoint_may_tell_the_result(run, held):
    client, arn, token = run()

    answer = checkpoint(client, arn, token, update("EXECUTION", "SUCCEED", "execution-result-1", Payload='"big"'))
    held.returns({"Status": "SUCCEEDED", "Result": ""})

    assert "CheckpointToken" not in answer
    assert ended(client, arn)["Result"] == '"big"'


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (update("STEP", "START", "a b"), "Value 'a b' at 'updates.2.member.id'"),
        (update("STEP", "START", "x" * 65), "at 'updates.2.member.id'"),
        (update("STEP", "START", ParentId="p/q"), "Value 'p/q' at 'updates.2.member.parentId'"),
        (update("STEP", "START", Name="ünï"), "Value 'ünï' at 'updates.2.member.name'"),
        (update("STEP", "START", SubType="a.b"), "Value 'a.b' at 'updates.2.member.subType'"),
        (update("TASK", "START"), "Unknown operation type."),
        (update("WAIT", "RETRY"), "Invalid action for the given operation type."),
        (update("WAIT", "START", WaitOptions={"WaitSeconds": 31622401}), "WaitSeconds must be between 1 and 31622400"),
        (update("STEP", "START", "good"), "Cannot checkpoint multiple operations with the same ID."),
        (update("STEP", "START", ParentId="none"), "Invalid parent operation id."),
        (update("STEP", "SUCCEED", Payload="x" * 6_291_457), "STEP payload size must be less than or equal to 6291456"),
        (update("STEP", "FAIL", Error={"ErrorData": "x" * 32_768}), "Error object size must be less than 32768 bytes"),
    ],
)
def test_a_batch_with_one_bad_update_changes_nothing(run, bad, told):
    client, arn, token = run()

    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        checkpoint(client, arn, token, update("STEP", "START", "good"), bad)

    assert told in code_and_message(refused)[1]
    assert kinds(client, arn) == ["ExecutionStarted"]
    assert set(operations(checkpoint(client, arn, token, update("STEP", "START", "good")))) == {"good"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"CheckpointToken": "a b"}, "Value 'a b' at 'checkpointToken'"),
        ({"ClientToken": "a b"}, "Value 'a b' at 'clientToken'"),
        ({"ClientToken": "x" * 65}, "at 'clientToken'"),
    ],
)
def test_tokens_have_to_look_like_tokens(run, options, told):
    client, arn, token = run()

    with pytest.raises(client.exceptions.InvalidParameterValueException, match=told):
        client.checkpoint_durable_execution(**{"DurableExecutionArn": arn, "CheckpointToken": token, **options})
