"""The REST API, and what is on every response."""

from datetime import datetime, timedelta

import pytest

from .stage import output

NOBODY = "01JQDAE4RQ000G40R40M30E20A"


@pytest.fixture
def waiting(one_stage):
    @one_stage.function("waiting")
    def waiting(ctx):
        yield ctx.step.run("first", lambda: {"a": [1]})
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(hours=1))
        return "done"

    run_id = one_stage.start("waiting", {"n": 1})
    one_stage.waiting(run_id, "wait")
    return run_id


def test_health(one_stage):
    assert one_stage.http.get("/health").json() == {"status": 200, "message": "OK"}


def test_the_description_of_the_server(one_stage, waiting):
    shown = one_stage.http.get("/dev").json()

    assert shown["authed"] is False
    assert {"version", "startOpts", "functions", "handlers", "isSingleNodeService", "features"} <= set(shown)
    (function,) = shown["functions"]
    assert function["id"] == f"{one_stage.app_id}-waiting"
    assert function["triggers"] == [{"event": "test/waiting"}]


def test_the_probe_for_readiness_has_no_body(one_stage):
    assert one_stage.http.post("/v0/connect/start").status_code == 200


def test_events_are_listed_the_newest_first_and_twenty_at_most(one_stage):
    ids = [one_stage.send("test/listed", {"n": number}) for number in range(25)]
    one_stage.send("test/other")

    shown = one_stage.http.get("/v1/events", params={"name": "test/listed"}).json()

    assert [event["internal_id"] for event in shown["data"]] == ids[:4:-1]
    assert datetime.fromisoformat(shown["metadata"]["fetched_at"])


@pytest.mark.parametrize(("limit", "number"), [("3", 3), ("1", 1), ("100", 6)])
def test_a_limit_says_how_many_events_are_listed(one_stage, limit, number):
    for _ in range(6):
        one_stage.send("test/listed")

    assert len(one_stage.get(f"/v1/events?limit={limit}")) == number


@pytest.mark.parametrize("limit", ["x", "", "1.5", "-1"])
def test_a_limit_that_is_no_number_is_refused(one_stage, limit):
    assert one_stage.http.get("/v1/events", params={"limit": limit}).status_code == 400


def test_an_event_that_there_is_not(one_stage):
    assert one_stage.http.get(f"/v1/events/{NOBODY}").json() == {
        "error": "Event not found",
        "data": None,
        "status": 404,
    }
    assert one_stage.http.get("/v1/events/x").json()["error"] == "Invalid event ID: x"
    assert one_stage.http.get("/v1/events/x").status_code == 400
    assert one_stage.get(f"/v1/events/{NOBODY}/runs") == []


def test_a_run_is_shown_from_its_start_to_its_end(one_stage, waiting):
    shown = one_stage.get(f"/v1/runs/{waiting}")
    assert (shown["run_id"], shown["status"], shown["ended_at"]) == (waiting, "Running", None)
    assert "output" not in shown

    one_stage.send("test/go")
    one_stage.ended(waiting)

    shown = one_stage.get(f"/v1/runs/{waiting}")
    assert (shown["status"], shown["output"]) == ("Completed", "done")
    assert datetime.fromisoformat(shown["ended_at"]) >= datetime.fromisoformat(shown["run_started_at"])
    assert one_stage.runs_of(shown["event_id"]) == [shown]


def test_a_run_that_there_is_not(one_stage):
    answer = one_stage.http.get(f"/v1/runs/{NOBODY}")

    assert answer.status_code >= 400
    assert NOBODY in answer.json()["error"]
    assert one_stage.http.delete(f"/v1/runs/{NOBODY}").status_code == 404


def test_to_cancel_a_run_that_has_ended_does_nothing(one_stage, waiting):
    one_stage.send("test/go")
    run = one_stage.ended(waiting)

    answer = one_stage.http.delete(f"/v1/runs/{waiting}")

    assert (answer.status_code, answer.content) == (200, b"")
    assert one_stage.ended(waiting) == run


