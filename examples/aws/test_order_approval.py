"""An order that is paid once somebody approves it, and cancelled when nobody does.

`pytest examples/aws` runs the function in the test's process, and `pytest --steprig-aws=web examples/aws` on a server
with the Lambda API, where boto3 calls it. With `--steprig-aws=cloud` it would be run where it is deployed; there time
is real, so that suits functions whose waits are short.
"""

import json

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration, StepConfig
from aws_durable_execution_sdk_python.exceptions import CallbackError
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy

PATIENTLY = StepConfig(
    retry_strategy=create_retry_strategy(RetryStrategyConfig(max_attempts=5, initial_delay=Duration.from_minutes(10)))
)


@durable_execution
def order(event, context):
    approval = context.create_callback(name="approval", config=CallbackConfig(timeout=Duration.from_hours(8)))
    context.step(lambda _: f"may {event['who']} spend {event['cents']}? answer {approval.callback_id}", name="ask")
    try:
        decision = json.loads(approval.result())
    except CallbackError as error:
        return {"state": "cancelled", "why": str(error)}
    receipt = context.step(lambda step: charge(event), name="charge", config=PATIENTLY)
    context.wait(Duration.from_days(14), name="time to send it back")
    return {"state": "settled", "by": decision["by"], "receipt": receipt}


def charge(event):
    """Works at the second attempt where the card is slow."""
    attempts = SEEN.setdefault(event["card"], [])
    attempts.append(event["cents"])
    if event["card"] == "slow" and len(attempts) < 2:
        raise ConnectionError("the bank does not answer")
    return f"receipt for {event['cents']}"


SEEN: dict[str, list[int]] = {}


def approved(runner, arn):
    runner.send_callback_success(runner.wait_for_callback(arn, "approval"), b'{"by": "Grace"}')


def test_an_order_is_settled_two_weeks_after_its_approval(durable_function_runner):
    runner = durable_function_runner(order)
    arn = runner.run_async({"who": "Ada", "cents": 1200, "card": "quick"})

    approved(runner, arn)
    result = runner.wait_for_result(arn)

    assert json.loads(result.result) == {"state": "settled", "by": "Grace", "receipt": "receipt for 1200"}
    pause = result.get_wait("time to send it back")
    assert (pause.end_timestamp - pause.start_timestamp).days == 14


def test_a_card_is_charged_again_when_the_bank_does_not_answer(durable_function_runner):
    runner = durable_function_runner(order)
    arn = runner.run_async({"who": "Ada", "cents": 700, "card": "slow"})

    approved(runner, arn)
    result = runner.wait_for_result(arn)

    assert result.get_step("charge").attempt == 2
    kinds = [event.event_type for event in result.history() if event.name == "charge"]
    assert kinds == ["StepStarted", "StepFailed", "StepStarted", "StepSucceeded"]


def test_an_order_that_nobody_approves_is_cancelled(durable_function_runner):
    runner = durable_function_runner(order)
    arn = runner.run_async({"who": "Ada", "cents": 1200, "card": "quick"})
    runner.wait_for_callback(arn, "approval")

    runner.advance(hours=8)

    assert json.loads(runner.wait_for_result(arn).result)["state"] == "cancelled"
