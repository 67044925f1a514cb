"""Requests that the server makes for steps: `step.ai.infer` and fetches through the gateway."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
from inngest.experimental.ai import anthropic, gemini, openai
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from steprig.live import UvicornTestServer

from .opcode_app import OpcodeApp
from .stage import PATIENCE, output


class Provider:
    """Answers what it is told to, one after the other, the last for ever. Keeps what it was asked."""

    def __init__(self):
        self.requests = []
        self.answers = [JSONResponse({"choices": ["hello"]})]
        route = Route("/{path:path}", self.answer, methods=["GET", "POST", "PUT"])
        self.server = UvicornTestServer(Starlette(routes=[route]))

    async def answer(self, request):
        self.requests.append((request, await request.body()))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def headers(self):
        return self.requests[0][0].headers


@pytest.fixture
def provider():
    provider = Provider()
    with provider.server:
        yield provider


@pytest.fixture
def opcode_app(one_stage):
    with OpcodeApp(one_stage) as app:
        yield app


def infers(stage, adapter, **options):
    @stage.function("asks", **options)
    def asks(ctx):
        answer = yield ctx.step.ai.infer("ask", adapter=adapter, body={"messages": ["hi"]})
        return answer

    return asks


def adapter_for(provider):
    return openai.Adapter(auth_key="secret", base_url=provider.server.base_url, model="gpt", headers={"x-team": "a"})


def span_in_graphql(stage, run_id):
    query = "query Q($id: String!) { run(runID: $id) { trace { childrenSpans { name stepOp outputID attempts } } } }"
    body = {"query": query, "variables": {"id": run_id}}
    span = stage.http.post("/v0/gql", json=body).json()["data"]["run"]["trace"]["childrenSpans"][0]
    query = (
        "query Q($id: String!) { runTraceSpanOutputByID(outputID: $id) { input data error { name message stack } } }"
    )
    body = {"query": query, "variables": {"id": span["outputID"]}}
    return span | stage.http.post("/v0/gql", json=body).json()["data"]["runTraceSpanOutputByID"]


def test_infer_gives_what_the_provider_answers(one_stage, provider):
    infers(one_stage, adapter_for(provider))

    run = one_stage.run("asks")

    assert output(run) == {"choices": ["hello"]}
    assert one_stage.calls_of("asks") == ["step", "step"]
    request, body = provider.requests[0]
    assert (len(provider.requests), request.method, request.url.path) == (1, "POST", "/chat/completions")
    assert json.loads(body) == {"messages": ["hi"], "model": "gpt"}


def test_infer_sends_the_key_and_the_headers_of_its_adapter(one_stage, provider):
    infers(one_stage, adapter_for(provider))

    one_stage.run("asks")

    assert provider.headers["authorization"] == "Bearer secret"
    assert provider.headers["content-type"] == "application/json"
    assert provider.headers["x-team"] == "a"


def test_names_of_headers_are_sent_in_title_case(one_stage):
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        listener.settimeout(PATIENCE)
        seen = threads.submit(answer_one_request, listener)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        infers(one_stage, openai.Adapter(auth_key="k", base_url=url, model="m", headers={"x-my-team": "a"}))

        one_stage.run("asks")

        names = [line.partition(b":")[0].decode() for line in seen.result(PATIENCE).splitlines()[1:]]
    assert {"Host", "Content-Type", "Authorization", "X-My-Team", "Content-Length"} <= set(names)


def answer_one_request(listener):
    """Take one request, answer it, and return its head."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(PATIENCE)
        request = b""
        while b"\r\n\r\n{" not in request or not request.endswith(b"}"):
            request += connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    return request.partition(b"\r\n\r\n")[0]


def test_anthropic_takes_its_key_in_a_header_of_its_own(one_stage, provider):
    adapter = anthropic.Adapter(auth_key="secret", base_url=provider.server.base_url, model="c")
    infers(one_stage, adapter)

    one_stage.run("asks")

    assert "secret" in provider.headers["x-api-key"]
    assert "authorization" not in provider.headers


def test_gemini_takes_its_key_in_the_query(one_stage, provider):
    infers(one_stage, gemini.Adapter(auth_key="se cret", base_url=provider.server.base_url, model="g"))

    one_stage.run("asks")

    assert provider.requests[0][0].query_params.multi_items() == [("key", "se cret")]
    assert "authorization" not in provider.headers


