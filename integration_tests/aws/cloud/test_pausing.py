"""How long an execution may take that is paused, and what is left of one that is deleted."""

from urllib.parse import quote

import httpx
import pytest

from steprig.aws import DurableFunctionsTestError, ExecutionStatus, ResourceNotFoundException

from .. import samples
from ..samples import value

HOUR = 3600


@pytest.fixture
def waiting(web):
    """A runner of an execution that may take an hour, and waits for a callback; the callback's id, and its ARN."""
    runner = web(samples.waits_for_callback, execution_timeout=HOUR)
    arn = runner.run_async()
    return runner, runner.wait_for_callback(arn), arn


def ask(runner, arn, what, method="POST", **body):
    url = f"{runner.web.endpoint_url}/2025-12-01/durable-executions/{quote(arn, safe='')}{what}"
    answer = httpx.request(method, url, json=body or None)
    assert answer.status_code == 202, answer.text


def status(runner, arn):
    return runner.lambda_client.get_durable_execution(DurableExecutionArn=arn)["Status"]


def test_a_timeout_that_is_paused_comes_as_much_later_as_the_pause_was_long(waiting):
    runner, _, arn = waiting
    runner.advance(minutes=50)

    ask(runner, arn, "/pause", ExecutionTimeoutPaused=True)
    runner.advance(hours=30)
    assert status(runner, arn) == "PAUSED"
    ask(runner, arn, "/resume")
    runner.advance(minutes=9)
    assert status(runner, arn) == "RUNNING"
    runner.advance(minutes=2)

    result = runner.wait_for_result(arn)
    assert result.execution_status is ExecutionStatus.TIMED_OUT
    assert result.error.message == "Execution timed out after 3600 seconds."
    whole = result.history()[-1].event_timestamp - result.history()[0].event_timestamp
    assert 31 * HOUR <= whole.total_seconds() < 31 * HOUR + 60


def test_a_timeout_that_is_not_paused_ends_an_execution_that_is(waiting):
    runner, _, arn = waiting
    runner.advance(minutes=50)

    ask(runner, arn, "/pause", ExecutionTimeoutPaused=False)
    runner.advance(minutes=9)
    assert status(runner, arn) == "PAUSED"
    runner.advance(minutes=2)

    assert runner.wait_for_result(arn).execution_status is ExecutionStatus.TIMED_OUT


def test_each_pause_puts_off_the_timeout_anew(waiting):
    runner, callback_id, arn = waiting

    for _ in range(3):
        ask(runner, arn, "/pause", ExecutionTimeoutPaused=True)
        runner.advance(hours=2)
        ask(runner, arn, "/resume")
        runner.advance(minutes=15)
    assert status(runner, arn) == "RUNNING"
    runner.send_callback_success(callback_id, b"yes")

    assert value(runner.wait_for_result(arn)) == "yes"


def test_an_answer_during_a_pause_is_taken_when_the_pause_is_over(waiting):
    runner, callback_id, arn = waiting

    ask(runner, arn, "/pause")
    runner.send_callback_success(callback_id, b"yes")
    runner.advance(minutes=30)
    assert status(runner, arn) == "PAUSED"
    with pytest.raises(TimeoutError, match="the execution is PAUSED"):
        runner.wait_for_result(arn, timeout=0.1)
    ask(runner, arn, "/resume")

    assert value(runner.wait_for_result(arn)) == "yes"


def test_an_execution_that_is_deleted_is_gone_for_everybody(waiting):
    runner, callback_id, arn = waiting
    runner.send_callback_success(callback_id, b"yes")
    runner.wait_for_result(arn)
    others = runner.run_async()

    ask(runner, arn, "", "DELETE")
    runner.advance(seconds=2)

    with pytest.raises(ResourceNotFoundException):
        runner.wait_for_result(arn)
    with pytest.raises(ResourceNotFoundException):
        runner.get_execution_history(arn)
    with pytest.raises(ResourceNotFoundException):
        runner.send_callback_success(callback_id, b"again")
    assert [run.id for run in runner.timeline.runs()] == [others]
    assert status(runner, others) == "RUNNING"


def test_an_execution_that_goes_on_cannot_be_deleted(waiting):
    runner, callback_id, arn = waiting

    with pytest.raises(AssertionError, match="cannot be deleted"):
        ask(runner, arn, "", "DELETE")

    runner.send_callback_success(callback_id, b"yes")
    assert value(runner.wait_for_result(arn)) == "yes"
    with pytest.raises(DurableFunctionsTestError):
        runner.wait_for_callback(arn)
