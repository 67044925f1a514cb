"""Steps that are reported while a call goes on. The npm SDK does so by default; here the call itself does."""

import hashlib

import inngest
import pytest

from steprig.inngest.limits import MAX_STEP_BYTES
from steprig.inngest.records import RUN, CallStarted
from steprig.kernel import stream_of

from .stage import output


def ran(name, data):
    """What a call reports of a step."""
    return {"id": hashlib.sha1(name.encode()).hexdigest(), "op": "StepRun", "displayName": name, "data": data}


@pytest.fixture
def report(one_stage):
    """Report steps of a run's newest call."""

    def report(run_id, /, *steps, **fields):
        records = one_stage.dev.journal.read(stream_of(RUN, run_id))
        job_id = [record.entry.job_id for record in records if isinstance(record.entry, CallStarted)][-1]
        body = {"run_id": run_id, "qi_id": job_id, "steps": steps} | fields
        return one_stage.http.post(f"/v1/checkpoint/{run_id}/async", json=body)

    return report


@pytest.fixture
def reporting(one_stage, report):
    """A run whose call reports these and ends. Gives the run and the answers' statuses."""

    def reporting(*reports):
        statuses = []

        @one_stage.function("reporting", retries=0)
        def reporting(ctx):
            statuses.extend(report(ctx.run_id, *steps, **fields).status_code for steps, fields in reports)
            return "end"

        return one_stage.run("reporting"), statuses

    return reporting


def test_reported_steps_are_kept_while_the_call_goes_on(reporting):
    run, statuses = reporting(([ran("a", 1), ran("b", None)], {}), ([ran("c", [3])], {}))

    assert statuses == [200, 200]
    assert [(span.name, span.status, bytes(span.output)) for span in run.spans] == [
        ("a", "completed", b"1"),
        ("b", "completed", b"null"),
        ("c", "completed", b"[3]"),
        ("function success", "completed", b'"end"'),
    ]
    assert run.spans[1].started_at <= run.spans[1].ended_at <= run.spans[2].started_at


def test_a_reported_step_is_not_run_by_a_later_attempt(one_stage, report):
    @one_stage.function("again", retries=1)
    def again(ctx):
        if ctx.attempt == 0:
            report(ctx.run_id, ran("step", "reported"))
            raise ValueError("after the report")
        return (yield ctx.step.run("step", lambda: "run again"))

    assert output(one_stage.run("again")) == "reported"


def test_the_first_report_of_a_step_counts(reporting):
    run, statuses = reporting(([ran("a", 1)], {}), ([ran("a", 2)], {}))

    assert statuses == [200, 200]
    assert bytes(run.spans[0].output) == b"1"


def test_a_report_of_a_call_that_is_not_waited_for_is_refused(reporting):
    run, statuses = reporting(([ran("a", 1)], {"qi_id": "another"}))

    assert statuses == [409]
    assert [span.name for span in run.spans] == ["function success"]


def test_a_report_of_a_run_that_is_over_is_refused(one_stage, report, reporting):
    run, _ = reporting()

    assert report(run.id, ran("late", 1)).status_code == 409


def test_a_reported_output_that_is_too_large_fails_the_run(reporting):
    run, _ = reporting(([ran("large", "x" * MAX_STEP_BYTES)], {}))

    assert run.status == "failed"
    assert "step output size is greater than the limit" in run.failure.message


@pytest.mark.parametrize("fields", [{"run_id": "another"}, {"steps": {}}, {"steps": [{"id": "x", "op": "Wat"}]}])
def test_a_report_that_cannot_be_read_is_refused(reporting, fields):
    run, statuses = reporting(([], fields))

    assert statuses == [400]
    assert run.status == "completed"


@pytest.mark.parametrize("op", ["Sleep", "StepError", "StepPlanned", "RunComplete", "WaitForEvent"])
def test_a_report_of_what_a_call_cannot_go_on_after_is_refused_as_a_whole(reporting, op):
    run, statuses = reporting(([ran("a", 1), {"id": "b", "op": op, "name": "1h"}], {}))

    assert statuses == [400]
    assert [span.name for span in run.spans] == ["function success"]


def test_what_is_answered_to_reports(one_stage, report):
    answers = []

    @one_stage.function("reporting", retries=0)
    def reporting(ctx):
        answers.append(report(ctx.run_id, ran("a", 1)))
        answers.append(report(ctx.run_id, qi_id="another"))

    run = one_stage.run("reporting")

    taken, stale = answers
    assert (taken.status_code, taken.content) == (200, b"")
    assert stale.json() == {"error": "Failed to checkpoint steps", "data": {"run_id": run.id}, "status": 409}


def test_a_call_that_has_reported_a_step_has_all_its_attempts_before_it_again(one_stage, report):
    attempts = []

    @one_stage.function("again", retries=1)
    def again(ctx):
        attempts.append(ctx.attempt)
        if len(attempts) < 4:
            report(ctx.run_id, ran(f"step {len(attempts)}", 1))
            raise ValueError("after the report")

    assert one_stage.run("again").status == "completed"
    assert attempts == [0, 1, 1, 1]


def test_deferrals_are_reported_while_a_call_goes_on(one_stage, report):
    add = {"id": "d1", "op": "DeferAdd", "opts": {"fn_slug": f"{one_stage.app_id}-later", "input": {"n": 1}}}
    taken_back = add | {"id": "d2"}
    abort = {"id": "a2", "op": "DeferAbort", "opts": {"target_hashed_id": "d2"}}

    @one_stage.function("later", trigger=inngest.TriggerEvent(event="inngest/deferred.schedule"))
    def later(ctx):
        return ctx.event.data["n"]

    @one_stage.function("defers", retries=0)
    def defers(ctx):
        return report(ctx.run_id, add, taken_back, abort).status_code

    assert output(one_stage.run("defers")) == 200
    assert output(one_stage.only_run("later")) == 1