def test_an_infer_that_fails_is_reported_anew_by_the_next_attempt(one_stage, provider):
    provider.answers = [Response(b"busy", 503, {"retry-after": "7200"}), JSONResponse({"choices": []})]
    infers(one_stage, adapter_for(provider), retries=1)
    before = one_stage.clock.now()

    run = one_stage.run("asks")

    assert output(run) == {"choices": []}
    assert one_stage.calls_of("asks") == ["step", "step", "step"]
    assert timedelta(seconds=15) <= one_stage.clock.now() - before < timedelta(seconds=60)
    (span,) = (span for span in run.spans if span.name == "ask")
    assert [child.status for child in span.children] == ["failed", "completed"]


def test_an_infer_that_fails_for_good_raises_in_the_function(one_stage, provider):
    provider.answers = [JSONResponse({"why": "no"}, 429)]
    infers(one_stage, adapter_for(provider), retries=1)

    run = one_stage.run("asks")

    assert run.failure.message == "Error making AI request: unsuccessful status code: 429"
    assert len(provider.requests) == 2
    span = span_in_graphql(one_stage, run.id)
    assert (span["error"]["name"], span["error"]["stack"], span["attempts"]) == ("AIGatewayError", '{"why":"no"}', 1)


def test_an_infer_whose_provider_is_not_there_fails(one_stage):
    infers(one_stage, openai.Adapter(auth_key="k", base_url="http://127.0.0.1:1", model="m"), retries=0)

    assert one_stage.run("asks").failure.message.startswith("Error making AI request: ")


def test_graphql_shows_an_infer_with_its_input_and_its_output_wrapped(one_stage, provider):
    infers(one_stage, adapter_for(provider))

    span = span_in_graphql(one_stage, one_stage.run("asks").id)

    assert (span["name"], span["stepOp"], span["error"]) == ("ask", "AI_GATEWAY", None)
    assert json.loads(span["data"]) == {"data": {"choices": ["hello"]}}
    assert json.loads(span["input"]) == {"messages": ["hi"], "model": "gpt"}


def test_infers_of_a_group_are_made_at_the_same_time_and_joined_once(one_stage, provider):
    @one_stage.function("asks")
    def asks(ctx):
        def ask(name):
            return lambda: ctx.step.ai.infer(name, adapter=adapter_for(provider), body={"messages": [name]})

        answers = yield ctx.group.parallel((ask("a"), ask("b"), lambda: ctx.step.sleep("nap", timedelta(days=1))))
        return list(answers)

    run = one_stage.run("asks")

    assert output(run) == [{"choices": ["hello"]}] * 2 + [None]
    assert (len(provider.requests), one_stage.calls_of("asks")) == (2, ["step", "step"])


def test_cancelling_a_run_lets_go_of_its_request(opcode_app, one_stage):
    asked, let_go = Event(), Event()

    class Silent:
        async def __call__(self, scope, receive, send):
            asked.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            let_go.set()

    with UvicornTestServer(Silent(), lifespan="off") as silent:

        @opcode_app.function("fetches")
        def fetches(body):
            return [{"op": "Gateway", "id": "id", "displayName": "get", "opts": {"url": silent.base_url}}]

        run_id = opcode_app.start("fetches")
        assert asked.wait(PATIENCE)
        one_stage.http.delete(f"/v1/runs/{run_id}").raise_for_status()

        assert one_stage.ended(run_id).status == "cancelled"
        assert let_go.wait(PATIENCE)


def test_a_fetch_gives_status_headers_and_body(opcode_app, provider):
    provider.answers = [Response("tea", 418, {"x-pot": "full"})]
    options = {"url": f"{provider.server.base_url}/x?q=1", "method": "PUT", "headers": {"x-cup": "1"}, "body": "leaf"}

    @opcode_app.function("fetches")
    def fetches(body):
        if "id" not in body["steps"]:
            return [{"op": "Gateway", "id": "id", "displayName": "get", "opts": options}]
        return body["steps"]["id"]

    result = output(opcode_app.run("fetches"))["data"]

    assert (result["url"], result["status_code"], result["body"]) == (options["url"], 418, "tea")
    assert result["headers"]["X-Pot"] == "full"
    request, body = provider.requests[0]
    assert (request.method, request.url.query, request.headers["x-cup"], body) == ("PUT", "q=1", "1", b"leaf")


