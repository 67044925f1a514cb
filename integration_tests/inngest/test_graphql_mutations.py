"""`POST /v0/gql`: what tools change."""

from datetime import timedelta

import pytest

from steprig.kernel import Status

from .graphql_client import GraphQL
from .stage import output

CREATE = "mutation C($url: String!) { createApp(input: {url: $url}) { id name url functionCount } }"
DELETE = "mutation D($id: String!) { deleteApp(id: $id) }"
INVOKE = "mutation I($slug: String!, $data: Map) { invokeFunction(functionSlug: $slug, data: $data) }"
CANCEL = "mutation C($id: ULID!) { cancelRun(runID: $id) { id status finishedAt } }"
RERUN = "mutation R($id: ULID!, $step: RerunFromStepInput) { rerun(runID: $id, fromStep: $step) }"
NOBODY = "01JQDAE4RQ000G40R40M30E20A"


@pytest.fixture
def graphql(one_stage):
    return GraphQL(one_stage)


@pytest.fixture
def simple(one_stage):
    @one_stage.function("simple")
    def simple(ctx):
        return ctx.event.data["n"]


@pytest.fixture
def waiting(one_stage):
    """A run that waits."""

    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")
    return run_id


# --- Apps -------------------------------------------------------------------------------------------------


def test_an_app_that_was_deleted_starts_nothing_until_it_is_created_again(one_stage, graphql, simple):
    url = one_stage.serve().url("/api/inngest")
    (app,) = graphql.data("{ apps { id } }")["apps"]

    assert graphql.data(DELETE, id=app["id"]) == {"deleteApp": app["id"]}
    assert graphql.data("{ apps { id } }")["apps"] == []
    assert one_stage.runs_of(one_stage.send("test/simple", {"n": 1})) == []

    created = graphql.data(CREATE, url=url)["createApp"]
    assert created == {"id": app["id"], "name": one_stage.app_id, "url": url, "functionCount": 1}
    assert output(one_stage.run("simple", {"n": 2})) == 2


def test_an_app_is_deleted_by_its_name(one_stage, graphql, simple):
    one_stage.serve()
    query = "mutation D($name: String!) { deleteAppByName(name: $name) }"

    assert graphql.data(query, name=one_stage.app_id) == {"deleteAppByName": True}
    assert graphql.data(query, name=one_stage.app_id) == {"deleteAppByName": False}


def test_an_app_moves_to_another_url(one_stage, graphql, simple):
    one_stage.serve()
    url = one_stage.serve().url("/api/inngest")
    (app,) = graphql.data("{ apps { id } }")["apps"]
    query = "mutation U($id: String!, $url: String!) { updateApp(input: {id: $id, url: $url}) { id url } }"

    assert graphql.data(query, id=app["id"], url=url)["updateApp"] == {"id": app["id"], "url": url}
    assert graphql.error(query, id=NOBODY, url=url).startswith(f"id is '{NOBODY}'")


def test_an_app_is_created_without_the_scheme_and_by_another_name_of_this_machine(one_stage, graphql, simple):
    url = one_stage.serve().url("/api/inngest")
    remove = "mutation D($name: String!) { deleteAppByName(name: $name) }"
    for text in (url.removeprefix("http://"), url.replace("127.0.0.1", "localhost")):
        graphql.data(remove, name=one_stage.app_id)

        assert graphql.data(CREATE, url=text)["createApp"]["name"] == one_stage.app_id


def test_an_app_that_does_not_answer_is_an_error_with_its_code(graphql, one_stage):
    (error,) = graphql.answer(CREATE, url="http://127.0.0.1:1/api/inngest")["errors"]

    assert error["message"] == "unreachable"
    assert "http://127.0.0.1:1/api/inngest" in error["extensions"]["detail"]
    (error,) = graphql.answer(CREATE, url=f"{one_stage.dev.origin}/nowhere")["errors"]
    assert error["message"] not in ("", "unreachable")


