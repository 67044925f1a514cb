"""Apps that the server asks: told of at start, found on this machine, asked again, changed and removed meanwhile."""

import json
import socket
from datetime import timedelta

import httpx
import inngest
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from steprig.inngest import syncing
from steprig.inngest.dev_server import DevServer
from steprig.inngest.signing import hash_signing_key
from steprig.kernel import VirtualClock
from steprig.live import UvicornTestServer

from ..waiting import until
from . import js_app
from .graphql_client import GraphQL
from .opcode_app import OpcodeApp
from .stacks import STACKS
from .stage import PATIENCE, Stage, output

APPS = "{ apps { name url connected error autodiscovered functionCount } }"
KEY = "signkey-test-12345678"


@pytest.fixture
def with_server():
    """Makes a stage on a dev server with other options."""
    started = []

    def make(*, auto=True, **options):
        clock = VirtualClock(auto=auto)
        dev = DevServer(clock=clock, **options).start()
        stage = Stage(STACKS[0], dev)
        started.append((stage, dev, clock))
        return stage

    yield make
    for stage, dev, clock in started:
        stage.close()
        dev.stop()
        clock.close()


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def declare(stage, *names):
    for name in names:
        stage.function(name)(lambda ctx: None)


def serve(stage, port):
    """Serve what is declared, and tell nobody."""
    app = stage.stack.serve(stage.client, list(stage._functions.values()))
    return UvicornTestServer(app, port=port, strict_port=True, lifespan="off")


def apps(stage):
    return GraphQL(stage).data(APPS)["apps"]


def the_app(stage, **wanted):
    """The one app, once it is as wished."""

    def found():
        shown = apps(stage)
        return shown[0] if shown and wanted.items() <= shown[0].items() else None

    return until(found)


# --- Told of at start -------------------------------------------------------------------------------------


def test_an_app_is_asked_until_it_is_there(with_server, port, monkeypatch):
    monkeypatch.setattr(syncing, "_RETRY_EVERY", 0.05)
    stage = with_server(sdk_urls=[f"http://127.0.0.1:{port}/api/inngest"])
    declare(stage, "one")
    assert apps(stage) == []

    with serve(stage, port):
        app = the_app(stage, connected=True, error=None)

        assert (app["name"], app["functionCount"], app["autodiscovered"]) == (stage.app_id, 1, False)


# --- Asked again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told_of", [True, False])
def test_an_app_that_is_polled_is_known_to_be_down_and_up_and_changed(with_server, port, told_of):
    url = f"http://127.0.0.1:{port}/api/inngest"
    stage = with_server(sdk_urls=[url] if told_of else [], poll_interval=0.05)
    declare(stage, "one")
    with serve(stage, port):
        if not told_of:
            httpx.put(url, timeout=PATIENCE).raise_for_status()  # the app registers by itself
        the_app(stage, functionCount=1, connected=True)
    the_app(stage, connected=False, error="unreachable")

    declare(stage, "two")
    with serve(stage, port):
        the_app(stage, functionCount=2, connected=True, error=None)


def test_an_app_that_fails_says_with_which_code(with_server, port):
    stage = with_server(poll_interval=0.05)
    declare(stage, "one")
    with serve(stage, port) as server:
        stage.dev.sync(server.url("/api/inngest"))
        the_app(stage, connected=True)
    with UvicornTestServer(Starlette(), port=port, strict_port=True):
        the_app(stage, connected=False, error="url_not_found")
        assert stage.http.get("/dev").json()["handlers"][0]["sdk"]["error"] == "url_not_found"


def test_an_app_that_has_registered_is_not_asked_again_where_that_is_not_wanted(with_server, port, monkeypatch):
    asked = []

    async def register(request):
        asked.append("app")
        body = {"appname": "quiet", "url": str(request.url), "sdk": "py:v1", "functions": []}
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            (await http.post(f"{stage.dev.origin}/fn/register", json=body)).raise_for_status()
        return JSONResponse({"ok": True}, headers={"x-inngest-sdk": "py:v1"})

    async def refuse(request):
        asked.append("other")
        return JSONResponse({}, 404)

    monkeypatch.setattr(syncing, "_RETRY_EVERY", 0.02)
    routes = [Route("/app", register, methods=["PUT"]), Route("/other", refuse, methods=["PUT"])]
    stage = with_server(sdk_urls=[f"http://127.0.0.1:{port}/{name}" for name in ("app", "other")])
    with UvicornTestServer(Starlette(routes=routes), port=port, strict_port=True):
        the_app(stage, name="quiet", connected=True)
        until(lambda: asked.count("other") > 5)

    assert asked.count("app") == 1


