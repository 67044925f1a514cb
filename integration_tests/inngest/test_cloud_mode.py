"""A dev server in cloud mode: the API asks for the signing key, and apps in development are not taken."""

import httpx
import inngest
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.signing import hash_signing_key
from steprig.kernel import VirtualClock

from .stacks import STACKS
from .stage import PATIENCE, Stage, output

KEY, FALLBACK = "signkey-test-12345678", "signkey-prod-87654321"


@pytest.fixture
def cloud():
    with (
        VirtualClock() as clock,
        DevServer(
            clock=clock, kind="cloud", signing_key=KEY, signing_key_fallback=FALLBACK, event_keys=("key",)
        ) as server,
    ):
        yield server


@pytest.fixture
def stage(cloud):
    stage = Stage(STACKS[0], cloud, is_production=True, signing_key=KEY, event_key="key")
    yield stage
    stage.close()


@pytest.fixture
def strange(cloud):
    """A client without a key."""
    with httpx.Client(base_url=cloud.origin, timeout=PATIENCE) as http:
        yield http


ASKED = [
    ("GET", "/v1/events"),
    ("GET", "/v1/events/01JQDAE4RQ000G40R40M30E20A"),
    ("GET", "/v1/runs/01JQDAE4RQ000G40R40M30E20A"),
    ("DELETE", "/v1/runs/01JQDAE4RQ000G40R40M30E20A"),
    ("GET", "/v1/runs/01JQDAE4RQ000G40R40M30E20A/jobs"),
    ("POST", "/v1/runs/01JQDAE4RQ000G40R40M30E20A/metadata"),
    ("GET", "/v1/apps/a/functions"),
    ("GET", "/v1/cancellations"),
    ("POST", "/v1/cancellations"),
    ("DELETE", "/v1/cancellations/01JQDAE4RQ000G40R40M30E20A"),
    ("POST", "/v1/signals"),
    ("GET", "/v0/runs/01JQDAE4RQ000G40R40M30E20A/actions"),
    ("GET", "/v0/runs/01JQDAE4RQ000G40R40M30E20A/batch"),
    ("DELETE", "/v0/runs/01JQDAE4RQ000G40R40M30E20A"),
    ("POST", "/fn/register"),
    ("DELETE", "/fn/remove"),
    ("POST", "/fn/step-limit"),
]


@pytest.mark.parametrize(("method", "path"), ASKED)
@pytest.mark.parametrize("authorization", [None, "", KEY[:-1], "Bearer", f"Bearer {KEY[:-1]}9", "Bearer \xff"])
def test_nothing_is_told_or_done_without_the_key(strange, method, path, authorization):
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    answer = strange.request(method, path, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (401, "Authentication failed")
    assert answer.headers["x-inngest-server-kind"] == "cloud"


@pytest.mark.parametrize(("method", "path"), ASKED)
@pytest.mark.parametrize("key", [KEY, FALLBACK])
def test_with_either_key_it_is(strange, method, path, key):
    answer = strange.request(method, path, headers={"authorization": f"Bearer {hash_signing_key(key)}"})

    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize("path", ["/health", "/v0/gql", "/e/key"])
def test_what_browsers_and_senders_ask_for_needs_no_signing_key(strange, path):
    answer = strange.request("GET" if path == "/health" else "POST", path, json={"name": "a", "query": "{__typename}"})

    assert answer.status_code == 200


def test_an_event_needs_an_event_key(strange):
    assert strange.post("/e/other", json={"name": "a"}).status_code == 401


def test_there_is_no_description_of_a_dev_server(stage):
    assert stage.http.get("/dev").status_code == 404


def test_a_dev_server_with_a_key_is_open():
    with DevServer(signing_key=KEY) as dev, httpx.Client(base_url=dev.origin) as http:
        assert http.get("/v1/events").status_code == 200
        assert http.get("/dev").json()["authed"] is True


def test_an_app_in_production_mode_runs_steps_fails_and_is_cancelled(stage):
    def fails():
        raise ValueError("no")

    @stage.function("working")
    def working(ctx):
        yield ctx.step.send_event("tell", inngest.Event(name="test/told"))
        return (yield ctx.step.run("step", lambda: "ran"))

    @stage.function("failing", retries=0)
    def failing(ctx):
        yield ctx.step.run("step", fails)

    assert output(stage.run("working")) == "ran"
    assert stage.events("test/told")
    assert stage.run("failing").status == "failed"


def test_an_app_in_development_is_not_taken(cloud):
    stage = Stage(STACKS[0], cloud, is_production=False)

    @stage.function("fn")
    def fn(ctx):
        return None

    with pytest.raises(Exception, match="did not register"):
        stage.serve()
    stage.close()
