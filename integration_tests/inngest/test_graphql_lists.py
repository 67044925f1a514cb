"""`POST /v0/gql`: apps, functions, runs and events, listed, filtered and page by page."""

import json
from datetime import datetime, timedelta

import inngest
import pytest
from graphql import build_client_schema, get_introspection_query, parse, validate

from .graphql_client import LONG_AGO, GraphQL

RUNS = """query Runs($first: Int = 100, $after: String, $order: [RunsV2OrderBy!]!, $filter: RunsFilterV2!) {
  runs(first: $first, after: $after, orderBy: $order, filter: $filter) {
    edges { cursor node { id status eventName output app { name } function { slug name } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}"""
EVENTS = """query Events($first: Int! = 40, $after: String, $filter: EventsFilter!) {
  eventsV2(first: $first, after: $after, filter: $filter) {
    edges { cursor node { id name idempotencyKey occurredAt receivedAt raw version runs { id status } } }
    pageInfo { hasNextPage endCursor } totalCount
  }
}"""
NEWEST = [{"field": "QUEUED_AT", "direction": "DESC"}]
OLDEST = [{"field": "QUEUED_AT", "direction": "ASC"}]


@pytest.fixture
def graphql(one_stage):
    return GraphQL(one_stage)


@pytest.fixture
def numbered(one_stage):
    """Ids of five runs that have ended, oldest first: of number 3, with a failure."""

    @one_stage.function("numbered", retries=0)
    def numbered(ctx):
        if ctx.event.data["n"] == 3:
            raise ValueError("three")
        return {"square": ctx.event.data["n"] ** 2}

    @one_stage.function("other")
    def other(ctx):
        return None

    return [one_stage.run("numbered", {"n": number}).id for number in range(1, 6)]


@pytest.fixture
def ids(graphql):
    def ids(order=OLDEST, **wanted):
        shown = graphql.data(RUNS, order=order, filter={"from": LONG_AGO} | wanted)["runs"]
        assert shown["totalCount"] == len(shown["edges"])
        return [edge["node"]["id"] for edge in shown["edges"]]

    return ids


# --- The schema -----------------------------------------------------------------------------------------


def test_a_graphql_ide_can_build_the_schema_and_check_queries_with_it(graphql):
    schema = build_client_schema(graphql.data(get_introspection_query()))

    assert validate(schema, parse(RUNS)) == []
    assert validate(schema, parse("{ runs { x } }")) != []
    assert {"createApp", "deleteApp", "cancelRun", "rerun"} <= set(schema.mutation_type.fields)


# --- Apps and functions -----------------------------------------------------------------------------------


def test_an_app_is_described_with_its_functions(one_stage, graphql, numbered):
    fields = """id externalID name sdkLanguage sdkVersion framework url checksum error method connected
                functionCount autodiscovered functions { slug app { name } }"""
    (app,) = graphql.data(f"{{ apps {{ {fields} }} }}")["apps"]

    assert (app["name"], app["externalID"]) == (one_stage.app_id, one_stage.app_id)
    assert (app["sdkLanguage"], app["method"], app["connected"], app["error"]) == ("py", "SERVE", True, None)
    assert app["url"].endswith("/api/inngest")
    assert app["functionCount"] == 2
    assert {function["slug"] for function in app["functions"]} == {
        f"{one_stage.app_id}-numbered",
        f"{one_stage.app_id}-other",
    }
    assert app["functions"][0]["app"] == {"name": one_stage.app_id}
    query = f"query A($id: UUID!) {{ app(id: $id) {{ {fields} }} }}"
    assert graphql.data(query, id=app["id"].upper())["app"] == app
    assert graphql.data(query, id="00000000-0000-4000-a000-000000000000")["app"] is None


def test_apps_are_filtered_by_how_they_are_reached(graphql, numbered):
    query = "query A($method: AppMethod) { apps(filter: {method: $method}) { name } }"

    assert len(graphql.data(query, method="SERVE")["apps"]) == 1
    assert graphql.data(query, method="CONNECT")["apps"] == []


