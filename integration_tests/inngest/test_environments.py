"""Apps of a branch environment: the dev server has one environment, and takes them as it takes any other."""

import inngest
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.limits import ENVIRONMENT_ID
from steprig.kernel import VirtualClock

from .graphql_client import GraphQL
from .stacks import STACKS
from .stage import Stage, output

BRANCH = "feature/x"
KEY = "signkey-test-12345678"
RESPONSES = """query T($id: String!) { run(runID: $id) { trace { childrenSpans { response { headers } } } } }"""


@pytest.fixture(params=["option", "variable"])
def branch(request, monkeypatch):
    """How a client is told its environment: the options that it takes for that."""
    if request.param == "option":
        return {"env": BRANCH}
    monkeypatch.setenv("INNGEST_ENV", BRANCH)
    return {}


@pytest.fixture
def requests(monkeypatch):
    """What SDKs send, as paths with the environment that they name."""
    sent = []

    def watch(request):
        sent.append((request.url.path, request.headers.get("x-inngest-env")))

    async def watch_async(request):
        watch(request)

    def watched(client):
        client._http_client._http_client.event_hooks["request"].append(watch_async)
        client._http_client._http_client_sync.event_hooks["request"].append(watch)
        return sent

    return watched


def declare(stage):
    @stage.function("child")
    def child(ctx):
        return "child"

    @stage.function("branched")
    def branched(ctx):
        large = yield ctx.step.run("large", lambda: "x" * (5 << 20) if ctx.event.data.get("large") else "small")
        yield ctx.step.send_event("tell", inngest.Event(name="test/told"))
        return [len(large), (yield ctx.step.invoke("call", function=child))]


def environments_in_answers(stage, run):
    spans = GraphQL(stage).data(RESPONSES, id=run.id)["run"]["trace"]["childrenSpans"]
    return {tuple(span["response"]["headers"]["X-Inngest-Env"]) for span in spans if span["response"]}


def test_an_app_of_a_branch_registers_runs_and_sends_events(dev, branch, requests):
    stage = Stage(STACKS[0], dev, **branch)
    declare(stage)
    sent = requests(stage.client)
    try:
        run = stage.run("branched")

        assert output(run) == [5, "child"]
        assert {path.split("/")[1] for path, environment in sent if environment == BRANCH} >= {"e", "fn"}
        assert {environment for _, environment in sent} == {BRANCH}
        assert environments_in_answers(stage, run) == {(BRANCH,)}
        assert stage.get(f"/v1/runs/{run.id}")["environment_id"] == ENVIRONMENT_ID
        assert stage.events("test/told")
    finally:
        stage.close()


def test_an_app_of_a_branch_in_production_mode_registers_in_band(branch):
    with VirtualClock() as clock, DevServer(clock=clock, kind="cloud", signing_key=KEY) as dev:
        stage = Stage(STACKS[0], dev, is_production=True, signing_key=KEY, event_key="key", **branch)
        declare(stage)
        try:
            run = stage.run("branched")

            assert output(run) == [5, "child"]
            assert environments_in_answers(stage, run) == {(BRANCH,)}
        finally:
            stage.close()


def test_two_branches_of_one_app_are_one_app(dev):
    """As on the real dev server: the one that registered last is called."""
    first, second = stages = [Stage(STACKS[0], dev, env=name) for name in ("one", "two")]
    second.app_id = first.app_id
    second.client.app_id = first.app_id
    try:
        for number, stage in enumerate(stages):
            stage.function("fn")(lambda ctx, number=number: number)
            stage.serve()

        assert output(first.run("fn")) == 1
    finally:
        for stage in stages:
            stage.close()


@pytest.mark.parametrize("path", ["/v1/events", "/dev", "/health"])
def test_requests_of_any_environment_are_answered_alike(one_stage, path):
    plain = one_stage.http.get(path)
    branched = one_stage.http.get(path, headers={"x-inngest-env": BRANCH})

    assert (branched.status_code, branched.json().keys()) == (plain.status_code, plain.json().keys())
