"""Every operation of the SDK, on each journal."""

import json
from contextlib import closing
from datetime import timedelta

import pytest
from aws_durable_execution_sdk_python.execution import InvocationStatus
from aws_durable_execution_sdk_python.lambda_service import OperationStatus, OperationType

from steprig.aws import DurableFunctionsTestError
from steprig.kernel import SqliteJournal

from . import samples
from .samples import value


@pytest.fixture
def run(runner_of, any_journal):
    def run(handler, event=None, **options):
        return runner_of(handler, store=any_journal, **options).run(json.dumps(event))

    return run


def types(result):
    return [event.event_type for event in result.history()]


def test_a_step_runs_and_its_result_is_kept(run):
    result = run(samples.adds, {"left": 2, "right": 3})

    assert result.status is InvocationStatus.SUCCEEDED
    assert result.result == "5"
    step = result.get_step("add")
    assert step.operation_type is OperationType.STEP
    assert step.status is OperationStatus.SUCCEEDED
    assert (step.result, step.attempt) == ("5", 1)


def test_the_execution_is_found_by_its_name_and_listed_nowhere(runner_of):
    result = runner_of(samples.adds).run('{"left": 2, "right": 3}', execution_name="mine")

    execution = result.get_execution("mine")
    assert execution.operation_type is OperationType.EXECUTION
    assert execution.status is OperationStatus.SUCCEEDED
    assert execution.input_payload == '{"left": 2, "right": 3}'
    assert [operation.name for operation in result.get_all_operations()] == ["add"]
    with pytest.raises(DurableFunctionsTestError, match="'another'"):
        result.get_execution("another")


def test_waits_take_their_time_on_the_clock_alone(run):
    result = run(samples.sleeps)

    assert value(result) == "done"
    wait = result.get_wait("a day")
    assert wait.status is OperationStatus.SUCCEEDED
    assert wait.end_timestamp - wait.start_timestamp >= timedelta(days=1)
    assert wait.scheduled_end_timestamp - wait.start_timestamp == timedelta(days=1)
    assert result.get_step("end").start_timestamp - wait.start_timestamp >= timedelta(hours=26)


def test_a_step_is_tried_again_after_its_delay(run):
    handler, made = samples.flaky(2)

    result = run(handler)

    assert value(result) == 3
    assert made == [1, 2, 3]
    assert result.get_step("flaky").attempt == 3
    assert types(result).count("StepFailed") == 2
    assert types(result).count("InvocationCompleted") == 3


def test_a_step_that_fails_for_good_fails_the_execution(run):
    handler, made = samples.flaky(99, attempts=2)

    result = run(handler)

    assert made == [1, 2]
    assert result.status is InvocationStatus.FAILED
    assert result.error.message == "attempt 2"
    assert result.get_step("flaky").status is OperationStatus.FAILED


def test_a_condition_is_polled_until_it_holds(run):
    result = run(samples.polls(3))

    assert value(result) == 3
    polls = [event for event in result.history() if event.event_type == "StepSucceeded"]
    assert [event.details["Result"]["Payload"] for event in polls] == ["1", "2", "3"]
    assert [event.details["RetryDetails"] for event in polls] == [
        {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 60},
        {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 60},
        {"CurrentAttempt": 3},
    ]


def test_a_child_context_has_its_operations(run):
    result = run(samples.nests, 4)

    assert value(result) == 9
    context = result.get_context("child")
    assert [operation.name for operation in context.child_operations] == ["double", "rest", "increment"]
    assert context.get_step("double").result == "8"
    assert len(result.get_all_operations()) == 4


def test_a_map_has_a_context_an_item(run):
    result = run(samples.maps, [1, 2, 3, 4, 5])

    assert value(result) == [10, 20, 30, 40, 50]
    context = result.get_context("items")
    assert [child.status for child in context.child_operations] == [OperationStatus.SUCCEEDED] * 5
    assert {child.sub_type for child in context.child_operations} == {"MapIteration"}


def test_branches_run_side_by_side(run):
    result = run(samples.parallels)

    assert value(result) == ["slept", "worked"]
    assert len(result.get_context("both").child_operations) == 2


def test_a_race_is_over_with_the_first(run):
    result = run(samples.races)

    assert value(result) == ["first"]
    statuses = {operation.name: operation.status for operation in result.get_all_operations()}
    assert statuses["never"] is OperationStatus.STARTED


def test_a_large_result_of_a_context_is_computed_again(run):
    result = run(samples.large)

    assert value(result) == 300_000
    assert len(result.get_context("large").result or "") < 300_000


def test_a_step_that_runs_at_most_once_runs(run):
    assert value(run(samples.once)) == "once"


def test_a_result_too_large_for_the_answer_is_checkpointed(run):
    from aws_durable_execution_sdk_python import durable_execution

    handler = durable_execution(lambda event, context: "x" * (6 * 1024 * 1024 - 49))

    result = run(handler)

    assert result.status is InvocationStatus.SUCCEEDED
    assert len(result.result) == 6 * 1024 * 1024 - 47
    assert types(result) == ["ExecutionStarted", "InvocationCompleted", "ExecutionSucceeded"]


def test_state_is_paged(run):
    result = run(samples.sleeps, max_invocation_page_bytes=1)

    assert value(result) == "done"


def test_what_is_in_a_file_tells_the_same_as_the_result(runner_of, tmp_path):
    with closing(SqliteJournal(tmp_path / "journal.db")) as journal:
        result = runner_of(samples.nests, store=journal).run("4")

    reopened = SqliteJournal(tmp_path / "journal.db")
    later = runner_of(samples.nests, store=reopened)
    told = later.get_execution_history(result.execution_arn, include_execution_data=True).events
    assert [event.to_dict() for event in told] == [event.to_dict() for event in result.history()]
    reopened.close()