def test_a_function_shows_its_configuration(one_stage, graphql):
    @one_stage.function(
        "configured",
        retries=2,
        cancel=[inngest.Cancel(event="test/stop", if_exp="event.data.k == async.data.k")],
        concurrency=[inngest.Concurrency(limit=3, key="event.data.k")],
        throttle=inngest.Throttle(limit=5, period=timedelta(minutes=1)),
        on_failure=lambda ctx: None,
    )
    def configured(ctx):
        return None

    one_stage.serve()
    query = """query F($slug: String!) { functionBySlug(query: {functionSlug: $slug}) {
      id name slug config concurrency url appID triggers { type value condition } failureHandler { slug }
      configuration {
        cancellations { event condition timeout } retries { value isDefault }
        concurrency { scope limit { value isPlanLimit } key } throttle { limit period burst }
        rateLimit { limit } debounce { period } eventsBatch { maxSize } singleton { mode } priority
      } } }"""
    slug = f"{one_stage.app_id}-configured"
    shown = graphql.data(query, slug=slug)["functionBySlug"]

    assert (shown["slug"], shown["name"], shown["concurrency"]) == (slug, "configured", 3)
    assert shown["triggers"] == [{"type": "EVENT", "value": "test/configured", "condition": None}]
    assert shown["failureHandler"] == {"slug": f"{slug}-failure"}
    configuration = shown["configuration"]
    assert configuration["retries"] == {"value": 2, "isDefault": False}
    assert configuration["cancellations"] == [
        {"event": "test/stop", "condition": "event.data.k == async.data.k", "timeout": None}
    ]
    assert configuration["concurrency"] == [
        {"scope": "FUNCTION", "limit": {"value": 3, "isPlanLimit": False}, "key": "event.data.k"}
    ]
    assert configuration["throttle"]["limit"] == 5
    assert configuration["rateLimit"] is configuration["singleton"] is configuration["priority"] is None
    config = json.loads(shown["config"])
    assert (config["id"], config["steps"][0]["retries"]) == (slug, 2)
    assert graphql.data(query, slug="nothing")["functionBySlug"] is None


# --- Runs -------------------------------------------------------------------------------------------------


def test_runs_are_listed_with_what_they_gave(one_stage, graphql, numbered):
    shown = graphql.data(RUNS, order=NEWEST, filter={"from": LONG_AGO})["runs"]

    assert [edge["node"]["id"] for edge in shown["edges"]] == numbered[::-1]
    assert shown["edges"][0]["node"] == {
        "id": numbered[-1],
        "status": "COMPLETED",
        "eventName": "test/numbered",
        "output": '{"square": 25}',
        "app": {"name": one_stage.app_id},
        "function": {"slug": f"{one_stage.app_id}-numbered", "name": "numbered"},
    }
    assert shown["totalCount"] == 5


def test_runs_are_read_page_by_page(graphql, numbered):
    after, pages = None, []
    for _ in range(3):
        shown = graphql.data(RUNS, first=2, after=after, order=OLDEST, filter={"from": LONG_AGO})["runs"]
        pages.append([edge["node"]["id"] for edge in shown["edges"]])
        more, after = shown["pageInfo"]["hasNextPage"], shown["pageInfo"]["endCursor"]
        assert (more, shown["totalCount"]) == (len(pages) < 3, 5)
        assert shown["pageInfo"]["hasPreviousPage"] is (len(pages) > 1)

    assert pages == [numbered[:2], numbered[2:4], numbered[4:]]


def test_a_page_that_there_cannot_be_is_an_error_that_names_the_argument(graphql, numbered):
    wanted = {"order": NEWEST, "filter": {"from": LONG_AGO}}

    assert graphql.error(RUNS, first=0, **wanted) == "first is 0; expected 1 or more"
    assert graphql.error(RUNS, after="é", **wanted).startswith("after is 'é'")
    assert graphql.error(RUNS, after="AAAA", **wanted).startswith("after is 'AAAA'")


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("event.data.n > 3", [4, 5]),
        ("event.data.n == 2", [2]),
        ("output.square == 16", [4]),
        ("event.data.n > 1\nevent.data.n < 4", [2, 3]),
        ("event.data.missing == 1", []),
        ("  ", [1, 2, 3, 4, 5]),
    ],
)
def test_runs_are_found_by_expressions(ids, numbered, query, numbers):
    assert ids(query=query) == [numbered[number - 1] for number in numbers]


