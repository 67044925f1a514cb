"""Every field of the GraphQL schema, asked for at once: each has a value, or null where that is allowed."""

from datetime import timedelta
from pathlib import Path

import inngest
import pytest
from graphql import (
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)

from steprig.inngest import graphql as graphql_package

from .graphql_client import LONG_AGO, GraphQL
from .opcode_app import OpcodeApp

SCHEMA = build_schema((Path(graphql_package.__file__).parent / "schema.graphql").read_text())
ARGUMENTS = {("FunctionRun", "historyItemOutput"): '(id: "01JQDAE4RQ000G40R40M30E20A")'}
"""Of fields below the first level that cannot do without."""


def selection(kind, seen=frozenset()):
    """All fields of a type, and theirs, but for those that lead back."""
    if is_leaf_type(kind):
        return ""
    if isinstance(kind, GraphQLUnionType):
        return "{ __typename " + " ".join(f"... on {each.name} {selection(each, seen)}" for each in kind.types) + " }"
    assert isinstance(kind, GraphQLObjectType)
    fields = []
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if inner.name in seen | {kind.name} or (kind.name == "Function" and name == "app"):
            continue
        text = selection(inner, seen | {kind.name})
        fields.append(f"{_alias(kind, name, field)}{name}{ARGUMENTS.get((kind.name, name), '')} {text}")
    return "{ " + " ".join(fields) + " }"


def _alias(kind, name, field):
    """Fields of a union's members may have one name and two types."""
    return f"{kind.name}_{name}: " if kind.name.endswith("StepInfo") else ""


@pytest.fixture
def graphql(one_stage):
    return GraphQL(one_stage)


@pytest.fixture
def busy(one_stage):
    """A server on which much has happened. Gives the id of a run with every kind of step, and of its event."""

    @one_stage.function("child")
    def child(ctx):
        return 1

    def fails_once(ctx):
        if ctx.attempt == 0:
            raise ValueError("again")

    @one_stage.function("all", concurrency=[inngest.Concurrency(limit=2, key="event.data.k")], priority=None)
    def every(ctx):
        yield ctx.step.run("flaky", lambda: fails_once(ctx))
        yield ctx.step.sleep("nap", timedelta(minutes=1))
        yield ctx.step.wait_for_event("answer", event="test/never", timeout=timedelta(minutes=1))
        yield ctx.step.invoke("child", function=child)

    @one_stage.function("open", throttle=inngest.Throttle(limit=5, period=timedelta(seconds=1)))
    def still_open(ctx):
        yield ctx.step.wait_for_event("answer", event="test/never", timeout=timedelta(days=9))

    run_id = one_stage.start("all", {"k": 1})
    one_stage.waiting(run_id, "answer")
    one_stage.clock.advance(minutes=2)
    run = one_stage.ended(run_id)
    one_stage.waiting(one_stage.start("open"), "answer")
    return run.id, run.events[0].internal_id


def test_every_field_of_every_query(one_stage, graphql, busy):
    run_id, event_id = busy
    app = graphql.data("{ apps { id } }")["apps"][0]["id"]
    output = graphql.data("query T($id: String!) { runTrace(runID: $id) { childrenSpans { outputID } } }", id=run_id)[
        "runTrace"
    ]["childrenSpans"][0]["outputID"]
    newest = f'filter: {{from: "{LONG_AGO}"}}'
    arguments = {
        "app": f'(id: "{app}")',
        "functionBySlug": f'(query: {{functionSlug: "{one_stage.app_id}-all"}})',
        "event": f'(query: {{eventId: "{event_id}"}})',
        "events": "(query: {})",
        "eventV2": f'(id: "{event_id}")',
        "eventsV2": f"({newest})",
        "stream": "(query: {})",
        "functionRun": f'(query: {{functionRunId: "{run_id}"}})',
        "run": f'(runID: "{run_id}")',
        "runs": f"(orderBy: [], {newest})",
        "runTrace": f'(runID: "{run_id}")',
        "runTrigger": f'(runID: "{run_id}")',
        "runTraceSpanOutputByID": f'(outputID: "{output}")',
        "workerConnections": "(orderBy: [], filter: {})",
    }
    fields = SCHEMA.query_type.fields
    # No connection has this id; the test of connections asks for one.
    assert set(fields) - set(arguments) == {"apps", "functions", "workerConnection"}

    for name, field in fields.items():
        if name == "workerConnection":
            continue
        text = selection(get_named_type(field.type))
        shown = graphql.data(f"{{ {name}{arguments.get(name, '')} {text} }}")[name]
        assert shown is not None, name


