"""Endpoints on the npm SDK whose steps are durable: they begin runs by themselves, and leave them to the server."""

from urllib.parse import urlsplit

import httpx
import pytest

from . import js_app
from .stage import PATIENCE, output

VARIANTS = [variant for variant in js_app.VARIANTS if variant.name in ("plain", "signed")]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.name)
def js(request, packages, few_certificates):
    """The endpoints, and a dev server whose sleeps take no time, for all tests here."""
    with js_app.staged(packages, request.param, "endpoints.mjs") as stage:
        yield stage


@pytest.fixture
def ask(js):
    """Ask an endpoint, as a browser does: it goes where it is sent to."""
    with httpx.Client(base_url=js.app_origin, timeout=PATIENCE, follow_redirects=True) as http:
        yield http


def run_of(js, path, method="GET"):
    """The newest run of an endpoint, once it is over."""
    run = [run for run in js.dev.timeline.runs() if run.name == f"{method} {path}"][-1]
    return js.ended(run.id)


def spans(run):
    return [(span.name, span.kind, span.status) for span in run.spans]


def test_an_endpoint_without_steps_has_a_run_too(js, ask):
    assert ask.get("/none").json() == {"steps": 0}
    assert output(run_of(js, "/none")) == {"steps": 0}


def test_an_endpoint_that_need_not_wait_answers_by_itself(js, ask):
    response = ask.get("/at-once", params={"name": "ü"})

    assert response.json() == {"first": 1, "second": {"hello": "ü"}}
    assert response.history == []
    run = run_of(js, "/at-once")
    assert spans(run) == [
        ("first", "RUN", "completed"),
        ("second", "RUN", "completed"),
        ("function success", "function", "completed"),
    ]
    assert output(run) == response.json()


def test_an_endpoint_is_a_function_of_the_app_that_is_its_domain(js, ask):
    ask.get("/at-once", params={"name": "a"})
    ask.get("/none")

    app = js.dev._platform.engine.apps.app(js.app_origin)

    assert (app.method, app.url) == ("API", js.app_origin)
    assert {"GET /at-once", "GET /none"} <= {function.id for function in app.functions}
    assert app.function("GET /at-once").entry.runtime.url == f"{js.app_origin}/at-once"


def test_the_request_is_the_runs_event(js, ask):
    ask.get("/at-once", params={"name": "a"})

    event = run_of(js, "/at-once").events[0]

    assert event.name == "inngest/http.request"
    assert event.fields()["data"]["path"] == "/at-once"


def test_a_response_is_passed_on_as_it_is(js, ask):
    response = ask.get("/response")

    assert (response.status_code, response.text, response.headers["x-made-of"]) == (418, "teapot", "china")
    assert run_of(js, "/response").status == "completed"


@pytest.mark.parametrize(("method", "body"), [("POST", '{"n":[1, 2.50, "☃"]}'), ("PUT", "[ ]"), ("GET", "")])
def test_after_a_sleep_the_same_request_is_made_again(js, ask, method, body):
    content = {"content": body.encode(), "headers": {"content-type": "text/special"}} if body else {}
    query = f"?key={method}&b=%2F"
    ask.get("/asked")

    response = ask.request(method, f"/sleeps{query}", **content)

    assert [urlsplit(str(seen.url)).path for seen in response.history] == ["/sleeps"]
    assert str(response.url).startswith(js.dev.origin)
    assert response.json() == {"before": 1, "after": "awake"}
    first, *again = ask.get("/asked").json()
    assert (first["method"], first["query"], first["body"]) == (method, query, body)
    assert [one == first for one in again] == [True] * len(again) != []
    run = run_of(js, "/sleeps", method)
    assert [name for name, _, _ in spans(run)] == ["before", "a while", "after", "function success"]
    assert 7200 - 5 < (run.ended_at - run.started_at).total_seconds() < 7200 + 5


def test_parallel_steps_of_an_endpoint_are_joined(js, ask):
    assert ask.get("/parallel").json() == ["a", "b", "c"]


def test_an_endpoint_waits_for_an_event(js, ask):
    first = ask.get("/waits", params={"key": js.variant.name}, follow_redirects=False)
    (run,) = [run for run in js.dev.timeline.runs() if run.name == "GET /waits"]
    js.waiting(run.id, "answer")

    js.send("test/endpoint-answer", {"key": js.variant.name, "answer": 42})

    assert ask.get(first.headers["location"]).json() == {"answer": 42}


def test_a_step_of_an_endpoint_is_tried_again(js, ask):
    response = ask.get("/recovers", params={"key": f"recovers-{js.variant.name}"})

    assert response.json() == {"tried": 3}
    (flaky, _) = run_of(js, "/recovers").spans
    assert (flaky.attempts, flaky.status) == (3, "completed")


def test_an_endpoint_that_throws_is_tried_again_and_fails(js, ask):
    response = ask.get("/throws")

    assert response.json()["error"]["message"] == "thrown"
    run = run_of(js, "/throws")
    assert (run.status, run.failure.message) == ("failed", "thrown")


def test_whoever_has_no_token_does_not_get_the_answer(js, ask):
    first = ask.get("/sleeps?key=token", follow_redirects=False)
    url = first.headers["location"]

    assert first.status_code == 302
    assert ask.get(url.partition("?")[0]).status_code == 401
    assert ask.get(f"{url}x").status_code == 401
    assert ask.get(url).status_code == 200


@pytest.mark.parametrize("sleeps", ["", "1"])
def test_what_an_endpoint_streams_is_followed_to_its_end(js, ask, sleeps):
    response = ask.post("/follow", content=f"{js.app_origin}/streams?sleeps={sleeps}")

    assert response.is_success, response.text
    told = response.json()
    assert told["chunks"][:2] == ["at first", "in a step"]
    assert told["chunks"].count("in a step") == 1
    assert told["chunks"].count("after the sleep") == len(sleeps)
    assert (told["status"], told["body"]) == (200, '{"told":true}')
    assert set(told["runs"]) == {run_of(js, "/streams").id}
