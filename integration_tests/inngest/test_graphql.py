"""`POST /v0/gql`: what the SDK's GraphQL client asks, and what tools ask."""

import json
from contextlib import suppress
from datetime import datetime, timedelta

import inngest
import pytest

from ..waiting import until

RUNS = "query GetRuns($eventId: ID!) { event(query: {eventId: $eventId}) { functionRuns { id } } }"
STATE = """query GetRun($runID: String!) {
  run(runID: $runID) { output status }
  runTrigger(runID: $runID) { payloads }
}"""
STEPS = "query GetSteps($runID: String!) { run(runID: $runID) { trace { childrenSpans { name outputID } } } }"
OUTPUT = """query GetOutput($outputID: String!) {
  runTraceSpanOutputByID(outputID: $outputID) { data error { message name stack } }
}"""
NOBODY = "01JQDAE4RQ000G40R40M30E20A"


@pytest.fixture
def ask(one_stage):
    def ask(query, status=200, **variables):
        answer = one_stage.http.post("/v0/gql", json={"query": query, "variables": variables})
        assert answer.status_code == status
        return answer.json()

    return ask


@pytest.fixture
def data(ask):
    def data(query, **variables):
        answer = ask(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    return data


def spans(data, run_id):
    return data(STEPS, runID=run_id)["run"]["trace"]["childrenSpans"]


def output_of(data, run_id, name, index=0):
    span = [span for span in spans(data, run_id) if span["name"] == name][index]
    return data(OUTPUT, outputID=span["outputID"])["runTraceSpanOutputByID"]


def test_the_runs_of_an_event_are_exactly_those_that_it_started(one_stage, data):
    for name in ("a", "b"):

        @one_stage.function(name, inngest.TriggerEvent(event="test/two"))
        def either(ctx):
            return None

    one_stage.serve()
    event_id = one_stage.send("test/two")

    shown = data(RUNS, eventId=event_id)["event"]["functionRuns"]
    assert {run["id"] for run in shown} == {one_stage.only_run(name).id for name in ("a", "b")}
    assert len(shown) == 2
    assert data(RUNS, eventId=one_stage.send("test/none"))["event"]["functionRuns"] == []


@pytest.mark.parametrize(
    ("result", "shown"), [("done", '"done"'), (None, "null"), ({"ok": 1}, '{"ok":1}'), (2**60, str(2**60)), ([], "[]")]
)
def test_an_output_is_json_text(one_stage, data, result, shown):
    @one_stage.function("give")
    def give(ctx):
        return result

    run = one_stage.run("give")

    state = data(STATE, runID=run.id)
    assert state["run"]["status"] == "COMPLETED"
    assert json.loads(state["run"]["output"]) == json.loads(shown)
    assert isinstance(state["run"]["output"], str)


def test_a_trigger_is_a_list_of_json_texts_of_events(one_stage, data):
    @one_stage.function("triggered")
    def triggered(ctx):
        return None

    run = one_stage.run("triggered", {"n": 1}, id="mine", ts=1_700_000_000_000)

    (payload,) = data(STATE, runID=run.id)["runTrigger"]["payloads"]
    expected = {"id": "mine", "name": "test/triggered", "data": {"n": 1}, "ts": 1_700_000_000_000}
    assert expected.items() <= json.loads(payload).items()


def test_a_failed_run_shows_the_sdks_error(one_stage, data):
    @one_stage.function("failing", retries=0)
    def failing(ctx):
        raise LookupError("gone")

    run = one_stage.run("failing")

    state = data(STATE, runID=run.id)["run"]
    assert state["status"] == "FAILED"
    assert json.loads(state["output"])["name"] == "LookupError"


def test_a_run_is_there_without_an_output_while_it_runs_and_after_it_was_cancelled(one_stage, data):
    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")
    assert data(STATE, runID=run_id)["run"] == {"output": None, "status": "RUNNING"}
    one_stage.http.delete(f"/v1/runs/{run_id}")

    assert data(STATE, runID=run_id)["run"] == {"output": None, "status": "CANCELLED"}


def test_every_kind_of_step_has_its_output(one_stage, data):
    @one_stage.function("child")
    def child(ctx):
        return {"from": "child"}

    @one_stage.function("broken", retries=0)
    def broken(ctx):
        raise LookupError("gone")

    def fails():
        raise ValueError("no")

    @one_stage.function("all", retries=0)
    def every(ctx):
        yield ctx.step.run("run", lambda: {"a": 1})
        yield ctx.step.run("null", lambda: None)
        yield ctx.step.sleep("sleep", 1000)
        yield ctx.step.wait_for_event("wait", event="test/answer", timeout=timedelta(hours=1))
        yield ctx.step.invoke("invoke", function=child)
        with suppress(inngest.StepError):
            yield ctx.step.run("fails", fails)
        with suppress(inngest.StepError):
            yield ctx.step.invoke("broken invoke", function=broken)
        yield ctx.step.wait_for_event("timed out", event="test/never", timeout=timedelta(hours=1))

    run_id = one_stage.start("all")
    one_stage.waiting(run_id, "wait")
    one_stage.send("test/answer", {"n": 1}, id="mine")
    one_stage.waiting(run_id, "timed out")
    one_stage.clock.advance(hours=1)
    one_stage.ended(run_id)

    assert [span["name"] for span in spans(data, run_id)] == [
        "run",
        "null",
        "sleep",
        "wait",
        "invoke",
        "fails",
        "broken invoke",
        "timed out",
        "function success",
    ]
    assert output_of(data, run_id, "run")["error"] is None
    assert json.loads(output_of(data, run_id, "run")["data"]) == {"a": 1}
    assert output_of(data, run_id, "null") == {"data": "null", "error": None}
    assert json.loads(output_of(data, run_id, "wait")["data"])["id"] == "mine"
    assert json.loads(output_of(data, run_id, "invoke")["data"]) == {"from": "child"}
    failed = output_of(data, run_id, "fails")
    assert failed["data"] is None
    assert (failed["error"]["name"], failed["error"]["message"]) == ("ValueError", "no")
    assert "ValueError" in failed["error"]["stack"]
    assert output_of(data, run_id, "broken invoke")["error"]["name"] == "LookupError"
    assert output_of(data, run_id, "function success") == {"data": "null", "error": None}
    no_output = {span["name"] for span in spans(data, run_id) if span["outputID"] is None}
    assert no_output == {"sleep", "timed out"}


def test_steps_with_the_same_name_are_listed_in_order(one_stage, data):
    @one_stage.function("repeated")
    def repeated(ctx):
        for number in range(3):
            yield ctx.step.run("again", lambda number=number: number)

    run = one_stage.run("repeated")

    assert [output_of(data, run.id, "again", index)["data"] for index in range(3)] == ["0", "1", "2"]


def test_the_trace_of_a_run(one_stage, data):
    @one_stage.function("child")
    def child(ctx):
        return None

    def flaky(ctx):
        if ctx.attempt == 0:
            raise ValueError("again")
        return 1

    @one_stage.function("traced")
    def traced(ctx):
        yield ctx.step.run("flaky", lambda: flaky(ctx))
        yield ctx.step.sleep("sleep", 60_000)
        yield ctx.step.wait_for_event(
            "wait", event="test/answer", if_exp="async.data.k == event.data.k", timeout=timedelta(hours=1)
        )
        yield ctx.step.invoke("invoke", function=child)

    run_id = one_stage.start("traced", {"k": 7})
    one_stage.waiting(run_id, "wait")
    one_stage.send("test/answer", {"k": 7})
    one_stage.ended(run_id)
    fields = (
        "name status isRoot stepOp stepID attempts outputID queuedAt startedAt endedAt duration parentSpanID spanID"
    )
    info = """stepInfo {
      ... on RunStepInfo { type }
      ... on SleepStepInfo { sleepUntil }
      ... on WaitForEventStepInfo { eventName expression timeout foundEventID timedOut }
      ... on InvokeStepInfo { triggeringEventID functionID timeout returnEventID runID timedOut }
    }"""
    trace = f"{fields} childrenSpans {{ {fields} {info} childrenSpans {{ {fields} }} }}"
    query = f"query T($runID: String!) {{ run(runID: $runID) {{ trace {{ {trace} }} }} }}"
    root = data(query, runID=run_id)["run"]["trace"]

    assert (root["name"], root["isRoot"], root["status"]) == (f"{one_stage.app_id}-traced", True, "COMPLETED")
    flaky_span, sleep, wait, invoke, end = root["childrenSpans"]
    assert [span["stepOp"] for span in (flaky_span, sleep, wait, invoke, end)] == [
        "RUN",
        "SLEEP",
        "WAIT_FOR_EVENT",
        "INVOKE",
        None,
    ]
    assert [(child["name"], child["status"]) for child in flaky_span["childrenSpans"]] == [
        ("Attempt 0", "FAILED"),
        ("Attempt 1", "COMPLETED"),
    ]
    assert (flaky_span["attempts"], flaky_span["status"]) == (1, "COMPLETED")
    assert (end["name"], end["status"], end["isRoot"]) == ("function success", "COMPLETED", False)
    assert wait["stepInfo"]["eventName"] == "test/answer"
    assert wait["stepInfo"]["expression"] in ("async.data.k == 7", "async.data.k == 7.0")
    assert wait["stepInfo"]["timedOut"] is False
    (answer,) = one_stage.events("test/answer")
    assert wait["stepInfo"]["foundEventID"] == answer["internal_id"]
    (child_run,) = one_stage.runs("child")
    assert invoke["stepInfo"]["runID"] == child_run.id
    assert invoke["stepInfo"]["functionID"] == f"{one_stage.app_id}-child"
    assert datetime.fromisoformat(sleep["stepInfo"]["sleepUntil"])
    assert all(span["queuedAt"].endswith("Z") for span in root["childrenSpans"])
    assert [span["queuedAt"] for span in root["childrenSpans"]] == sorted(
        span["queuedAt"] for span in root["childrenSpans"]
    )


def test_a_failed_run_ends_with_a_span_for_its_error(one_stage, data):
    @one_stage.function("failing", retries=1)
    def failing(ctx):
        raise LookupError("gone")

    run = one_stage.run("failing")

    (end,) = spans(data, run.id)
    assert end["name"] == "function error"
    assert output_of(data, run.id, "function error")["error"]["message"] == "gone"


# --- What there is not -----------------------------------------------------------------------------------


def test_an_unknown_run_is_an_error_and_not_null(ask):
    answer = ask(STATE, runID=NOBODY)

    messages = {error["message"] for error in answer["errors"]}
    assert messages == {"error retrieving run: sql: no rows in result set"}
    assert answer["errors"][0]["path"]


def test_an_unknown_event_is_an_error_and_not_null(ask):
    answer = ask(RUNS, eventId=NOBODY)

    assert answer["data"] == {"event": None}
    assert answer["errors"][0]["message"] == "sql: no rows in result set"


@pytest.mark.parametrize("output_id", ["", "x", "e30=", NOBODY, "WyJhIiwiYiJd", "é"])
def test_an_unknown_output_is_an_error(ask, output_id):
    assert ask(OUTPUT, outputID=output_id)["errors"]


@pytest.mark.parametrize(
    "query", ["query { nothing }", "query { run }", "{", "", "query { run(runID: 5) { id } }", "mutation { x }"]
)
def test_an_invalid_query_is_422(ask, query):
    answer = ask(query, 422)

    assert answer["data"] is None
    assert answer["errors"][0]["message"]
    assert answer["errors"][0]["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b"5", b"{}", b'{"query": 5}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_query_is_refused(one_stage, content):
    answer = one_stage.http.post("/v0/gql", content=content)

    assert 400 <= answer.status_code < 500
    assert answer.json()["errors"]


@pytest.mark.parametrize("variables", [{}, {"runID": None}, {"runID": 5}, {"runID": []}])
def test_missing_and_wrong_variables_are_errors(one_stage, variables):
    answer = one_stage.http.post("/v0/gql", json={"query": STATE, "variables": variables})

    assert answer.status_code in (200, 422)
    assert answer.json()["errors"]


def test_one_of_several_operations_is_chosen_by_name(one_stage):
    query = 'query A { event(query: {eventId: "a"}) { id } } query B { __typename }'

    answer = one_stage.http.post("/v0/gql", json={"query": query, "operationName": "B", "variables": None})

    assert answer.json()["data"] == {"__typename": "Query"}


def test_the_workspace_of_an_event_may_be_given(one_stage, data):
    event_id = one_stage.send("test/e")
    query = 'query Q($id: ID!) { event(query: {workspaceId: "w", eventId: $id}) { id name externalID payload status } }'

    event = data(query, id=event_id)["event"]

    assert event == {
        "id": event_id,
        "name": "test/e",
        "externalID": event_id,
        "payload": "{}",
        "status": "NO_FUNCTIONS",
    }


def test_the_schema_can_be_read(data):
    query = "{ __schema { queryType { name } types { name } } }"

    types = {entry["name"] for entry in data(query)["__schema"]["types"]}

    assert {"FunctionRunV2", "RunTraceSpan", "RunTraceTrigger", "RunTraceSpanOutput", "Event"} <= types


def test_waiting_steps_say_so(one_stage, data):
    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")

    query = "query Q($id: String!) { run(runID: $id) { trace { status childrenSpans { name status outputID } } } }"
    trace = data(query, id=run_id)["run"]["trace"]
    assert trace == {"status": "RUNNING", "childrenSpans": [{"name": "wait", "status": "WAITING", "outputID": None}]}


def test_statuses_of_an_event_follow_its_runs(one_stage, data):
    @one_stage.function("good", inngest.TriggerEvent(event="test/shared"))
    def good(ctx):
        return None

    @one_stage.function("bad", inngest.TriggerEvent(event="test/shared"), retries=0)
    def bad(ctx):
        raise ValueError("no")

    event_id = one_stage.send("test/shared")
    for run in one_stage.runs_of(event_id):
        one_stage.ended(run["run_id"])
    query = "query Q($id: ID!) { event(query: {eventId: $id}) { status pendingRuns totalRuns } }"

    assert until(lambda: data(query, id=event_id)["event"]) == {
        "status": "PARTIALLY_FAILED",
        "pendingRuns": 0,
        "totalRuns": 2,
    }