# --- Found on this machine --------------------------------------------------------------------------------


def test_an_app_on_a_usual_port_is_found_once(with_server, port, monkeypatch):
    monkeypatch.setattr(syncing, "_DISCOVERY_PORTS", (port,))
    monkeypatch.setattr(syncing, "_DISCOVERY_EVERY", 0.05)
    stage = with_server(discovery=True)
    declare(stage, "one")
    with serve(stage, port):
        app = the_app(stage, autodiscovered=True)

        assert (app["name"], app["url"]) == (stage.app_id, f"http://127.0.0.1:{port}/api/inngest")


def test_what_is_no_app_is_not_taken_for_one(with_server, port, monkeypatch):
    asked = []

    async def answer(request):
        asked.append(request.method)
        return JSONResponse({})

    monkeypatch.setattr(syncing, "_DISCOVERY_PORTS", (port,))
    monkeypatch.setattr(syncing, "_DISCOVERY_EVERY", 0.01)
    routes = [Route("/{path:path}", answer, methods=["GET", "PUT", "POST"])]
    with UvicornTestServer(Starlette(routes=routes), port=port, strict_port=True):
        stage = with_server(discovery=True)
        until(lambda: len(asked) > 8)

    assert (set(asked), apps(stage)) == ({"GET"}, [])


# --- Changed and removed while runs are under way -----------------------------------------------------------


@pytest.fixture
def under_way(one_stage):
    """A run that waits, of an app that is served. Gives the run's id and the app's URL."""

    @one_stage.function("waiting", retries=1)
    def waiting(ctx):
        yield ctx.step.run("before", lambda: 1)
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(days=1))
        yield ctx.step.run("after", lambda: 2)
        return "done"

    url = one_stage.serve().url("/api/inngest")
    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")
    return run_id, url


def remove_by_url(stage, url):
    stage.http.delete("/fn/remove", params={"url": url}).raise_for_status()


def remove_by_its_other_name(stage, url):
    stage.http.delete("/fn/remove", params={"url": url.replace("127.0.0.1", "localhost")}).raise_for_status()


def remove_by_id(stage, url):
    graphql = GraphQL(stage)
    (app,) = graphql.data("{ apps { id } }")["apps"]
    assert graphql.data("mutation D($id: String!) { deleteApp(id: $id) }", id=app["id"])["deleteApp"] == app["id"]


def remove_by_name(stage, url):
    query = "mutation D($name: String!) { deleteAppByName(name: $name) }"
    assert GraphQL(stage).data(query, name=stage.app_id)["deleteAppByName"] is True


REMOVALS = [remove_by_url, remove_by_its_other_name, remove_by_id, remove_by_name]


@pytest.mark.parametrize("remove", REMOVALS)
def test_a_run_goes_on_after_its_app_was_removed_and_nothing_new_is_started(one_stage, under_way, remove):
    run_id, url = under_way
    remove(one_stage, url)

    assert apps(one_stage) == []
    assert one_stage.runs_of(one_stage.send("test/waiting")) == []
    one_stage.send("test/go")
    assert output(one_stage.ended(run_id)) == "done"
    shown = GraphQL(one_stage).data(
        "query R($id: String!) { run(runID: $id) { app { name } function { slug name } } }", id=run_id
    )["run"]
    slug = f"{one_stage.app_id}-waiting"
    assert shown == {"app": {"name": one_stage.app_id}, "function": {"slug": slug, "name": "waiting"}}


def test_an_app_that_was_removed_and_registers_again_is_started_again(one_stage, under_way):
    _, url = under_way
    remove_by_url(one_stage, url)
    one_stage.dev.sync(url)

    run_id = one_stage.start("waiting")
    one_stage.waiting(run_id, "wait")


def test_a_run_can_be_cancelled_after_its_app_was_removed(one_stage, under_way):
    run_id, url = under_way
    remove_by_url(one_stage, url)

    assert one_stage.http.delete(f"/v1/runs/{run_id}").status_code == 200
    assert one_stage.ended(run_id).status == "cancelled"


def test_a_run_fails_where_its_app_was_removed_and_does_not_answer(one_stage, under_way):
    run_id, url = under_way
    remove_by_url(one_stage, url)
    one_stage._servers[0].stop()
    one_stage.send("test/go")

    run = one_stage.ended(run_id)
    assert (run.status, run.failure.message) == ("failed", "Unable to reach SDK URL")


