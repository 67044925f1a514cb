"""The REST API: lists of events, jobs, functions, bulk cancellation, and what only has to be accepted."""

from datetime import timedelta

import pytest

from steprig.kernel import Status

from ..waiting import until

NOBODY = "01JQDAE4RQ000G40R40M30E20A"


@pytest.fixture
def waiting(one_stage):
    """Starts runs that wait."""

    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(hours=1))

    def start(**data):
        run_id = one_stage.start("waiting", data)
        one_stage.waiting(run_id, "wait")
        return run_id

    return start


@pytest.fixture
def cancel(one_stage):
    def cancel(status=200, **asked):
        body = {"app_id": one_stage.app_id, "function_id": "waiting", "started_before": "2100-01-01T00:00:00Z"}
        answer = one_stage.http.post("/v1/cancellations", json=body | asked)
        assert answer.status_code == status, answer.text
        return answer.json()

    return cancel


# --- Events -----------------------------------------------------------------------------------------------


def test_events_are_listed_by_when_they_were_received(one_stage):
    first, middle, last = (one_stage.send("test/timed") for _ in range(3))
    received = one_stage.get(f"/v1/events/{middle}")["received_at"]

    def listed(**asked):
        events = one_stage.http.get("/v1/events", params=asked).raise_for_status().json()["data"]
        return [event["internal_id"] for event in events]

    assert listed(received_after=received) == [last]
    assert listed(received_before=received) == [first]
    assert listed(cursor=last, limit=1) == [middle]
    assert listed(cursor=first) == []


@pytest.mark.parametrize("name", ["received_after", "received_before", "cursor"])
def test_a_list_of_events_that_cannot_be_is_refused_by_the_field(one_stage, name):
    answer = one_stage.http.get("/v1/events", params={name: "x"})

    assert (answer.status_code, answer.json()["data"]) == (400, None)
    assert answer.json()["error"].startswith(f"{name} is 'x'; expected ")


# --- Runs -------------------------------------------------------------------------------------------------


def test_the_jobs_of_a_run_are_what_it_has_still_to_do(one_stage, waiting):
    run_id = waiting()

    (job,) = one_stage.get(f"/v1/runs/{run_id}/jobs")
    assert (job["kind"], job["position"], job["attempt"]) == ("pause", 0, 0)

    one_stage.send("test/go")
    one_stage.ended(run_id)
    assert one_stage.get(f"/v1/runs/{run_id}/jobs") == []
    assert one_stage.http.get(f"/v1/runs/{NOBODY}/jobs").status_code == 404


def test_a_run_is_cancelled_by_the_older_path_once(one_stage, waiting):
    run_id = waiting()

    answer = one_stage.http.delete(f"/v0/runs/{run_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert one_stage.ended(run_id).status is Status.CANCELLED

    for gone in (run_id, NOBODY):
        answer = one_stage.http.delete(f"/v0/runs/{gone}")
        assert answer.status_code == 404
        assert answer.json()["error"] == "A function run with the given ID could not be found"


# --- Apps -------------------------------------------------------------------------------------------------


def test_the_functions_of_an_app_are_a_bare_list(one_stage, waiting):
    one_stage.serve()

    (function,) = one_stage.http.get(f"/v1/apps/{one_stage.app_id}/functions").json()

    assert (function["id"], function["name"]) == (f"{one_stage.app_id}-waiting", "waiting")
    assert function["config"]["triggers"] == [{"event": "test/waiting"}]
    assert function["archived_at"] is None
    assert one_stage.http.get("/v1/apps/nothing/functions").json() == []


# --- Cancellations ----------------------------------------------------------------------------------------


def test_a_cancellation_ends_the_runs_of_a_function(one_stage, waiting, cancel):
    runs = [waiting(), waiting()]

    made = cancel()["data"]

    assert {one_stage.ended(run_id).status for run_id in runs} == {Status.CANCELLED}
    assert (made["function_id"], made["if"], made["started_after"]) == (f"{one_stage.app_id}-waiting", None, None)
    assert one_stage.get("/v1/cancellations") == [made]
    assert one_stage.http.delete(f"/v1/cancellations/{made['id']}").json() == {"ok": True}
    assert one_stage.get("/v1/cancellations") == []
    assert one_stage.http.delete(f"/v1/cancellations/{made['id']}").status_code == 404


def test_a_cancellation_ends_only_runs_that_its_condition_is_true_for(one_stage, waiting, cancel):
    kept, ended = waiting(k=1), waiting(k=2)

    cancel(**{"if": "event.data.k == 2"})

    assert one_stage.ended(ended).status is Status.CANCELLED
    assert one_stage.waiting(kept, "wait").status is Status.RUNNING


def test_a_cancellation_ends_only_runs_of_its_time(one_stage, waiting, cancel):
    early, middle, late = waiting(), waiting(), waiting()
    began = [one_stage.reached(run_id, lambda run: True).queued_at for run_id in (early, middle, late)]

    cancel(started_after=began[0].isoformat(), started_before=began[2].isoformat())

    assert one_stage.ended(middle).status is Status.CANCELLED
    for kept in (early, late):
        assert one_stage.waiting(kept, "wait").status is Status.RUNNING


def test_a_cancellation_that_lacks_fields_is_refused_with_all_of_them(one_stage):
    answer = one_stage.http.post("/v1/cancellations", json={})

    assert answer.status_code == 400
    assert answer.json()["error"] == "app_id is required\nfunction_id is required\nstarted_before is required"


@pytest.mark.parametrize(
    ("asked", "begins"),
    [
        ({"started_before": "soon"}, "started_before is 'soon'"),
        ({"started_after": 5}, "started_after is 5"),
        ({"if": "event.data.k =="}, "if: "),
        ({"if": "async.data.k == 1"}, "if: "),
        ({"if": 5}, "if is 5"),
        ({"app_id": []}, "app_id is required"),
        ({"function_id": {"a": 1}}, "function_id is {'a': 1}"),
    ],
)
def test_a_bad_cancellation_is_refused_by_the_field(one_stage, waiting, cancel, asked, begins):
    run_id = waiting()

    assert cancel(400, **asked)["error"].startswith(begins)
    assert one_stage.waiting(run_id, "wait").status is Status.RUNNING


def test_a_cancellation_for_a_function_that_there_is_not(one_stage, waiting, cancel):
    one_stage.serve()

    assert cancel(404, function_id="nothing")["error"].startswith("function not found")
    assert cancel(404, app_id="nothing")["error"].startswith("function not found")


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"\xff"])
def test_a_cancellation_that_is_no_object_is_refused(one_stage, content):
    assert one_stage.http.post("/v1/cancellations", content=content).status_code == 400


# --- The rest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v0/telemetry", "/v1/traces/userland", "/dev/traces"])
def test_reports_are_accepted_whatever_they_say(one_stage, path):
    answer = one_stage.http.post(path, content=b"\x0a\xff")

    assert (answer.status_code, answer.content) == (200, b"")


def test_that_a_function_to_invoke_is_not_there_shows_as_an_event(one_stage):
    answer = one_stage.http.post("/invoke/no-such-function", json={"data": {"n": 1}})

    assert answer.json()["status"] == 200
    (finished,) = until(lambda: one_stage.events("inngest/function.finished"))
    assert finished["data"]["function_id"] == "no-such-function"
    assert finished["data"]["error"]["message"] == "could not find function with ID: no-such-function"
    assert finished["data"]["event"]["data"]["n"] == 1
