"""Metadata of runs and steps: set by opcodes and by requests, shown on spans."""

from datetime import timedelta
from hashlib import sha1

import pytest

from .graphql_client import GraphQL
from .opcode_app import OpcodeApp

METADATA = """query M($id: String!) { runTrace(runID: $id) {
  metadata { scope kind values updatedAt }
  childrenSpans { name metadata { scope kind values } childrenSpans { name metadata { scope kind values } } }
} }"""
NOBODY = "01JQDAE4RQ000G40R40M30E20A"


@pytest.fixture
def graphql(one_stage):
    return GraphQL(one_stage)


@pytest.fixture
def root(graphql):
    return lambda run_id: graphql.data(METADATA, id=run_id)["runTrace"]


@pytest.fixture
def annotate(one_stage):
    def annotate(run_id, *updates, status=200, **target):
        body = {"target": {"run_id": run_id, **target}, "metadata": list(updates)}
        answer = one_stage.http.post(f"/v1/runs/{run_id}/metadata", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()["error"] if answer.content else ""

    return annotate


@pytest.fixture
def run_id(one_stage):
    """A run with a step `work` that has been tried twice, and ended."""

    def work(ctx):
        if ctx.attempt == 0:
            raise ValueError("again")

    @one_stage.function("working")
    def working(ctx):
        yield ctx.step.run("work", lambda: work(ctx))
        yield ctx.step.run("rest", lambda: None)

    return one_stage.run("working").id


def update(values, kind="userland.default", op="merge"):
    return {"kind": kind, "op": op, "values": values}


def shown(span):
    return {found["kind"]: found["values"] for found in span["metadata"]}


def test_a_run_is_annotated(run_id, annotate, root):
    annotate(run_id, update({"a": 1, "b": {"deep": [1, None]}}))

    (found,) = root(run_id)["metadata"]
    assert (found["scope"], found["kind"]) == ("run", "userland.default")
    assert found["values"] == {"a": 1, "b": {"deep": [1, None]}}
    assert found["updatedAt"]


@pytest.mark.parametrize(
    ("op", "values", "left"),
    [
        ("merge", {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ("set", {"c": 4}, {"c": 4}),
        ("delete", {"a": None}, {"b": 2.5}),
        ("add", {"a": 2, "b": 0.5, "c": 4}, {"a": 3, "b": 3, "c": 4}),
        ("add", {"a": "x", "c": "y"}, {"a": 1, "b": 2.5, "c": "y"}),
    ],
)
def test_later_changes_change_what_is_there(run_id, annotate, root, op, values, left):
    annotate(run_id, update({"a": 1, "b": 2.5}), update(values, op=op))

    assert shown(root(run_id)) == {"userland.default": left}


def test_a_step_is_annotated_by_its_id_and_an_attempt_by_its_number(run_id, annotate, root):
    annotate(run_id, update({"whole": True}), step_id="work")
    annotate(run_id, update({"attempt": 0}), step_id="work", step_attempt=0)
    annotate(run_id, update({"attempt": 1}), step_id="work", step_index=0, step_attempt=1)
    annotate(run_id, update({"only": 1}), step_id="rest", step_attempt=0)
    annotate(run_id, update({"last": 1}, "userland.other"), step_id="rest", step_attempt=-1)

    work, rest, _ = root(run_id)["childrenSpans"]
    assert shown(work) == {"userland.default": {"whole": True}}
    assert [shown(attempt) for attempt in work["childrenSpans"]] == [
        {"userland.default": {"attempt": 0}},
        {"userland.default": {"attempt": 1}},
    ]
    assert shown(rest) == {"userland.default": {"only": 1}, "userland.other": {"last": 1}}
    assert shown(root(run_id)) == {}


def test_a_repeated_step_is_told_apart_by_its_index(one_stage, annotate, root):
    @one_stage.function("repeated")
    def repeated(ctx):
        for _ in range(2):
            yield ctx.step.run("again", lambda: None)

    run_id = one_stage.run("repeated").id
    annotate(run_id, update({"n": 1}), step_id="again", step_index=1)

    first, second, _ = root(run_id)["childrenSpans"]
    assert (shown(first), shown(second)) == ({}, {"userland.default": {"n": 1}})


def test_a_run_that_goes_on_is_annotated_and_goes_on(one_stage, annotate, root):
    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/answer", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")
    annotate(run_id, update({"a": 1}))
    one_stage.send("test/answer")

    assert one_stage.ended(run_id).status == "completed"
    assert shown(root(run_id)) == {"userland.default": {"a": 1}}


def test_each_score_and_each_warning_is_a_kind_of_its_own(run_id, annotate, root):
    annotate(run_id, update({"accuracy": {"value": 0.9}, "it works": {"value": True}}, "inngest.score"))
    annotate(run_id, update({"value": 7}, "inngest.score.speed"))
    annotate(run_id, update({"slow": "it is slow"}, "inngest.warnings", "set"))

    assert shown(root(run_id)) == {
        "inngest.score.accuracy": {"value": 0.9},
        "inngest.score.it works": {"value": True},
        "inngest.score.speed": {"value": 7},
        "inngest.warning.slow": {"slow": "it is slow"},
    }


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (update({}, "inngest.secret"), "not allowed"),
        (update({}, "x" * 129), "maximum length"),
        (update({"a": {"value": "high"}}, "inngest.score"), "invalid score value"),
        (update({"a": {"value": None}}, "inngest.score"), "invalid score value"),
        (update({"a": {}}, "inngest.score"), "invalid score value"),
        (update({"it's": {"value": 1}}, "inngest.score"), "invalid score name"),
        (update({" ": {"value": 1}}, "inngest.score"), "invalid score name"),
        (update({"other": 1}, "inngest.score.speed"), "invalid score value"),
    ],
)
def test_what_may_not_be_set_is_refused_and_nothing_is_set(run_id, annotate, root, bad, why):
    assert why in annotate(run_id, update({"a": 1}), bad, status=400)
    assert root(run_id)["metadata"] == []


