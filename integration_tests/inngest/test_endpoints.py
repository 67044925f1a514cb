"""Runs that an SDK begins by itself, inside of a request to an endpoint, and leaves to the server later."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.limits import MAX_STEP_BYTES
from steprig.inngest.signing import verify_signature
from steprig.kernel import SqliteJournal, VirtualClock

from ..waiting import until
from .endpoint_app import EndpointApp, complete, ran, sleep
from .stacks import STACKS
from .stage import PATIENCE, Stage, output

KEY = "signkey-test-12345678"


@pytest.fixture
def app(one_stage):
    with EndpointApp(one_stage) as app:
        yield app


@pytest.fixture
def signed_app():
    with VirtualClock() as clock, DevServer(clock=clock, kind="cloud", signing_key=KEY) as dev:
        stage = Stage(STACKS[0], dev, is_production=True, signing_key=KEY, event_key="key")
        with EndpointApp(stage) as app:
            yield app
        stage.close()


def answer(app, begun, **params):
    return app.stage.http.get(f"/v1/http/runs/{begun['run_id']}/output", params={"token": begun["token"]} | params)


def test_a_run_is_begun_reported_on_and_completed(app):
    begun = app.begun(ran("a", 1))
    assert app.stage.dev.timeline.run(begun["run_id"]).status == "running"

    assert app.report(begun["run_id"], ran("b", [2])).status_code == 200
    response = app.report(begun["run_id"], complete('{"done": true}'))

    assert (response.status_code, response.content) == (200, b"")
    run = app.stage.ended(begun["run_id"])
    assert [(span.name, span.status) for span in run.spans] == [
        ("a", "completed"),
        ("b", "completed"),
        ("function success", "completed"),
    ]
    assert output(run) == {"done": True}
    assert app.requests == []


@pytest.mark.parametrize(("body", "given"), [("plain text", "plain text"), ("", None), ("[1.50]", [1.5])])
@pytest.mark.parametrize(
    "wrap", [lambda op: op, lambda op: op | {"op": "SyncRunComplete", "data": {"data": op["data"]}}]
)
def test_what_an_endpoint_answers_is_the_runs_output(app, body, given, wrap):
    begun = app.begun(wrap(complete(body, 201)))

    assert output(app.stage.ended(begun["run_id"])) == given
    assert answer(app, begun).json() == {"data": given}


def test_a_run_without_steps_yet_has_no_token(app):
    assert sorted(app.begun()) == ["app_id", "fn_id", "realtime_token", "run_id"]
    assert sorted(app.begun(ran("a", 1))) == ["app_id", "fn_id", "realtime_token", "run_id", "token"]


def test_a_run_is_begun_once(app):
    begun = app.begun(ran("a", 1))

    again = app.begin(ran("a", 2), run_id=begun["run_id"])

    assert (again.status_code, again.json()["error"]) == (409, "Run already exists")


@pytest.mark.parametrize(
    "fields",
    [
        {"run_id": "mine"},
        {"run_id": None},
        {"event": {"name": "inngest/http.request"}},
        {"event": {"name": "inngest/http.request", "data": {"path": "/"}}},
        {"steps": [{"op": "Wat", "id": "a"}]},
        {"retries": "many"},
    ],
)
def test_a_run_that_cannot_be_read_is_refused(app, fields):
    response = app.begin(**fields)

    assert (response.status_code, "Invalid request body" in response.json()["error"]) == (400, True)


def test_reports_of_a_run_that_is_over_are_passed_over(app):
    begun = app.begun(complete("1"))

    assert app.report(begun["run_id"], ran("late", 1)).status_code == 200
    assert [span.name for span in app.stage.ended(begun["run_id"]).spans] == ["function success"]


def test_reports_of_a_run_that_was_never_begun_are_refused(app):
    assert app.report("01M7Z1JB59Y8FB9M7MW2SE8KT9", ran("a", 1)).status_code == 404
    assert app.stage.http.post("/v1/checkpoint/x/steps", content=b"{").status_code == 400


def test_a_step_that_gives_too_much_fails_the_run(app):
    begun = app.begun(ran("a", "x" * MAX_STEP_BYTES))

    run = app.stage.ended(begun["run_id"])
    assert (run.status, "greater than the limit" in run.failure.message) == ("failed", True)
    assert "greater than the limit" in answer(app, begun).json()["error"]["error"]["message"]


def test_a_sleep_leaves_the_run_to_the_server_which_makes_the_request_again(app):
    request = {"method": "PUT", "path": "/o", "query_params": "a=%2F&b", "content_type": "text/x", "body": "no json ☃"}
    begun = app.begun(ran("a", 1), sleep("1h"), request=request)

    run = app.stage.ended(begun["run_id"])

    (asked,) = app.requests
    assert (asked["method"], asked["path"], asked["query"]) == ("PUT", "/o", "a=%2F&b")
    assert (asked["content-type"], asked["body"].decode()) == ("text/x", "no json ☃")
    assert (asked["x-run-id"], asked["x-inngest-signature"]) == (run.id, "")
    assert (asked["x-inngest-req-version"], asked["x-inngest-force-step-plan"]) == ("2", "false")
    assert "x-inngest-step-id" not in asked
    assert [span.name for span in run.spans] == ["a", "a while", "function success"]
    assert output(run) == {"status": 200, "headers": {}, "body": "the end"}


def test_planned_steps_are_asked_for_one_by_one(app):
    planned = [{"id": name, "op": "StepPlanned", "displayName": name} for name in ("x", "y")]
    app.replies = [[ran("x", 1)], [ran("y", 2)]]

    app.stage.ended(app.begun(*planned)["run_id"])

    assert sorted(asked.get("x-inngest-step-id", "") for asked in app.requests) == ["", "x", "y"]
    assert {asked["x-inngest-force-step-plan"] for asked in app.requests[:2]} == {"true"}


@pytest.mark.parametrize("body", ['{"n": [1, 2.50]}', "no json ☃", ""])
def test_with_a_key_the_request_that_is_made_again_is_signed(signed_app, body):
    begun = signed_app.begun(sleep("1h"), request={"method": "POST", "body": body})
    signed_app.stage.ended(begun["run_id"])

    (asked,) = signed_app.requests
    if body.startswith("no"):
        assert asked["x-inngest-signature"].startswith("t=")
    else:
        verify_signature(asked["x-inngest-signature"], asked["body"], KEY, now=datetime.now(UTC), max_age=None)


def test_with_a_key_only_who_has_it_begins_and_reports(signed_app):
    stage = signed_app.stage
    begun = signed_app.begun(ran("a", 1))
    for path in ("", f"/{begun['run_id']}/steps", f"/{begun['run_id']}/async"):
        response = stage.http.post(f"/v1/checkpoint{path}", json={}, headers={"authorization": "Bearer 00"})
        assert response.status_code == 401


def test_a_step_that_fails_is_tried_again_by_the_server(app):
    failed = {"id": "a", "op": "StepError", "displayName": "a", "error": {"name": "Error", "message": "no"}}
    app.replies = [[failed], [ran("a", "at last")]]

    run = app.stage.ended(app.begun(failed)["run_id"])

    assert (run.spans[0].attempts, run.status) == (3, "completed")
    assert len(app.requests) == 3


def test_a_step_that_fails_too_often_is_given_to_the_function(app):
    failed = {"id": "a", "op": "StepError", "displayName": "a", "error": {"name": "Error", "message": "no"}}

    run = app.stage.ended(app.begun(failed, retries=0)["run_id"])

    assert [(span.name, span.status) for span in run.spans] == [("a", "failed"), ("function success", "completed")]
    assert app.stage.http.get(f"/v0/runs/{run.id}/batch").status_code == 410
    assert len(app.requests) == 1


def test_the_answer_is_the_endpoints_own(app):
    app.replies = [complete("tea", 418, **{"X-Made-Of": "china", "Content-Length": "99"})]
    begun = app.begun(sleep("1h"))

    response = answer(app, begun)

    assert (response.status_code, response.text, response.headers["x-made-of"]) == (418, "tea", "china")


def test_whoever_asks_waits_for_the_answer(app):
    begun = app.begun(ran("a", 1))
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(answer, app, begun)
        assert not asked.done()
        app.report(begun["run_id"], complete("1"))

        assert asked.result(PATIENCE).json() == {"data": 1}


def test_a_cancelled_run_has_no_answer(app):
    begun = app.begun(ran("a", 1))
    app.stage.http.delete(f"/v1/runs/{begun['run_id']}")

    assert app.report(begun["run_id"], ran("b", 1), complete("1")).status_code == 200
    assert app.stage.ended(begun["run_id"]).status == "cancelled"
    assert answer(app, begun).json() == {"error": None}


def test_a_server_that_is_asked_for_an_answer_stops_in_time(app):
    begun = app.begun(ran("a", 1))
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(answer, app, begun)
        until(lambda: app.stage.dev.timeline._watchers, "somebody waiting")
        app.stage.dev.stop()

        answered = asked.result(PATIENCE)
    assert (answered.status_code, answered.json()["error"]) == (503, "the server stops")


def test_endpoints_of_one_domain_are_functions_of_one_app(app):
    for request in ({"path": "/a"}, {"path": "/b", "method": "POST"}, {"path": "/a"}, {"path": "/c", "fn": "mine"}):
        app.begun(complete("1"), request=request)

    (registered,) = app.stage.dev._platform.engine.apps
    assert (registered.name, registered.method) == (app.server.base_url, "API")
    assert sorted(function.id for function in registered.functions) == ["GET /a", "POST /b", "mine"]


def test_a_repetition_makes_the_request_anew(app):
    begun = app.begun(ran("a", 1), complete("1"))
    run = app.stage.ended(begun["run_id"])

    body = {"query": "mutation ($id: ULID!) { rerun(runID: $id) }", "variables": {"id": run.id}}
    again = app.stage.http.post("/v0/gql", json=body).raise_for_status().json()["data"]["rerun"]

    app.stage.ended(again)
    (asked,) = app.requests
    assert (asked["x-run-id"], asked["path"]) == (again, "/orders")


def test_many_runs_at_once_keep_to_themselves(app):
    def one(number):
        begun = app.begun(ran("a", number), sleep("1h"), request={"query_params": str(number)})
        return begun, answer(app, begun).text

    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(one, range(40)))

    assert {text for _, text in begun} == {"the end"}
    ids = {asked["query"]: asked["x-run-id"] for asked in app.requests}
    assert ids == {str(number): each["run_id"] for number, (each, _) in enumerate(begun)}


def test_a_server_that_was_stopped_goes_on_with_the_runs_that_were_left_to_it(tmp_path):
    path, clock = tmp_path / "journal.db", VirtualClock(auto=False)
    journal = SqliteJournal(path)
    dev = DevServer(clock=clock, journal=journal).start()
    stage, port = Stage(STACKS[0], dev), dev.port
    with EndpointApp(stage) as app:
        left, kept = app.begun(ran("a", 1), sleep("1h"))["run_id"], app.begun(ran("a", 1))["run_id"]
        dev.stop()
        journal.close()

        journal = SqliteJournal(path)
        with DevServer(port, clock=clock, journal=journal, strict_port=True) as stage.dev:
            clock.advance(hours=1)
            assert stage.ended(left).status == "completed"
            assert [asked["x-run-id"] for asked in app.requests] == [left]

            app.report(kept, complete("1")).raise_for_status()
            assert output(stage.ended(kept)) == 1
    stage.close()
    journal.close()
    clock.close()
