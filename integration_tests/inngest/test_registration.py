"""How apps register, what is refused, and who may."""

import asyncio
import json
import threading
from datetime import timedelta
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

from ..waiting import until
from .graphql_client import GraphQL
from .opcode_app import OpcodeApp
from .stacks import STACKS
from .stage import PATIENCE, Stage, output


def function(fn_id="app-fn", **changes):
    url = "http://127.0.0.1:9/api/inngest?fnId=app-fn&stepId=step"
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": url}}
    return {"id": fn_id, "name": "fn", "triggers": [{"event": "test/e"}], "steps": {"step": step}} | changes


def with_step(**changes):
    return function(steps={"step": function()["steps"]["step"] | changes})


def without_nulls(config):
    return {key: value for key, value in config.items() if value is not None}


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
    answer = stage.http.post("/v0/gql", json={"query": "{ functions { slug } }"})
    return [function["slug"] for function in answer.json()["data"]["functions"]]


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


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (function(name=None), "A function name is required"),
        (function(steps={}), "Functions must contain one step"),
        (with_step(name=""), "All steps must have a name"),
        (with_step(runtime={"type": "http", "url": "ftp://127.0.0.1/x"}), "Non-supported step schema: 'ftp'"),
        (with_step(runtime={"type": "http", "url": "http://[::1"}), "Steps must have a valid URI"),
        (function(triggers=[{"event": f"e{n}"} for n in range(11)]), "exceeds the max number of triggers: 10"),
        (function(triggers=[{"event": ""}]), "triggers[0]: A trigger must supply an event name or a cron schedule"),
        (function(triggers=[{"event": "a", "cron": "* * * * *"}]), "cannot have both an event and a cron trigger"),
        (function(triggers=[{"event": "a"}, {"event": "a"}]), "duplicate trigger event: a"),
        (function(triggers=[{"cron": "* * * * *", "jitter": "6m"}]), "triggers[0].jitter is '6m'; expected 1s to 5m"),
        (function(triggers=[{"cron": "* * * * *", "jitter": "1ms"}]), "triggers[0].jitter is '1ms'; expected 1s to 5m"),
        (function(cancel=[{"event": f"e{n}"} for n in range(6)]), "max number of cancellation events: 5"),
        (function(cancel=[{"event": "a", "timeout": "-1s"}]), "cancel[0].timeout is '-1s'; expected no negative"),
        (
            function(concurrency=[{"limit": 1}] * 3),
            "There are more concurrency limits specified than the allowed max of: 2",
        ),
        (
            function(concurrency=[{"limit": 1, "scope": "env"}]),
            "A concurrency key must be specified for env scoped limits",
        ),
        (function(concurrency={"limit": 1, "scope": "account"}), "A concurrency key must be specified for account"),
        (function(concurrency=-1), "concurrency[0].limit is -1; expected 1 or more, or 0 for no limit"),
        (function(concurrency={"limit": 1, "key": "event.data."}), "concurrency[0].key: "),
        (function(debounce={"period": "500ms"}), "The debounce period of '500ms' is less than the min of: 1s"),
        (function(debounce={"period": ""}), "The debounce period of '' is less than the min of: 1s"),
        (function(debounce={"period": "8d"}), "The debounce period of '8d' is greater than the max of: 168h0m0s"),
        (function(debounce={"period": "5s", "timeout": "x"}), "debounce.timeout: invalid duration 'x'"),
        (function(debounce={"period": "5s", "timeout": "-5s"}), "debounce.timeout is '-5s'; expected no negative"),
        (function(rateLimit={"limit": 0, "period": "1m"}), "rateLimit.limit: limit must be greater than 0"),
        (function(rateLimit={"limit": 1, "period": ""}), "rateLimit.period: period must be specified"),
        (function(rateLimit={"limit": 1, "period": "25h"}), "rateLimit.period: period must be less than 24h0m0s"),
        (function(rateLimit={"limit": 1, "period": "-1h"}), "rateLimit.period: period must be greater than 0s"),
        (function(throttle={"limit": 1, "period": "0s"}), "throttle.period: period must be greater than 0s"),
        (function(throttle={"limit": -1, "period": "1s"}), "throttle.limit is -1; expected 0 or more"),
        (function(throttle={"limit": 1, "period": "1s", "burst": -1}), "throttle.burst is -1; expected 0 or more"),
        (function(batchEvents={"maxSize": 1, "timeout": "5s"}), "batch size cannot be smaller than 2: 1"),
        (function(batchEvents={"maxSize": 2}), "invalid timeout string"),
        (function(batchEvents={"maxSize": 2, "timeout": "999ms"}), "batch timeout should be more than 1s"),
        (function(batchEvents={"maxSize": 2, "timeout": "1d"}), "batchEvents.timeout: invalid duration '1d'"),
        (function(batchEvents={"maxSize": 2, "timeout": "5s"}, singleton={"mode": "skip"}), "combined with singleton"),
        (function(timeouts={"start": "-1s"}), "timeouts.start is '-1s'; expected no negative"),
        (function(timeouts={"finish": "soon"}), "timeouts.finish: invalid duration 'soon'"),
        (function(priority={"run": "event.data."}), "priority.run: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_function_is_said_in_the_platforms_words(one_stage, register, bad, complaint):
    answer = register(body(without_nulls(bad)))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("At least one function is invalid: 'app-fn': ")
    assert complaint in answer.json()["error"]
    assert registered(one_stage) == []


@pytest.mark.parametrize("mode", ["join", "queue", "", None, 1])
def test_a_mode_of_a_singleton_that_there_is_not_is_an_invalid_request(register, mode):
    answer = register(body(function(singleton={"mode": mode})))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Invalid request: ")


@pytest.mark.parametrize(
    "fine",
    [
        {"debounce": {"period": "1s"}},
        {"debounce": {"period": "7d", "timeout": "30d"}},
        {"rateLimit": {"limit": 1, "period": "24h"}},
        {"throttle": {"limit": 0, "period": "1s"}},
        {"batchEvents": {"maxSize": 10_000, "timeout": "1s"}},
        {"batchEvents": {"maxSize": 2, "timeout": "2h"}},
        {"concurrency": 0},
        {"concurrency": {"limit": 5, "key": "event.data.id"}},
        {"concurrency": [{"limit": 5}, {"limit": 1, "key": "event.data.id", "scope": "env"}]},
        {"triggers": [{"event": f"e{n}"} for n in range(10)]},
        {"triggers": [{"event": "a"}, {"event": "a", "expression": "event.data.x == 1"}]},
        {"triggers": [{"cron": "* * * * *", "jitter": "5m"}]},
        {"cancel": [{"event": f"e{n}"} for n in range(5)]},
        {"singleton": {"mode": "skip"}},
        {"singleton": {"mode": "cancel", "key": "event.data.id"}},
        {"timeouts": {"start": "1s", "finish": "0s"}},
        {"priority": {}},
    ],
    ids=json.dumps,
)
def test_what_is_at_the_edge_is_fine(one_stage, register, fine):
    assert register(body(function(**fine))).status_code == 200
    assert registered(one_stage) == ["app-fn"]


def test_a_throttle_of_nothing_lets_one_start_in_a_period(one_stage):
    """As on the real server, which reads 0 as 1."""

    @one_stage.function("zero", throttle=inngest.Throttle(limit=0, period=timedelta(hours=1), burst=0))
    def zero(ctx):
        return None

    first, second = one_stage.run("zero"), one_stage.run("zero")
    assert second.started_at - first.started_at >= timedelta(minutes=59)


def test_one_concurrency_limit_need_not_be_in_a_list(one_stage):
    """The JavaScript SDK sends it as it was written."""
    go_on = threading.Event()

    class Limited(OpcodeApp):
        def _config(self, slug, url, retries):
            return super()._config(slug, url, retries) | {"concurrency": {"limit": 1}}

        async def _answer(self, request):
            answer = await super()._answer(request)
            await asyncio.to_thread(go_on.wait, PATIENCE)
            return answer

    with Limited(one_stage) as app:
        app.function("limited")(lambda body: "done")
        runs = [app.start("limited") for _ in range(3)]
        until(lambda: app.bodies)
        statuses = [one_stage.get(f"/v1/runs/{run_id}")["status"] for run_id in runs]
        go_on.set()
        for run_id in runs:
            one_stage.ended(run_id)
        found = GraphQL(one_stage).data(
            "query Q($slug: String!) { functionBySlug(query: {functionSlug: $slug}) "
            "{ configuration { concurrency { scope limit { value } key } } } }",
            slug=f"{one_stage.app_id}-limited",
        )["functionBySlug"]

    assert sorted(statuses) == ["Running", "Scheduled", "Scheduled"]
    assert found == {"configuration": {"concurrency": [{"scope": "FUNCTION", "limit": {"value": 1}, "key": None}]}}


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

    for headers in ({"authorization": ""}, {"authorization": "Bearer wrong"}):
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