def test_an_expression_that_is_none_is_an_error_that_names_the_field(graphql, numbered):
    error = graphql.error(RUNS, order=NEWEST, filter={"from": LONG_AGO, "query": "event.data.n =="})

    assert error.startswith("filter.query: ")


def test_runs_are_filtered_by_status(ids, numbered):
    assert ids(status=["FAILED"]) == [numbered[2]]
    assert ids(status=["FAILED", "COMPLETED"]) == numbered
    assert ids(status=["SKIPPED"]) == []


def test_runs_are_filtered_by_function_and_app(one_stage, graphql, ids, numbered):
    other = one_stage.run("other").id
    functions = {entry["name"]: entry for entry in graphql.data("{ functions { id name appID } }")["functions"]}

    assert ids(functionIDs=[functions["other"]["id"]]) == [other]
    assert ids(functionIDs=[functions["numbered"]["id"]]) == numbered
    assert ids(appIDs=[functions["other"]["appID"]]) == [*numbered, other]
    assert ids(appIDs=[functions["other"]["id"]]) == []


@pytest.mark.parametrize("field", ["QUEUED_AT", "STARTED_AT", "ENDED_AT"])
def test_runs_are_filtered_and_ordered_by_each_of_their_times(one_stage, ids, numbered, field):
    attribute = field.lower()
    moment = getattr(one_stage.ended(numbered[2]), attribute).isoformat()

    assert ids(timeField=field, until=moment) == numbered[:2]
    assert ids(**{"timeField": field, "from": moment}) == numbered[2:]
    assert ids([{"field": field, "direction": "DESC"}]) == numbered[::-1]


def test_a_run_that_goes_on_has_no_end_to_be_found_by(one_stage, ids):
    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")

    assert ids(timeField="ENDED_AT") == []
    assert ids(status=["RUNNING"]) == [run_id]


def test_the_run_of_a_batch_says_so_even_of_one_event(one_stage, graphql):
    @one_stage.function("batched", batch_events=inngest.Batch(max_size=2, timeout=timedelta(seconds=2)))
    def batched(ctx):
        return len(ctx.events)

    event_id = one_stage.send("test/batched")
    one_stage.clock.advance(timedelta(seconds=3))
    run = one_stage.first_run("batched")
    query = """query R($id: String!) { run(runID: $id) { isBatch batchCreatedAt triggerIDs }
      runTrigger(runID: $id) { isBatch batchID } }"""
    shown = graphql.data(query, id=run.id)

    assert (shown["run"]["isBatch"], shown["run"]["triggerIDs"]) == (True, [event_id])
    assert shown["run"]["batchCreatedAt"]
    assert shown["runTrigger"]["batchID"] == one_stage.get(f"/v1/runs/{run.id}")["batch_id"]


def test_spans_lead_to_their_run_and_their_parent(one_stage, graphql):
    @one_stage.function("spans")
    def spans(ctx):
        yield ctx.step.run("a", lambda: 1)

    run_id = one_stage.run("spans").id
    query = """query T($id: String!) { run(runID: $id) { isDeferred defers { fnSlug } trace {
      spanID childrenSpans { spanID parentSpanID parentSpan { name spanID } run { id status function { slug } }
      debugPaused metadata { kind } } } } }"""
    run = graphql.data(query, id=run_id)["run"]

    assert (run["isDeferred"], run["defers"]) == (False, [])
    step = run["trace"]["childrenSpans"][0]
    assert step["parentSpanID"] == step["parentSpan"]["spanID"] == run["trace"]["spanID"]
    assert step["run"] == {
        "id": run_id,
        "status": "COMPLETED",
        "function": {"slug": f"{one_stage.app_id}-spans"},
    }


# --- Events ---------------------------------------------------------------------------------------------


