"""Invoking a function by its UUID, wherever its id may be given."""

from contextlib import closing

import pytest

from ..waiting import until
from .graphql_client import GraphQL
from .opcode_app import OpcodeApp
from .stage import Stage, output

INVOKE = "mutation I($slug: String!, $data: Map) { invokeFunction(functionSlug: $slug, data: $data) }"


@pytest.fixture
def uuid(one_stage):
    """The UUID of a function that gives back what it is invoked with."""

    @one_stage.function("target")
    def target(ctx):
        return ctx.event.data["n"]

    one_stage.serve()
    (function,) = one_stage.http.get(f"/v1/apps/{one_stage.app_id}/functions").json()
    return function["internal_id"]


def test_by_graphql(one_stage, uuid):
    assert GraphQL(one_stage).data(INVOKE, slug=uuid, data={"n": 1}) == {"invokeFunction": True}

    assert output(one_stage.only_run("target")) == 1


@pytest.mark.parametrize("written", [str.lower, str.upper])
def test_by_request(one_stage, uuid, written):
    answer = one_stage.http.post(f"/invoke/{written(uuid)}", json={"data": {"n": 2}})

    assert answer.json()["status"] == 200
    run = one_stage.only_run("target")
    assert (output(run), run.events[0].internal_id) == (2, answer.json()["id"])
    assert until(lambda: one_stage.events("inngest/function.finished"))[0]["data"]["result"] == 2


def test_by_a_step_which_gets_the_result(one_stage, uuid):
    other_app = Stage(one_stage.stack, one_stage.dev)
    with closing(other_app), OpcodeApp(other_app) as app:

        @app.function("caller")
        def caller(body):
            if body["steps"]:
                return {"got": body["steps"]["invoke"]}
            options = {"function_id": uuid, "payload": {"data": {"n": 3}}}
            return [{"op": "InvokeFunction", "id": "invoke", "displayName": "invoke", "opts": options}]

        assert output(app.run("caller")) == {"got": {"data": 3}}


def test_a_uuid_of_no_function_is_not_found(one_stage, uuid):
    nobody = "00000000-0000-5000-8000-000000000000"

    one_stage.http.post(f"/invoke/{nobody}", json={"data": {}})

    (finished,) = until(lambda: one_stage.events("inngest/function.finished"))
    assert finished["data"]["error"]["message"] == f"could not find function with ID: {nobody}"
    assert one_stage.runs("target") == []
