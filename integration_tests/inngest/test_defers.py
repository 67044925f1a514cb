"""Functions that a run defers: they start when it has ended."""

import pytest

from steprig.inngest.limits import MAX_DEFERS, MAX_STEP_BYTES

from ..waiting import until
from .opcode_app import OpcodeApp
from .stage import output

SCHEDULED = "inngest/deferred.schedule"


@pytest.fixture
def app(one_stage):
    """An app with a function `later`, which gives the event that has started it."""
    with OpcodeApp(one_stage) as app:

        @app.function("later", trigger={"event": SCHEDULED})
        def later(body):
            return body["event"]["data"]

        yield app


def add(name, data=None, **opts):
    return {"id": name, "op": "DeferAdd", "displayName": name, "opts": {"fn_slug": "later", "input": data} | opts}


def abort(target):
    return {"id": f"no {target}", "op": "DeferAbort", "opts": {"target_hashed_id": target}}


def ran(step):
    return {"id": step, "op": "StepRun", "displayName": step, "data": 1}


def given_to_later(app):
    """What the deferred functions of a run that has ended were given, without the platform's marks."""
    stage = app.stage
    stage.clock.run_until_idle()
    given = [output(stage.ended(run.id)) for run in stage.runs("later")]
    return [{key: value for key, value in data.items() if key != "_inngest"} for data in given]


def test_a_deferred_function_starts_with_its_input_when_the_run_has_ended(app):
    @app.function("defers")
    def defers(body):
        return [ran("step"), add("d", {"n": 1})] if not body["steps"] else "end"

    run = app.run("defers")

    assert output(run) == "end"
    assert given_to_later(app) == [{"n": 1}]
    (event,) = app.stage.events(SCHEDULED)
    marks = event["data"]["_inngest"]
    assert (marks["fn_slug"], marks["hashed_defer_id"]) == ("later", "d")
    assert (marks["parent_run_id"], marks["parent_fn_slug"]) == (run.id, f"{app.stage.app_id}-defers")
    assert app.stage.runs("later")[0].queued_at >= run.ended_at
    assert [span.name for span in run.spans] == ["step", "function success"]


@pytest.mark.parametrize("how", ["completes", "fails", "is cancelled"])
def test_it_starts_however_the_run_ends(app, how):
    @app.function("defers")
    def defers(body):
        if not body["steps"]:
            return [ran("step"), add("d", {"how": how})]
        if how == "is cancelled":
            return [{"id": "s", "op": "WaitForEvent", "displayName": "s", "opts": {"event": "never", "timeout": "1d"}}]
        if how == "fails":
            return [{"id": "f", "op": "StepFailed", "error": {"message": "no"}}] if len(body["steps"]) == 1 else None
        return "end"

    run_id = app.start("defers")
    if how == "is cancelled":
        app.stage.waiting(run_id, "s")
        assert app.stage.runs("later") == []
        app.stage.http.delete(f"/v1/runs/{run_id}")

    app.stage.ended(run_id)
    assert given_to_later(app) == [{"how": how}]


def test_a_deferral_that_is_taken_back_starts_nothing(app):
    @app.function("defers")
    def defers(body):
        if not body["steps"]:
            return [ran("one"), add("kept", {"n": 1}), add("gone", {"n": 2})]
        return [ran("two"), abort("gone"), abort("unknown")] if len(body["steps"]) == 1 else "end"

    app.run("defers")

    assert given_to_later(app) == [{"n": 1}]


def test_the_sdk_is_told_what_it_has_deferred_and_may_take_back(app):
    told = []

    @app.function("defers")
    def defers(body):
        told.append(body["defers"])
        if not body["steps"]:
            return [ran("one"), add("a", {}), add("b", {}), add("bad", [1])]
        return [ran("two"), abort("b")] if len(body["steps"]) == 1 else "end"

    app.run("defers")

    assert told == [
        {},
        {"a": {"abortable": True}, "b": {"abortable": True}, "bad": {"abortable": False}},
        {"a": {"abortable": True}, "b": {"abortable": False}, "bad": {"abortable": False}},
    ]


def test_the_first_report_of_a_deferral_counts(app):
    @app.function("defers")
    def defers(body):
        if not body["steps"]:
            return [ran("one"), add("d", {"n": 1}), add("d", {"n": 2})]
        return [ran("two"), add("d", {"n": 3})] if len(body["steps"]) == 1 else "end"

    app.run("defers")

    assert given_to_later(app) == [{"n": 1}]


def test_a_reply_of_nothing_but_deferrals_goes_on(app):
    calls = []

    @app.function("defers")
    def defers(body):
        calls.append(body["defers"])
        return [add("d", None)] if len(calls) == 1 else "end"

    assert output(app.run("defers")) == "end"
    assert given_to_later(app) == [{}]


def test_a_run_defers_so_many_functions_and_no_more(app):
    @app.function("defers")
    def defers(body):
        many = [add(str(number), {"n": number}) for number in range(MAX_DEFERS + 2)]
        return [ran("step"), *many] if not body["steps"] else "end"

    app.run("defers")

    assert sorted(data["n"] for data in given_to_later(app)) == list(range(MAX_DEFERS))


def test_inputs_that_are_too_large_by_themselves_or_together_are_refused(app):
    large = {"text": "x" * (MAX_STEP_BYTES // 2)}

    @app.function("defers")
    def defers(body):
        if not body["steps"]:
            return [ran("step"), add("huge", {"text": "x" * MAX_STEP_BYTES})]
        return [ran("other"), add("one", large), add("two", large)] if len(body["steps"]) == 1 else "end"

    run = app.run("defers")

    assert run.status == "completed"
    assert given_to_later(app) == [large]


@pytest.mark.parametrize(
    "op", [add("d", fn_slug=""), {"id": "d", "op": "DeferAdd"}, add("d", fn_slug=1), add("d", "text")]
)
def test_a_deferral_that_makes_no_sense_does_the_run_no_harm(app, op):
    @app.function("defers")
    def defers(body):
        return [ran("step"), op, {"id": "no", "op": "DeferAbort", "opts": 1}] if not body["steps"] else "end"

    assert output(app.run("defers")) == "end"
    assert given_to_later(app) == []


def test_a_run_that_is_repeated_defers_anew(app):
    @app.function("defers")
    def defers(body):
        return [ran("step"), add("d", {"n": 1})] if not body["steps"] else "end"

    run = app.run("defers")
    body = {"query": "mutation ($id: ULID!) { rerun(runID: $id) }", "variables": {"id": run.id}}
    again = app.stage.http.post("/v0/gql", json=body).raise_for_status().json()["data"]["rerun"]

    app.stage.ended(again)
    until(lambda: len(app.stage.runs("later")) == 2)
    assert {event["data"]["_inngest"]["parent_run_id"] for event in app.stage.events(SCHEDULED)} == {run.id, again}
