"""How apps register, what is refused, and who may."""

import json
from uuid import UUID

import inngest
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.dev_server import DevServer
from steprig.inngest.syncing import SyncError
from steprig.kernel import VirtualClock
from steprig.live import UvicornTestServer

from .stacks import STACKS
from .stage import Stage, output


def function(fn_id="app-fn", **changes):
    url = "http://127.0.0.1:9/api/inngest?fnId=app-fn&stepId=step"
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": url}}
    return {"id": fn_id, "name": "fn", "triggers": [{"event": "test/e"}], "steps": {"step": step}} | changes


def body(*functions, **changes):
    return {
        "appname": "app",
        "deployType": "ping",
        "framework": "flask",
        "functions": list(functions),
        "sdk": "py:v0.5.18",
        "url": "http://127.0.0.1:9/api/inngest",
        "v": "0.1",
    } | changes


@pytest.fixture
def register(one_stage):
    def register(content, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        return one_stage.http.post("/fn/register", content=content, headers=headers)

    return register


def registered(stage):
    return [function["id"] for function in stage.http.get("/dev").json()["functions"]]


# --- What the SDK sends -----------------------------------------------------------------------------------


def test_an_app_registers_with_all_its_functions(stage):
    @stage.function("one")
    def one(ctx):
        return None

    @stage.function("two", retries=3, on_failure=lambda ctx: None)
    def two(ctx):
        return None

    stage.serve()

    assert sorted(registered(stage)) == [f"{stage.app_id}-{name}" for name in ("one", "two", "two-failure")]


def test_the_same_registration_again_changes_nothing(register):
    first, second = register(body(function())).json(), register(body(function())).json()

    assert (first["ok"], first["modified"]) == (True, True)
    assert second == first | {"modified": False}
    assert str(UUID(first["app_id"])) == first["app_id"]
    assert UUID(first["sync_id"])


def test_a_changed_registration_is_modified(register):
    register(body(function()))

    assert register(body(function(name="another"))).json()["modified"] is True


@pytest.mark.parametrize("key", ["appname", "appName", "AppName", "APPNAME"])
def test_keys_are_read_whatever_their_case(one_stage, register, key):
    content = body(function())
    content[key] = content.pop("appname")

    assert register(content).status_code == 200
    assert registered(one_stage) == ["app-fn"]


@pytest.mark.parametrize(
    "content", [body(), body(function(surprise={"a": 1}), surprise=2), body(function(triggers=[]))]
)
def test_no_functions_no_triggers_and_unknown_keys_are_fine(register, content):
    assert register(content).json()["ok"] is True


# --- What is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", b"[]", b"5", b"\xff", b"[" * 100_000, body(functions=5), body(5), body(function(triggers=5))],
    ids=str,
)
def test_a_body_that_cannot_be_read_is_an_invalid_request(register, content):
    answer = register(content)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Invalid request: ")


@pytest.mark.parametrize("name", ["", None])
def test_an_app_needs_a_name(register, name):
    content = body(function(), appname=name)
    if name is None:
        del content["appname"]
    answer = register(content)

    assert (answer.status_code, answer.json()) == (400, {"error": "App ID required", "data": None, "status": 400})


@pytest.mark.parametrize(
    "bad",
    [
        function(id=""),
        function(name=""),
        function(steps={}),
        function(steps={"a": function()["steps"]["step"], "b": function()["steps"]["step"]}),
        function(triggers=[{}]),
        function(triggers=[{"event": "a", "cron": "* * * * *"}]),
        function(triggers=[{"event": "a"}, {"event": "a"}]),
        function(triggers=[{"event": f"e{number}"} for number in range(11)]),
        function(triggers=[{"cron": "@every 5s"}]),
        function(triggers=[{"cron": "* * * * * *"}]),
        function(triggers=[{"cron": "61 * * * *"}]),
        function(triggers=[{"cron": "TZ=No/Where * * * * *"}]),
        function(triggers=[{"event": "a", "expression": "(("}]),
        function(cancel=[{"event": "a", "if": "size(event.data.x) == 1"}]),
        function(cancel=[{"event": f"e{number}"} for number in range(6)]),
        function(concurrency=[{"limit": 1, "scope": "env"}]),
        function(concurrency=[{"limit": number} for number in range(3)]),
        function(debounce={"period": "never"}),
        function(batchEvents={"maxSize": 5, "timeout": "1d"}),
        function(batchEvents={"maxSize": 5, "timeout": "5s"}, debounce={"period": "5s"}),
        function(idempotency="event.data."),
    ],
    ids=json.dumps,
)
def test_an_invalid_function_is_refused_and_nothing_is_half_registered(one_stage, register, bad):
    register(body(function("app-before")))
    answer = register(body(function("app-good"), bad, url="http://127.0.0.1:10/elsewhere"))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("At least one function is invalid")
    assert (answer.json()["data"], answer.json()["status"]) == (None, 400)
    assert registered(one_stage) == ["app-before"]


@pytest.mark.parametrize("cron", ["* * * * *", "TZ=Europe/Paris 0 12 * * 1-5", "*/5 0-3 1,15 * *"])
def test_crons_of_five_fields_are_fine(register, cron):
    assert register(body(function(triggers=[{"cron": cron}]))).status_code == 200


