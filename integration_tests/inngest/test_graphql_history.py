"""`functionRun.history`: what happened to a run, as older tools ask for it."""

import json
from datetime import timedelta

import inngest
import pytest

from .graphql_client import GraphQL

HISTORY = """query H($id: ID!) { functionRun(query: {functionRunId: $id}) {
  pendingSteps
  waitingFor { eventName expression expiryTime }
  history {
    id type stepName stepType attempt groupID url createdAt functionVersion
    result { durationMS sdkLanguage sdkVersion sizeBytes }
    sleep { until } waitForEvent { eventName expression timeout } waitResult { eventID timeout }
    invokeFunction { eventID functionID correlationID timeout }
    invokeFunctionResult { eventID timeout runID } cancel { eventID }
  }
} }"""
OUTPUT = """query O($id: ID!, $item: ULID!) {
  functionRun(query: {functionRunId: $id}) { historyItemOutput(id: $item) }
}"""


@pytest.fixture
def graphql(one_stage):
    return GraphQL(one_stage)


@pytest.fixture
def history(graphql):
    def history(run_id):
        return graphql.data(HISTORY, id=run_id)["functionRun"]["history"]

    return history


def told(history):
    return [(item["type"], item["stepName"]) for item in history]


def test_steps_and_a_sleep(one_stage, history):
    @one_stage.function("sleeper")
    def sleeper(ctx):
        yield ctx.step.run("first", lambda: 1)
        yield ctx.step.sleep("nap", timedelta(hours=1))
        return "woke"

    run_id = one_stage.run("sleeper").id
    items = history(run_id)

    assert told(items) == [
        ("FunctionScheduled", None),
        ("FunctionStarted", None),
        ("StepStarted", "step"),
        ("StepCompleted", "first"),
        ("StepStarted", "step"),
        ("StepCompleted", "nap"),
        ("StepSleeping", "nap"),
        ("StepStarted", "step"),
        ("StepCompleted", "step"),
        ("FunctionCompleted", None),
    ]
    assert len({item["id"] for item in items}) == len(items)
    assert [item["createdAt"] for item in items] == sorted(item["createdAt"] for item in items)
    assert items == history(run_id)
    assert items[6]["sleep"]["until"] > items[6]["createdAt"]
    assert items[2]["url"].startswith("http://")
    assert items[2]["groupID"] == items[3]["groupID"] != items[4]["groupID"]
    assert items[3]["stepType"] == "Run"
    assert items[3]["result"]["sdkLanguage"] == "py"


def test_the_output_of_an_item_is_asked_for_separately(one_stage, graphql, history):
    @one_stage.function("giving")
    def giving(ctx):
        yield ctx.step.run("first", lambda: {"a": 1})
        return [2]

    run_id = one_stage.run("giving").id
    items = {(item["type"], item["stepName"]): item["id"] for item in history(run_id)}

    def output(item_id):
        text = graphql.data(OUTPUT, id=run_id, item=item_id)["functionRun"]["historyItemOutput"]
        return None if text is None else json.loads(text)

    assert output(items["StepCompleted", "first"]) == {"a": 1}
    assert output(items["FunctionCompleted", None]) == [2]
    assert output(items["FunctionStarted", None]) is None
    assert output("01JQDAE4RQ000G40R40M30E20A") is None


def test_attempts_that_fail(one_stage, graphql, history):
    def flaky(ctx):
        raise ValueError(f"attempt {ctx.attempt}")

    @one_stage.function("failing", retries=1)
    def failing(ctx):
        yield ctx.step.run("flaky", lambda: flaky(ctx))

    run_id = one_stage.run("failing").id
    items = history(run_id)

    assert told(items)[2:6] == [
        ("StepStarted", "step"),
        ("StepErrored", "flaky"),
        ("StepStarted", "step"),
        ("StepFailed", "flaky"),
    ]
    assert [item["attempt"] for item in items[2:6]] == [0, 0, 1, 1]
    assert told(items)[-1] == ("FunctionFailed", None)
    shown = graphql.data(OUTPUT, id=run_id, item=items[3]["id"])["functionRun"]["historyItemOutput"]
    assert json.loads(shown)["message"] == "attempt 0"


def test_waits_and_invocations(one_stage, graphql, history):
    @one_stage.function("child")
    def child(ctx):
        return 1

    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event(
            "answer", event="test/answer", if_exp="async.data.k == 1", timeout=timedelta(hours=1)
        )
        yield ctx.step.invoke("call", function=child)
        yield ctx.step.wait_for_event("never", event="test/never", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "answer")
    waits = graphql.data(HISTORY, id=run_id)["functionRun"]
    assert waits["waitingFor"]["eventName"] == "test/answer"
    assert waits["pendingSteps"] == 0
    one_stage.send("test/answer", {"k": 1})
    one_stage.waiting(run_id, "never")
    one_stage.clock.advance(hours=2)
    one_stage.ended(run_id)

    items = history(run_id)
    by_step = {(item["type"], item["stepName"]): item for item in items if not item["result"]}
    (answer,) = one_stage.events("test/answer")
    assert by_step["StepWaiting", "answer"]["waitForEvent"]["expression"].startswith("async.data.k == 1")
    assert by_step["StepCompleted", "answer"]["waitResult"] == {"eventID": answer["internal_id"], "timeout": False}
    assert by_step["StepCompleted", "never"]["waitResult"] == {"eventID": None, "timeout": True}
    invoked = by_step["StepWaiting", "call"]["invokeFunction"]
    assert invoked["functionID"] == f"{one_stage.app_id}-child"
    assert invoked["correlationID"].startswith(run_id)
    result = by_step["StepCompleted", "call"]["invokeFunctionResult"]
    assert (result["runID"], result["timeout"]) == (one_stage.only_run("child").id, False)


def test_parallel_steps_are_scheduled(one_stage, history):
    @one_stage.function("parallel")
    def parallel(ctx):
        yield ctx.group.parallel(tuple(lambda name=name: ctx.step.run(name, lambda: name) for name in ("a", "b")))

    items = told(history(one_stage.run("parallel").id))

    assert {("StepScheduled", "a"), ("StepScheduled", "b"), ("StepCompleted", "a"), ("StepCompleted", "b")} <= {*items}


def test_a_cancelled_run_says_so(one_stage, history):
    @one_stage.function("cancelled", cancel=[inngest.Cancel(event="test/stop")])
    def cancelled(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(days=1))

    run_id = one_stage.start("cancelled")
    one_stage.waiting(run_id, "wait")
    one_stage.send("test/stop")
    one_stage.ended(run_id)

    assert history(run_id)[-1]["type"] == "FunctionCancelled"
    assert history(run_id)[-1]["cancel"] == {"eventID": None}