def test_a_waiting_run_keeps_the_retries_that_it_was_started_with(one_stage):
    def fails():
        raise ValueError("no")

    def declare(retries):
        @one_stage.function("changed", retries=retries)
        def changed(ctx):
            yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(days=1))
            yield ctx.step.run("fails", fails)

    declare(3)
    before = one_stage.start("changed")
    one_stage.waiting(before, "wait")
    declare(0)
    one_stage.serve()
    after = one_stage.start("changed")
    one_stage.waiting(after, "wait")
    one_stage.send("test/go")

    attempts = {run_id: one_stage.ended(run_id).spans[1].attempts for run_id in (before, after)}
    assert attempts == {before: 4, after: 1}


def test_a_trigger_that_has_changed_starts_nothing_under_its_old_name(one_stage):
    @one_stage.function("moved")
    def moved(ctx):
        return "old"

    one_stage.serve()

    @one_stage.function("moved", inngest.TriggerEvent(event="test/elsewhere"))
    def moved_on(ctx):
        return "new"

    one_stage.serve()

    assert one_stage.runs_of(one_stage.send("test/moved")) == []
    (run,) = one_stage.runs_of(one_stage.send("test/elsewhere"))
    assert output(one_stage.ended(run["run_id"])) == "new"


def declare_held(stage, gives):
    stage.function("held", debounce=inngest.Debounce(period=timedelta(hours=1)))(lambda ctx: gives)


def test_an_event_that_is_held_starts_what_the_function_has_become(with_server):
    stage = with_server(auto=False)
    declare_held(stage, "old")
    stage.send("test/held")
    declare_held(stage, "new")
    stage.serve()
    stage.clock.advance(hours=2)

    assert output(stage.only_run("held")) == "new"


# --- Kinds of servers, and ways to register -----------------------------------------------------------------


def test_an_app_that_refuses_to_register_in_band_registers_out_of_band(monkeypatch):
    """As SDKs do with `INNGEST_ALLOW_IN_BAND_SYNC=0`: the answer says nothing of functions, which come separately."""
    asked = []

    async def answer(request):
        asked.append((request.headers.get("x-inngest-sync-kind"), "x-inngest-signature" in request.headers))
        url = str(request.url)
        runtime = {"type": "http", "url": f"{url}?fnId=app-fn&stepId=step"}
        function = {
            "id": "app-fn",
            "name": "fn",
            "triggers": [{"event": "test/fn"}],
            "steps": {"step": {"id": "step", "name": "step", "runtime": runtime}},
        }
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            registered = await http.post(
                f"{dev.origin}/fn/register",
                json={"appname": "app", "url": url, "sdk": "js:v4", "functions": [function]},
                headers={
                    "authorization": f"Bearer {hash_signing_key(KEY)}",
                    "x-inngest-expected-server-kind": request.headers["x-inngest-server-kind"],
                },
            )
        return JSONResponse(registered.json(), registered.status_code, headers={"x-inngest-sdk": "js:v4"})

    with (
        DevServer(kind="cloud", signing_key=KEY) as dev,
        UvicornTestServer(Starlette(routes=[Route("/sdk", answer, methods=["PUT"])])) as app,
    ):
        dev.sync(app.url("/sdk"))
        shown = httpx.post(f"{dev.origin}/v0/gql", json={"query": "{ functions { slug } }"}).json()

    assert asked == [("in_band", True)]
    assert shown["data"]["functions"] == [{"slug": "app-fn"}]


@pytest.mark.parametrize("allowed", ["0", "1"])
def test_an_app_of_the_npm_sdk_registers_in_band_or_out_of_band(packages, monkeypatch, allowed):
    monkeypatch.setenv("INNGEST_ALLOW_IN_BAND_SYNC", allowed)
    (signed,) = (variant for variant in js_app.VARIANTS if variant.name == "signed")
    with js_app.staged(packages, signed) as stage:
        assert output(stage.run("echo", {"n": 1})) == {"n": 1}


@pytest.mark.parametrize(("kind", "is_production"), [("dev", True), ("cloud", False)])
def test_an_app_of_another_mode_does_not_register_and_says_why(kind, is_production):
    with DevServer(kind=kind, signing_key=KEY) as dev:
        stage = Stage(STACKS[0], dev, is_production=is_production, signing_key=KEY, event_key="key")
        declare(stage, "fn")
        with pytest.raises(syncing.SyncError, match=r"Dev Server|signature|Signature"):
            stage.serve()
        assert apps(stage) == []
        stage.close()


def test_an_app_that_answers_calls_with_an_older_version_runs(one_stage):
    """The version of an SDK's requests is that of its answers, not of its registration."""
    with OpcodeApp(one_stage) as app:

        @app.function("plain")
        def plain(body):
            return json.dumps(body["ctx"]["attempt"])

        assert output(app.run("plain")) == "0"
