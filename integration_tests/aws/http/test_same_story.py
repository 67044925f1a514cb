"""A function does the same whether it speaks to the service in this process or over HTTP from another."""

import json
import sys

import pytest

from steprig.aws import DurableFunctionTestRunner, HandlerProcess

from ...waiting import until
from .. import samples
from .stage import AWS, ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runtime interface client is built for Linux")

STORIES = {
    "adds": {"left": 1, "right": 2},
    "sleeps": None,
    "nests": 4,
    "large": None,
    "once": None,
    "waits_for_callback": None,
    "asks": None,
    "calls": {"function": "nests", "payload": 3},
}
SIDE_BY_SIDE = ("maps", "parallels", "races")


def told(events):
    """What is the same in each run: all but times, ids that are drawn, and the arrival of batches."""
    return [(event["EventType"], event.get("Name"), event.get("SubType"), event.get("Id")) for event in events]


@pytest.fixture(scope="module")
def client():
    from contextlib import closing

    from steprig.aws import WebRunner

    runner = WebRunner(skip_time=True)
    for name in (*STORIES, *SIDE_BY_SIDE):
        runner.register_durable_function(name, HandlerProcess(f"samples.{name}", cwd=AWS))
    with runner, closing(runner.client()) as client:
        yield client


@pytest.mark.parametrize("name", STORIES)
def test_the_history_is_the_same(client, name):
    text = json.dumps(STORIES[name])
    with DurableFunctionTestRunner(getattr(samples, name), callbacks={"approval": '"yes"'}) as runner:
        runner.register_durable_function("nests", samples.nests)
        here = runner.run(text)
    answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=text)
    arn = answer["DurableExecutionArn"]
    answer_callback(client, arn, name)

    there = ended(client, arn)

    assert there["Status"] == here.execution_status.name
    assert there.get("Result") == here.result
    events = client.get_durable_execution_history(DurableExecutionArn=arn, MaxItems=1000)["Events"]
    assert told(events)[1:] == told(event.to_dict() for event in here.history())[1:]


@pytest.mark.parametrize(("name", "event"), [("maps", [1, 2, 3, 4]), ("parallels", None), ("races", None)])
def test_what_runs_side_by_side_comes_to_the_same(client, name, event):
    """In which order is not the same, even in one process."""
    text = json.dumps(event)
    with DurableFunctionTestRunner(getattr(samples, name)) as runner:
        here = runner.run(text)

    answer = client.invoke(FunctionName=name, Payload=text)

    there = ended(client, answer["DurableExecutionArn"])
    assert there["Result"] == here.result
    events = client.get_durable_execution_history(DurableExecutionArn=there["DurableExecutionArn"], MaxItems=1000)
    operations = {(event["Id"], event.get("ParentId")) for event in events["Events"] if "SubType" in event}
    assert operations == {(event.id, event.parent_id) for event in here.history() if event.sub_type}


def answer_callback(client, arn, name):
    """As the runner in this process does: once the invocation that made it is over."""
    if name not in ("asks", "waits_for_callback"):
        return

    def pending():
        events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
        made = [one["CallbackStartedDetails"]["CallbackId"] for one in events if "CallbackStartedDetails" in one]
        return made[0] if made and events[-1]["EventType"] == "InvocationCompleted" else None

    callback_id = until(pending, "a callback to answer")
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b'"yes"')
