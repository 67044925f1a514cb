import json

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration


@durable_execution
def remind(event, context):
    context.wait(Duration.from_days(30), name="a month")
    return context.step(lambda _: f"mail to {event['name']}", name="mail")


def test_a_reminder_is_sent_after_a_month(durable_function_runner):
    result = durable_function_runner(remind).run({"name": "Ada"})
    assert json.loads(result.result) == "mail to Ada"
    assert [step.name for step in result.operations] == ["a month", "mail"]