def test_a_schema_that_a_browser_reads_is_the_one_in_the_file(graphql):
    shown = graphql.data("{ __schema { types { name fields { name } } } }")["__schema"]["types"]

    served = {kind["name"]: {field["name"] for field in kind["fields"] or ()} for kind in shown}
    for name, kind in SCHEMA.type_map.items():
        if isinstance(kind, GraphQLObjectType):
            assert served[name] == set(kind.fields)


OPERATIONS = [
    """query Q($appIDs: [UUID!], $from: Time!, $status: [FunctionRunStatus!], $by: RunsV2OrderByField!,
        $after: String = null, $query: String = null, $preview: Boolean = false) {
      runs(filter: {appIDs: $appIDs, from: $from, status: $status, timeField: $by, query: $query},
          orderBy: [{field: $by, direction: DESC}], after: $after, preview: $preview) {
        edges { node { id } } totalCount(preview: $preview) } }""",
    """query Q($app: UUID!, $from: Time, $status: [ConnectV1ConnectionStatus!],
        $by: ConnectV1WorkerConnectionsOrderByField!, $after: String = null,
        $order: [ConnectV1WorkerConnectionsOrderBy!] = [], $first: Int!) {
      workerConnections(first: $first, after: $after, orderBy: $order,
          filter: {appIDs: [$app], from: $from, status: $status, timeField: $by}) { totalCount } }""",
    """query Q($after: String, $from: Time!, $until: Time, $query: String = null, $names: [String!] = null,
        $internal: Boolean = false) {
      eventsV2(first: 50, after: $after, filter: {
          from: $from, until: $until, query: $query, eventNames: $names, includeInternalEvents: $internal}) {
        totalCount } }""",
    "query Q($id: ULID!) { eventV2(id: $id) { runs { trace(preview: true) { skipReason skipExistingRunID } } } }",
    "query Q($id: ID!) { event(query: {eventId: $id}) { functionRuns { waitingFor { eventName } pendingSteps } } }",
    "query Q($id: UUID!) { app(id: $id) { sdkFeatureReadiness { extendedTraces { ready reason } } } }",
    """mutation M($function: String!, $data: Map, $meta: Map, $user: Map, $session: ULID = null, $run: ULID = null) {
      invokeFunction(functionSlug: $function, data: $data, meta: $meta, user: $user,
        debugSessionID: $session, debugRunID: $run) }""",
    """mutation M($run: ULID!, $from: RerunFromStepInput!, $session: ULID = null, $debug: ULID = null) {
      rerun(runID: $run, fromStep: $from, debugRunID: $debug, debugSessionID: $session) }""",
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_variables_may_have_the_types_that_browsers_give_them(operation):
    assert validate(SCHEMA, parse(operation)) == []


# --- Traces ----------------------------------------------------------------------------------------------

TRACE = """query T($id: String!, $preview: Boolean) { run(runID: $id) { trace(preview: $preview) { name
  childrenSpans { name stepType attempts response { statusCode headers } childrenSpans {
    name response { statusCode headers } } } } } }"""


def test_the_preview_of_a_trace_has_the_same_spans_under_names_of_its_own(one_stage, graphql):
    @one_stage.function("named")
    def named(ctx):
        yield ctx.step.run("first", lambda: 1)

    run_id = one_stage.run("named").id

    def names(**variables):
        root = graphql.data(TRACE, id=run_id, **variables)["run"]["trace"]
        return [root["name"], *((span["name"], span["stepType"]) for span in root["childrenSpans"])]

    slug = f"{one_stage.app_id}-named"
    assert names() == names(preview=False) == [slug, ("first", "RUN"), ("function success", "")]
    assert names(preview=True) == ["Run", ("first", "RUN"), ("Finalization", "FINALIZATION")]


def test_a_span_shows_how_the_app_has_answered(one_stage, graphql):
    def flaky(ctx):
        if ctx.attempt == 0:
            raise ValueError("again")

    @one_stage.function("answered")
    def answered(ctx):
        yield ctx.step.run("steady", lambda: 1)
        yield ctx.step.run("flaky", lambda: flaky(ctx))

    run_id = one_stage.run("answered").id
    steady, flaky_span, end = graphql.data(TRACE, id=run_id)["run"]["trace"]["childrenSpans"]

    assert steady["response"]["statusCode"] == 206
    assert steady["response"]["headers"]["X-Inngest-Req-Version"] == ["2"]
    assert flaky_span["response"] is None
    assert [attempt["response"]["statusCode"] for attempt in flaky_span["childrenSpans"]] == [206, 206]
    assert end["response"]["statusCode"] == 200
    assert end["response"]["headers"]["X-Inngest-Sdk"][0].startswith("inngest-py:v")


def test_a_call_that_nobody_answers_shows_no_answer(one_stage, graphql):
    @one_stage.function("lost", retries=0)
    def lost(ctx):
        return None

    server = one_stage.serve()
    server.stop()
    run_id = one_stage.run("lost").id

    (end,) = graphql.data(TRACE, id=run_id)["run"]["trace"]["childrenSpans"]
    assert (end["name"], end["response"]) == ("function error", None)


# --- Functions that a run defers -------------------------------------------------------------------------

DEFERS = """query D($id: String!) { run(runID: $id) {
  isDeferred
  defers { ...D } siblingDefers { ...D }
  deferredFrom { runID run { id } function { slug } }
} }
fragment D on RunDefer { fnSlug function { slug } hashedDeferID userlandDeferID status runID run { id status } }"""
DEFERRED_RUNS = """query R($is: Boolean) { runs(orderBy: [], filter: {from: "2000-01-01T00:00:00Z", isDeferred: $is}) {
  edges { node { function { slug } } } } }"""


def _deferral(name, function, data):
    return {
        "op": "DeferAdd",
        "id": name,
        "displayName": f"defer {name}",
        "opts": {"fn_slug": function, "input": data},
    }


def test_what_a_run_has_deferred_is_shown_on_both_sides(one_stage, graphql):
    with OpcodeApp(one_stage) as app:
        later = f"{one_stage.app_id}-later"

        @app.function("deferring")
        def deferring(body):
            if body["ctx"]["stack"]["stack"]:
                return "done"
            return [
                _deferral("a", later, {"n": 1}),
                _deferral("b", later, {"n": 2}),
                _deferral("c", "nobody", "no object"),
                {"op": "DeferAbort", "id": "x", "opts": {"target_hashed_id": "b"}},
                {"op": "StepRun", "id": "s", "displayName": "s", "data": 1},
            ]

        starts = f"event.data._inngest.fn_slug == '{later}'"

        @app.function("later", {"event": "inngest/deferred.schedule", "expression": starts})
        def later_function(body):
            return body["event"]["data"]["n"]

        run = app.run("deferring")
        child = one_stage.only_run("later")

    shown = graphql.data(DEFERS, id=run.id)["run"]
    a, b, c = shown["defers"]
    assert a == {
        "fnSlug": later,
        "function": {"slug": later},
        "hashedDeferID": "a",
        "userlandDeferID": "defer a",
        "status": "SCHEDULED",
        "runID": child.id,
        "run": {"id": child.id, "status": "COMPLETED"},
    }
    assert (b["status"], b["runID"], b["run"]) == ("ABORTED", None, None)
    assert (c["status"], c["fnSlug"], c["function"]) == ("REJECTED", "nobody", None)
    assert (shown["isDeferred"], shown["siblingDefers"], shown["deferredFrom"]) == (False, [], [])

    other_side = graphql.data(DEFERS, id=child.id)["run"]
    assert (other_side["isDeferred"], other_side["defers"]) == (True, [])
    assert other_side["deferredFrom"] == [
        {"runID": run.id, "run": {"id": run.id}, "function": {"slug": f"{one_stage.app_id}-deferring"}}
    ]
    assert [each["hashedDeferID"] for each in other_side["siblingDefers"]] == ["b", "c"]
    for wanted, slugs in ((True, ["later"]), (False, ["deferring"]), (None, ["later", "deferring"])):
        edges = graphql.data(DEFERRED_RUNS, **{"is": wanted})["runs"]["edges"]
        assert [edge["node"]["function"]["slug"] for edge in edges] == [f"{one_stage.app_id}-{s}" for s in slugs]