def test_a_fetch_that_nobody_answers_is_an_error_of_the_step(opcode_app):
    @opcode_app.function("fetches")
    def fetches(body):
        if "id" not in body["steps"]:
            return [{"op": "Gateway", "id": "id", "displayName": "get", "opts": {"url": "http://127.0.0.1:1"}}]
        return body["steps"]["id"]

    error = output(opcode_app.run("fetches", retries=1))["error"]

    assert error.keys() == {"name", "message"}
    assert (error["name"], error["message"][:30]) == ("GatewayError", "Error making gateway request: ")
    assert [body["ctx"]["attempt"] for body in opcode_app.bodies] == [0, 1, 0]


def two_requests(opcode_app, *urls):
    """A function that asks for two requests in one reply, and gives what they have come to."""

    @opcode_app.function("fetches")
    def fetches(body):
        ops = [
            {"op": "Gateway", "id": f"id{index}", "displayName": f"get {index}", "opts": {"url": url}}
            for index, url in enumerate(urls)
            if f"id{index}" not in body["steps"]
        ]
        return ops or body["steps"]


def test_when_two_requests_of_a_call_fail_it_is_made_again_once(opcode_app):
    two_requests(opcode_app, "http://127.0.0.1:1", "http://127.0.0.1:2")

    run = opcode_app.run("fetches", retries=2)

    assert [body["ctx"]["attempt"] for body in opcode_app.bodies] == [0, 1, 2, 0]
    assert {memo["error"]["name"] for memo in output(run).values()} == {"GatewayError"}
    assert [(span.name, [child.status for child in span.children]) for span in run.spans[:-1]] == [
        ("get 0", ["failed"] * 3),
        ("get 1", ["failed"] * 3),
    ]


def test_when_one_of_two_requests_fails_that_one_alone_is_made_again(opcode_app, provider):
    two_requests(opcode_app, "http://127.0.0.1:1", provider.server.base_url)

    result = output(opcode_app.run("fetches", retries=1))

    assert [body["ctx"]["attempt"] for body in opcode_app.bodies] == [0, 1, 0]
    assert (result["id0"].keys(), result["id1"].keys()) == ({"error"}, {"data"})
    assert len(provider.requests) == 1


def test_an_inference_that_nobody_answers_has_an_error_with_data(opcode_app):
    @opcode_app.function("asks")
    def asks(body):
        if "id" not in body["steps"]:
            return [{"op": "AIGateway", "id": "id", "displayName": "ask", "opts": {"url": "http://127.0.0.1:1"}}]
        return body["steps"]["id"]

    error = output(opcode_app.run("asks"))["error"]

    assert (error["name"], error["message"][:25]) == ("AIGatewayError", "Error making AI request: ")
    assert error["data"] == json.loads(error["stack"]) == {"error": "Error making AI request"}


@pytest.mark.parametrize("status", [300, 304, 404, 500])
def test_an_inference_that_is_not_successful_is_a_failure(opcode_app, provider, status):
    provider.answers = [Response(b"" if status == 304 else b"text", status)]

    @opcode_app.function("asks")
    def asks(body):
        if "id" not in body["steps"]:
            opts = {"url": provider.server.base_url, "body": {}}
            return [{"op": "AIGateway", "id": "id", "displayName": "ask", "opts": opts}]
        return body["steps"]["id"]

    error = output(opcode_app.run("asks"))["error"]

    assert error["message"] == f"Error making AI request: unsuccessful status code: {status}"
    assert error["data"] == ({"error": "Error making AI request"} if status == 304 else "text")


def test_bedrock_takes_its_key_as_it_is(opcode_app, provider):
    opts = {"url": provider.server.base_url, "format": "bedrock", "auth_key": "AWS4-HMAC-SHA256 x", "body": {}}

    @opcode_app.function("asks")
    def asks(body):
        return body["steps"] or [{"op": "AIGateway", "id": "id", "displayName": "ask", "opts": opts}]

    opcode_app.run("asks")

    assert provider.headers["authorization"] == "AWS4-HMAC-SHA256 x"


@pytest.mark.parametrize("options", [{}, {"url": "file:///etc/passwd"}, {"url": 5}])
def test_a_fetch_without_a_url_fails_the_run(opcode_app, options):
    @opcode_app.function("fetches")
    def fetches(body):
        return [{"op": "Gateway", "id": "id", "displayName": "get", "opts": options}]

    assert "invalid opcode Gateway of step 'get'" in opcode_app.run("fetches").failure.message