@pytest.mark.parametrize(
    ("target", "metadata"),
    [
        ({"step_index": 1}, []),
        ({"step_attempt": 1}, []),
        ({"span_id": "a"}, []),
        ({"step_id": 5}, []),
        ({}, [{"kind": "k", "op": "explode", "values": {}}]),
        ({}, [{"kind": "k", "op": "set", "values": []}]),
        ({}, [5]),
        ({}, None),
    ],
)
def test_a_request_that_says_nothing_clear_is_refused(one_stage, run_id, target, metadata):
    answer = one_stage.http.post(f"/v1/runs/{run_id}/metadata", json={"target": target, "metadata": metadata})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Invalid metadata target")


@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_none_is_refused(one_stage, run_id, content):
    assert one_stage.http.post(f"/v1/runs/{run_id}/metadata", content=content).status_code == 400


def test_a_run_or_a_span_that_is_not_there_is_not_annotated(run_id, annotate):
    assert annotate(NOBODY, update({}), status=404) == "Unable to find metadata target"
    assert annotate(run_id, update({}), step_id="work", span_id="x", status=404) == "Unable to find metadata target"
    assert annotate("x", update({}), status=400) == "Invalid run ID: x"


def test_metadata_may_not_be_larger_than_the_dev_server_takes(one_stage, annotate, root):
    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(hours=1))

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")
    large = {"k": "x" * (64 * 1024 - 3)}

    annotate(run_id, update(large))
    assert "64KB" in annotate(run_id, update({"k": large["k"] + "x"}), status=413)
    for _ in range(15):
        annotate(run_id, update(large))
    assert "Cumulative" in annotate(run_id, update({"k": 1}), status=413)
    assert shown(root(run_id)) == {"userland.default": large}


def test_an_opcode_carries_metadata_of_its_step(one_stage, root):
    step = sha1(b"judged", usedforsecurity=False).hexdigest()
    sent = [
        {"kind": "inngest.experiment", "scope": "step", "op": "set", "values": {"variant": "a"}},
        {"kind": "userland.default", "scope": "run", "op": "merge", "values": {"of": "run"}},
        {"kind": "inngest.secret", "scope": "step", "op": "set", "values": {}},
    ]
    with OpcodeApp(one_stage) as app:

        @app.function("judging")
        def judging(body):
            if body["steps"]:
                return "judged"
            return [{"op": "StepRun", "id": step, "displayName": "judged", "data": 1, "metadata": sent}]

        run = app.run("judging")

    assert run.status == "completed"
    trace = root(run.id)
    assert shown(trace) == {"userland.default": {"of": "run"}}
    assert shown(trace["childrenSpans"][0]) == {"inngest.experiment": {"variant": "a"}}


@pytest.mark.parametrize("bad", [5, "x", {}, [5], [{"kind": "k"}], [{"kind": "k", "op": "no", "values": {}}]])
def test_metadata_of_an_opcode_that_is_none_does_the_run_no_harm(one_stage, root, bad):
    with OpcodeApp(one_stage) as app:

        @app.function("judging")
        def judging(body):
            return "x" if body["steps"] else [{"op": "StepRun", "id": "s", "data": 1, "metadata": bad}]

        run = app.run("judging")

    assert run.status == "completed"
    assert shown(root(run.id)["childrenSpans"][0]) == {}