def test_to_delete_what_there_is_not_is_an_error(graphql):
    assert graphql.error(DELETE, id=NOBODY) == f"id is '{NOBODY}'; no app with this id is registered"


# --- Runs -------------------------------------------------------------------------------------------------


def test_a_function_is_invoked(one_stage, graphql, simple):
    one_stage.serve()

    assert graphql.data(INVOKE, slug=f"{one_stage.app_id}-simple", data={"n": 7}) == {"invokeFunction": True}

    run = one_stage.only_run("simple")
    assert output(run) == 7
    assert run.events[0].name == "inngest/function.invoked"


def test_what_only_the_browser_knows_of_an_invocation_may_be_said(one_stage, graphql, simple):
    one_stage.serve()
    query = """mutation I($slug: String!) { invokeFunction(functionSlug: $slug, data: {n: 1}, meta: {a: 1},
      user: {id: 1}, debugSessionID: "01JQDAE4RQ000G40R40M30E20A", debugRunID: null) }"""

    assert graphql.data(query, slug=f"{one_stage.app_id}-simple") == {"invokeFunction": True}
    run = one_stage.only_run("simple")
    again = "mutation R($id: ULID!) { rerun(runID: $id, debugSessionID: null, debugRunID: null) }"
    assert output(one_stage.ended(graphql.data(again, id=run.id)["rerun"])) == 1


def test_a_run_is_cancelled_once(one_stage, graphql, waiting):
    cancelled = graphql.data(CANCEL, id=waiting)["cancelRun"]

    assert (cancelled["id"], cancelled["status"]) == (waiting, "CANCELLED")
    assert cancelled["finishedAt"]
    assert graphql.error(CANCEL, id=waiting) == "cannot cancel an ended run"
    assert "no rows" in graphql.error(CANCEL, id=NOBODY)


def test_a_run_is_run_again_with_the_same_events(one_stage, graphql, simple):
    first = one_stage.run("simple", {"n": 4}, id="only-once")

    again = one_stage.ended(graphql.data(RERUN, id=first.id)["rerun"])

    assert again.id != first.id
    assert (again.name, again.events, output(again)) == (first.name, first.events, 4)
    assert one_stage.calls_of("simple") == ["step", "step"]
    assert "no rows" in graphql.error(RERUN, id=NOBODY)


def test_a_run_is_run_again_from_a_step_with_what_came_before_it(one_stage, graphql):
    ran = []

    @one_stage.function("stepped", retries=0)
    def stepped(ctx):
        first = yield ctx.step.run("first", lambda: ran.append("first") or len(ran))
        second = yield ctx.step.run("second", lambda: ran.append("second") or len(ran))
        third = yield ctx.step.run("third", lambda: ran.append("third") or len(ran))
        return [first, second, third]

    run = one_stage.run("stepped")
    assert (output(run), ran) == ([1, 2, 3], ["first", "second", "third"])
    steps = {span.name: span.id for span in run.spans}

    again = one_stage.ended(graphql.data(RERUN, id=run.id, step={"stepID": steps["second"]})["rerun"])

    assert ran == ["first", "second", "third", "second", "third"]
    assert output(again) == [1, 4, 5]
    assert [span.name for span in again.spans][:3] == ["first", "second", "third"]


def test_to_run_again_from_a_step_that_there_is_not_is_an_error(one_stage, graphql, simple):
    run = one_stage.run("simple", {"n": 4})

    message = graphql.error(RERUN, id=run.id, step={"stepID": "nothing"})

    assert message == "fromStep.stepID is 'nothing'; the run has no step with this id"


def test_a_run_that_goes_on_can_be_run_again_beside_itself(one_stage, graphql, waiting):
    again = graphql.data(RERUN, id=waiting)["rerun"]
    one_stage.waiting(again, "wait")

    one_stage.send("test/go")

    assert {one_stage.ended(run_id).status for run_id in (waiting, again)} == {Status.COMPLETED}
