"""The npm SDK's scores, experiments and metadata."""

import pytest

from ..waiting import until
from . import js_app
from .graphql_client import GraphQL
from .stage import output

VARIANTS = [variant for variant in js_app.VARIANTS if variant.name in ("plain", "checkpoints", "signed")]
METADATA = """query M($id: String!) { runTrace(runID: $id) {
  metadata { kind values } childrenSpans { name metadata { kind values } }
} }"""
NOBODY = "01JQDAE4RQ000G40R40M30E20A"


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.name)
def js(request, packages, few_certificates):
    """The Node app on a dev server whose sleeps take no time, for all tests here."""
    with js_app.staged(packages, request.param, "metadata.mjs") as stage:
        stage.dev.sync(f"{stage.app_origin}/api/inngest")
        yield stage


def metadata(stage, run):
    """What the run and its steps are annotated with, by name."""
    root = GraphQL(stage).data(METADATA, id=run.id)["runTrace"]
    named = [("run", root), *((span["name"], span) for span in root["childrenSpans"])]
    return {
        name: {found["kind"]: found["values"] for found in span["metadata"]} for name, span in named if span["metadata"]
    }


def test_a_score_in_a_step_is_the_steps_and_one_in_a_step_of_its_own_the_runs(js):
    run = js.run("scored")

    assert output(run) == "scored"
    shown = metadata(js, run)
    assert shown["judge"] == {"inngest.score.accuracy": {"value": 0.5}}
    assert shown["run"] == {"inngest.score.speed": {"value": True}}


def test_a_run_is_scored_after_its_end(js):
    run = js.run("scored")

    assert js.ask_app("/score", runId=run.id, name="helpful", value=0.75) == {"ok": True}
    assert js.ask_app("/score", runId=run.id, stepId="judge", name="later", value=1) == {"ok": True}
    shown = metadata(js, run)
    assert shown["run"]["inngest.score.helpful"] == {"value": 0.75}
    assert shown["judge"]["inngest.score.later"] == {"value": 1}


def test_a_run_that_there_is_not_is_not_scored(js):
    answer = js.ask_app("/score", runId=NOBODY, name="helpful", value=0.75)

    assert "Unable to find metadata target" in answer["error"]


def test_an_experiment_says_which_variant_was_taken(js):
    run = js.run("tried")

    assert output(run)["result"] == "new"
    experiment = metadata(js, run)["route"]["inngest.experiment"]
    assert (experiment["variant"], experiment["selection_strategy"]) == ("new", "fixed")


def test_a_run_annotates_itself(js):
    run = js.run("annotated")

    assert output(run) == "annotated"
    shown = until(lambda: metadata(js, run))
    assert {"userland.default": {"note": "seen"}} in shown.values()