def test_the_state_of_a_run_can_be_fetched_while_it_goes_on(one_stage, waiting):
    assert list(one_stage.http.get(f"/v0/runs/{waiting}/actions").json().values()) == [{"data": {"a": [1]}}]
    (event,) = one_stage.http.get(f"/v0/runs/{waiting}/batch").json()
    assert (event["name"], event["data"]) == ("test/waiting", {"n": 1})

    one_stage.send("test/go")
    one_stage.ended(waiting)

    for what in ("actions", "batch"):
        gone = one_stage.http.get(f"/v0/runs/{waiting}/{what}")
        assert gone.status_code == 410
        assert gone.json()["error"] == f"runtime state is no longer available for runID: {waiting}"
        odd = one_stage.http.get(f"/v0/runs/x/{what}")
        assert (odd.status_code, odd.json()["error"]) == (400, "The run ID specified is invalid")


EVERYTHING = [
    ("GET", "/health"),
    ("GET", "/dev"),
    ("GET", "/nowhere"),
    ("GET", "/e/key"),
    ("POST", "/e/key"),
    ("POST", "/fn/register"),
    ("POST", "/invoke/x"),
    ("DELETE", "/fn/remove"),
    ("POST", "/v0/gql"),
    ("GET", "/v0/gql"),
    ("POST", "/v0/connect/start"),
    ("GET", f"/v0/runs/{NOBODY}/actions"),
    ("GET", "/v1/events"),
    ("GET", f"/v1/runs/{NOBODY}"),
    ("DELETE", f"/v1/runs/{NOBODY}"),
    ("OPTIONS", "/e/key"),
    ("PUT", "/e/key"),
    ("HEAD", "/health"),
]


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_every_response_says_which_server_it_is_from_and_how_long_it_is(one_stage, method, path):
    answer = one_stage.http.request(method, path, headers={"Accept-Encoding": "gzip"})

    assert answer.headers["x-inngest-server-kind"] == "dev"
    assert int(answer.headers["content-length"]) >= len(answer.content)
    assert "transfer-encoding" not in answer.headers
    assert "content-encoding" not in answer.headers
    assert answer.status_code < 500


def test_events_cannot_be_read_where_they_are_sent(one_stage):
    assert one_stage.http.get("/e/key").status_code == 405


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_browser_may_send_any_request_from_anywhere(one_stage, method):
    asked = {
        "Origin": "http://a.test",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-y",
    }
    answer = one_stage.http.options("/v0/gql", headers=asked)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "http://a.test")
    assert method in answer.headers["access-control-allow-methods"]
    assert "x-y" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "3600"
    assert answer.headers["x-inngest-server-kind"] == "dev"


def test_a_browser_may_read_what_it_gets(one_stage):
    answer = one_stage.http.get("/health", headers={"Origin": "http://a.test"})

    assert answer.headers["access-control-allow-origin"] in ("*", "http://a.test")


def test_a_fault_of_the_server_is_a_json_error_that_says_which_server(one_stage, monkeypatch):
    def faulty(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("steprig.inngest.routes.rest_api.runs_of_event", faulty)
    answer = one_stage.http.get(f"/v1/events/{NOBODY}/runs")

    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert "ZeroDivisionError" in answer.json()["error"]
    assert answer.headers["x-inngest-server-kind"] == "dev"


def test_runs_stay_readable_after_the_server_has_stopped(one_stage, waiting):
    one_stage.send("test/go")
    one_stage.ended(waiting)
    one_stage.dev.stop()

    assert output(one_stage.ended(waiting)) == "done"


def test_a_server_stops_while_apps_are_called_and_runs_wait(one_stage, waiting):
    one_stage.dev.stop()

    assert not one_stage.dev.is_running
    assert one_stage.reached(waiting, lambda run: True).status == "running"