def test_an_app_that_expects_another_kind_of_server_is_refused(one_stage, register):
    answer = register(body(function()), **{"x-inngest-expected-server-kind": "cloud"})

    assert (answer.status_code, answer.json()) == (400, {"error": "Expected server kind dev, got cloud"})
    assert registered(one_stage) == []
    assert register(body(function()), **{"x-inngest-expected-server-kind": "dev"}).status_code == 200


# --- sync ---------------------------------------------------------------------------------------------------


def test_an_app_that_does_not_listen_is_unreachable(dev):
    with pytest.raises(SyncError, match="unreachable"):
        dev.sync("http://127.0.0.1:9/api/inngest")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/api", "nonsense", "http://"])
def test_a_url_that_is_none_is_a_sync_error(dev, url):
    with pytest.raises(SyncError, match="unsupported_protocol"):
        dev.sync(url)


def test_https_to_a_server_that_speaks_http_is_a_sync_error(stage):
    @stage.function("fn")
    def fn(ctx):
        return None

    server = stage.serve()
    with pytest.raises(SyncError):
        # Tornado waits for the end of a line that does not come.
        stage.dev.sync(server.url("/api/inngest").replace("http:", "https:"), timeout=1)


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (200, b"<h1>It works!</h1>", "200"),
        (200, b'{"hello": "world"}', "200"),
        (404, b"", "url_not_found"),
        (405, b"", "405"),
        (500, b"oops", "internal_server_error"),
        (401, b"{}", "unauthorized"),
        (403, b"{}", "forbidden"),
        (400, b'{"code":"x","message":"what the SDK says"}', "what the SDK says"),
        (200, b'{"ok":false,"error":"Invalid request: no"}', "Invalid request: no"),
        (302, b"", "302"),
    ],
)
def test_what_something_that_is_no_app_answers_is_in_the_error(dev, status, content, said):
    async def answer(request: Request) -> Response:
        return Response(content, status, headers={"x-inngest-sdk": "py:v0"} if b'"ok"' in content else {})

    with (
        UvicornTestServer(Starlette(routes=[Route("/sdk", answer, methods=["PUT"])])) as server,
        pytest.raises(SyncError, match=said),
    ):
        dev.sync(server.url("/sdk"))


def test_an_app_whose_functions_are_refused_is_a_sync_error_that_says_why(one_stage):
    @one_stage.function("bad", inngest.TriggerCron(cron="every day"))
    def bad(ctx):
        return None

    with pytest.raises(SyncError, match="At least one function is invalid"):
        one_stage.serve()


def test_an_app_in_production_mode_is_refused_by_a_dev_server(dev):
    stage = Stage(STACKS[0], dev, is_production=True, signing_key="signkey-test-deadbeef", event_key="key")

    @stage.function("fn")
    def fn(ctx):
        return None

    with pytest.raises(SyncError):
        stage.serve()
    stage.close()


# --- Signatures -----------------------------------------------------------------------------------------------

KEY = "signkey-test-12345678"


@pytest.fixture
def cloud():
    with VirtualClock() as clock, DevServer(clock=clock, kind="cloud", signing_key=KEY) as server:
        yield server


def production_stage(stack, dev, key=KEY):
    stage = Stage(stack, dev, is_production=True, signing_key=key, event_key="key")

    @stage.function("signed")
    def signed(ctx):
        return (yield ctx.step.run("step", lambda: "ran"))

    return stage


@pytest.mark.parametrize("stack", STACKS, ids=[stack.name for stack in STACKS])
def test_an_app_in_production_mode_registers_in_band_and_accepts_signed_calls(stack, cloud):
    stage = production_stage(stack, cloud)

    assert output(stage.run("signed")) == "ran"
    stage.close()


@pytest.mark.parametrize("stack", STACKS, ids=[stack.name for stack in STACKS])
def test_an_app_with_another_key_is_not_registered(stack, cloud):
    stage = production_stage(stack, cloud, "signkey-test-87654321")

    with pytest.raises(SyncError) as caught:
        stage.serve()
    assert "12345678" not in str(caught.value)
    assert registered(stage) == []
    stage.close()


def test_a_call_that_is_signed_with_another_key_is_refused_by_the_app(cloud):
    stage = production_stage(STACKS[0], cloud)
    server = stage.serve()

    unsigned = stage.http.post(server.url("/api/inngest?fnId=x&stepId=step"), json={})

    assert unsigned.status_code == 401
    stage.close()


def test_a_registration_without_the_key_is_refused(cloud):
    stage = production_stage(STACKS[0], cloud)

    for headers in ({}, {"authorization": "Bearer wrong"}):
        assert stage.http.post("/fn/register", json=body(function()), headers=headers).status_code == 401
    assert registered(stage) == []
    stage.close()


def test_large_states_are_fetched_by_an_app_in_production_mode(cloud):
    stage = Stage(STACKS[0], cloud, is_production=True, signing_key=KEY, event_key="key")

    @stage.function("large")
    def large(ctx):
        total = 0
        for number in range(6):
            total += len((yield ctx.step.run(f"part {number}", lambda: "x" * (1 << 20))))
        return total

    assert output(stage.run("large")) == 6 << 20
    stage.close()