def test_events_are_listed_the_newest_first_with_their_runs(one_stage, graphql, numbered):
    event = {"name": "test/unheard", "data": {"k": 1}, "id": "mine", "v": "2"}
    (sent,) = one_stage.http.post("/e/key", json=event).json()["ids"]

    shown = graphql.data(EVENTS, filter={"from": LONG_AGO})["eventsV2"]

    assert shown["totalCount"] == len(shown["edges"]) == 6
    newest, before = (edge["node"] for edge in shown["edges"][:2])
    assert (newest["id"], newest["idempotencyKey"], newest["version"], newest["runs"]) == (sent, "mine", "2", [])
    assert json.loads(newest["raw"])["data"] == {"k": 1}
    assert datetime.fromisoformat(newest["receivedAt"])
    assert before["runs"] == [{"id": numbered[-1], "status": "COMPLETED"}]


def test_events_are_filtered(one_stage, graphql, numbered):
    sent = one_stage.send("test/unheard", {"k": 1})

    def names(**wanted):
        shown = graphql.data(EVENTS, filter={"from": LONG_AGO} | wanted)["eventsV2"]
        return [edge["node"]["name"] for edge in shown["edges"]]

    assert names(eventNames=["test/unheard"]) == ["test/unheard"]
    assert names(query="event.data.n > 3") == ["test/numbered"] * 2
    assert "inngest/function.finished" in names(includeInternalEvents=True)
    received = graphql.data("query E($id: ULID!) { eventV2(id: $id) { receivedAt } }", id=sent)["eventV2"]["receivedAt"]
    assert names(**{"from": received}) == ["test/unheard"]
    assert names(until=received) == ["test/numbered"] * 5


def test_events_are_read_page_by_page(one_stage, graphql):
    sent = [one_stage.send("test/e") for _ in range(3)]

    first = graphql.data(EVENTS, first=2, filter={"from": LONG_AGO})["eventsV2"]
    second = graphql.data(EVENTS, first=2, after=first["pageInfo"]["endCursor"], filter={"from": LONG_AGO})["eventsV2"]

    assert [edge["node"]["id"] for edge in first["edges"] + second["edges"]] == sent[::-1]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


def test_a_time_that_is_none_is_an_error(one_stage):
    answer = one_stage.http.post("/v0/gql", json={"query": EVENTS, "variables": {"filter": {"from": "soon"}}})

    assert "expected a time such as" in answer.json()["errors"][0]["message"]


def test_the_stream_has_what_came_in_lately(one_stage, graphql, numbered):
    query = """query S($before: ID, $after: ID) { stream(query: {
      limit: 3, before: $before, after: $after, includeInternalEvents: false
    }) { id trigger type runs { id } inBatch } }"""

    newest = graphql.data(query)["stream"]
    assert [item["runs"][0]["id"] for item in newest] == numbered[:1:-1]
    assert {(item["trigger"], item["type"], item["inBatch"]) for item in newest} == {("test/numbered", "EVENT", False)}
    older = graphql.data(query, before=newest[-1]["id"])["stream"]
    assert [item["runs"][0]["id"] for item in older] == numbered[1::-1]
    assert graphql.data(query, after=newest[1]["id"])["stream"] == newest[:1]
    assert graphql.error(query, before="x") == "before is 'x'; expected the id of an event"


def test_the_older_queries_for_events_and_runs(one_stage, graphql, numbered):
    (newest, *_) = [
        event
        for event in graphql.data("{ events(query: {}) { id name functionRuns { id status } } }")["events"]
        if event["name"] == "test/numbered"
    ]
    assert newest["functionRuns"] == [{"id": numbered[-1], "status": "COMPLETED"}]
    query = """query R($id: ID!) { functionRun(query: {functionRunId: $id}) {
      id status output eventID event { id name } function { slug } } }"""
    assert graphql.data(query, id=numbered[-1])["functionRun"] == {
        "id": numbered[-1],
        "status": "COMPLETED",
        "output": '{"square": 25}',
        "eventID": newest["id"],
        "event": {"id": newest["id"], "name": "test/numbered"},
        "function": {"slug": f"{one_stage.app_id}-numbered"},
    }
