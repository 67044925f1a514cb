"""Apps that do not answer as an SDK does. Whatever they do, the run ends as it should and the server stays up."""

import contextlib
import json
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.live import UvicornTestServer

from .stage import output

SDK = {"x-inngest-sdk": "inngest-py:v0.5.18", "x-inngest-req-version": "2"}
UNREACHABLE = {"error": {"error": "Unable to reach SDK URL", "name": "Error", "message": "Unable to reach SDK URL"}}


class Impostor:
    """Serves one function, and answers its calls with what it is given, one after the other, the last for ever."""

    def __init__(self, stage, retries=0):
        self.stage = stage
        self.retries = retries
        self.answers = []
        self.bodies = []
        self.server = UvicornTestServer(Starlette(routes=[Route("/sdk", self.answer, methods=["POST"])]))

    async def answer(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def register(self, url=None):
        url = url or self.server.url("/sdk")
        step = {
            "id": "step",
            "name": "step",
            "runtime": {"type": "http", "url": f"{url}?fnId={self.stage.app_id}-fn&stepId=step"},
            "retries": {"attempts": self.retries},
        }
        function = {
            "id": f"{self.stage.app_id}-fn",
            "name": "fn",
            "triggers": [{"event": f"test/{self.stage.app_id}"}],
            "steps": {"step": step},
        }
        body = {"appname": self.stage.app_id, "url": url, "sdk": "py:v0.5.18", "functions": [function]}
        self.stage.http.post("/fn/register", json=body).raise_for_status()

    def run(self, *answers):
        self.answers = list(answers)
        event_id = self.stage.http.post("/e/key", json={"name": f"test/{self.stage.app_id}"}).json()["ids"][0]
        (run,) = self.stage.runs_of(event_id)
        return self.stage.ended(run["run_id"])


class BrokenOff(Response):
    """Ends in the middle."""

    async def __call__(self, scope, receive, send):
        headers = [(b"content-length", b"100"), *((key.encode(), value.encode()) for key, value in SDK.items())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"12"})
        raise BrokenPipeError


@pytest.fixture
def hangs_up():
    """A port where every connection is closed as soon as a request is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1 << 16)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/sdk"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def impostor(one_stage):
    impostor = Impostor(one_stage)
    with impostor.server:
        impostor.register()
        yield impostor
    assert one_stage.http.get("/health").status_code == 200


def reply(status, body, headers=SDK, **more):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(content, status, {**headers, **more})


def op(code, ident="id", **fields):
    return {"op": code, "id": ident, "displayName": ident} | fields


def server_made(message):
    return {"error": {"error": message, "name": "Error", "message": message}}


# --- 200 --------------------------------------------------------------------------------------------------


def test_a_result_that_is_no_json_is_the_output_as_text(impostor):
    run = impostor.run(reply(200, b"<h1>hello \xe2\x98\x83"))

    assert (run.status, output(run)) == ("completed", "<h1>hello ☃")


@pytest.mark.parametrize("body", [b"", b"  ", b"null"])
def test_an_empty_result_is_null(impostor, body):
    run = impostor.run(reply(200, body))

    assert (run.status, output(run)) == ("completed", None)


def test_a_result_of_bytes_that_are_no_text_completes_the_run(impostor):
    run = impostor.run(reply(200, b"\xff\xfe"))

    assert run.status == "completed"
    assert isinstance(output(run), str)


def test_a_json_result_with_bytes_that_are_no_text_can_be_read_by_everybody(impostor):
    run = impostor.run(reply(200, b'{"x":"\xff"}'))

    query = {"query": "query Q($id: String!) { run(runID: $id) { status output } }", "variables": {"id": run.id}}
    assert impostor.stage.http.post("/v0/gql", json=query).json()["data"]["run"]["status"] == "COMPLETED"
    assert impostor.stage.http.get(f"/v1/runs/{run.id}").status_code == 200


def test_a_large_integer_in_a_result_keeps_its_digits(impostor):
    run = impostor.run(reply(200, b'{"n":123456789012345678901234567890,"a":1.10}'))

    assert bytes(run.output) == b'{"n":123456789012345678901234567890,"a":1.10}'


@pytest.mark.parametrize(("body", "shown"), [(b"<h1>Hi</h1>", "<h1>Hi</h1>"), (b'{"a":1}', {"a": 1})])
def test_a_200_of_something_that_is_no_sdk_fails_the_run_with_its_body(impostor, body, shown):
    run = impostor.run(reply(200, body, {}))

    assert (run.status, output(run)) == ("failed", shown)


# --- Errors -----------------------------------------------------------------------------------------------


def test_an_error_of_something_that_is_no_sdk_is_shown_with_what_it_said(impostor):
    run = impostor.run(reply(502, b"<h1>Bad Gateway</h1>", {"content-type": "text/html"}))

    message = "Your server returned HTTP 502 before the SDK responded."
    shown = output(run)
    stack = shown.pop("stack")
    assert run.status == "failed"
    assert shown == {"error": message, "name": "Server returned a fatal error", "message": message}
    assert stack.startswith("No step output was produced")
    assert stack.endswith("\n\nUpstream response (text/html):\n<h1>Bad Gateway</h1>")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_of_an_sdk_is_tried_again_and_kept_as_it_is(one_stage, status):
    error = {"code": "odd", "name": "OddError", "message": "odd", "stack": None, "more": {"z": 1, "a": 2}}
    impostor = Impostor(one_stage, retries=1)
    with impostor.server:
        impostor.register()
        run = impostor.run(reply(status, error))

    assert output(run) == error
    assert [body["ctx"]["attempt"] for body in impostor.bodies] == [0, 1]


def test_an_error_with_odd_members_is_kept_as_it_is(impostor):
    run = impostor.run(reply(500, {"name": 5, "message": None}))

    assert output(run) == {"name": 5, "message": None}


@pytest.mark.parametrize("status", [200, 400, 500])
def test_the_no_retry_header_ends_the_run(one_stage, status):
    impostor = Impostor(one_stage, retries=3)
    with impostor.server:
        impostor.register()
        run = impostor.run(reply(status, {"name": "E", "message": "m"}, **{"x-inngest-no-retry": "true"}))

    assert len(impostor.bodies) == 1
    assert (run.status, run.failure.name, run.failure.message) == ("failed", "E", "m")


def test_what_recovers_is_tried_until_it_does(one_stage):
    impostor = Impostor(one_stage, retries=5)
    with impostor.server:
        impostor.register()
        run = impostor.run(
            reply(502, b"", {}),
            reply(200, b"who?", {}),
            reply(206, b"junk"),
            BrokenOff(),
            reply(500, b"-"),
            reply(200, 1),
        )

    assert (run.status, output(run)) == ("completed", 1)
    assert [body["ctx"]["attempt"] for body in impostor.bodies] == [0, 1, 2, 3, 4, 5]


def test_an_answer_that_breaks_off(impostor):
    assert output(impostor.run(BrokenOff())) == UNREACHABLE


def test_a_connection_that_is_closed_without_an_answer(impostor, hangs_up):
    impostor.register(hangs_up)

    assert output(impostor.run()) == UNREACHABLE


def test_an_app_that_is_gone(impostor):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        impostor.register(f"http://127.0.0.1:{nobody.getsockname()[1]}/sdk")

        assert output(impostor.run()) == UNREACHABLE


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/sdk", "http:///sdk"])
def test_an_app_at_a_url_that_leads_nowhere(impostor, url):
    impostor.register(url)

    assert output(impostor.run()) == UNREACHABLE


def test_a_reply_over_eight_mebibytes_fails_the_run(impostor):
    run = impostor.run(reply(200, b'"' + b"x" * (8 << 20) + b'"'))

    message = "Your function's response body exceeds the maximum size limit"
    assert output(run) == {
        "error": {"error": f"output_too_large: {message}", "name": "output_too_large", "message": message}
    }


# --- 206 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"junk", b"5", b'"text"', b"", b"null", b'["\xff"]'])
def test_opcodes_that_are_none(impostor, body):
    run = impostor.run(reply(206, body))

    assert output(run) == server_made("error reading generator opcode response: expected JSON object or array")


def test_an_opcode_that_nobody_knows_is_named(impostor):
    run = impostor.run(reply(206, [op("Wat")]))

    assert output(run) == server_made("error reading generator opcode response: Wat does not belong to Opcode values")


def test_a_206_of_something_that_is_no_sdk_fails_the_run(impostor):
    assert impostor.run(reply(206, [], {})).status == "failed"


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "StepRun"}],
        [op("StepRun", ident=5)],
        [op("Sleep", name="not a time")],
        [op("Sleep", name=5)],
        [op("Sleep", opts=[])],
        [op("StepRun", opts={"parallelMode": 5})],
        [op("StepPlanned", opts=["parallelMode"])],
        [op("StepPlanned", opts="parallelMode")],
        [op("WaitForEvent", name="e", opts={"timeout": "soon"})],
        [op("WaitForEvent", name="e", opts={"if": 5})],
        [op("InvokeFunction", opts={"function_id": 5})],
        [5],
        [None],
        [[]],
    ],
    ids=json.dumps,
)
def test_opcodes_with_nonsense_in_them_end_the_run(impostor, ops):
    assert impostor.run(reply(206, ops)).status == "failed"


@pytest.mark.parametrize("error", ["text", 5, [], None, {"name": None}, {}])
@pytest.mark.parametrize("headers", [{}, {"x-inngest-no-retry": "true"}], ids=["", "no retry"])
def test_a_step_error_of_another_shape_is_a_step_error_all_the_same(impostor, error, headers):
    run = impostor.run(reply(206, [op("StepError", error=error)], **headers), reply(200, "caught"))

    assert output(run) == "caught"
    assert set(impostor.bodies[1]["steps"]["id"]) == {"error"}


def test_a_failed_step_with_the_no_retry_header_says_so_in_its_memo(one_stage):
    impostor = Impostor(one_stage, retries=3)
    with impostor.server:
        impostor.register()
        failed = reply(206, [op("StepError", error={"name": "E", "message": "m"})], **{"x-inngest-no-retry": "true"})
        impostor.run(failed, reply(200, 1))

    assert impostor.bodies[1]["steps"]["id"] == {"error": {"name": "E", "message": "m", "noRetry": True}}


def test_one_opcode_need_not_be_in_a_list(impostor):
    run = impostor.run(reply(206, op("StepRun", data=[1])), reply(200, "done"))

    assert output(run) == "done"
    assert impostor.bodies[1]["steps"] == {"id": {"data": [1]}}


def test_no_opcodes_at_all_ask_for_another_call(impostor):
    run = impostor.run(reply(206, []), reply(200, "done"))

    assert output(run) == "done"
    assert len(impostor.bodies) == 2


def test_a_duplicate_opcode_counts_once(impostor):
    impostor.run(reply(206, [op("StepRun", data=1), op("StepRun", data=2)]), reply(200, "done"))

    assert impostor.bodies[-1]["steps"] == {"id": {"data": 1}}


def test_an_opcode_for_the_end_of_the_run(impostor):
    assert output(impostor.run(reply(206, [op("RunComplete", data={"a": 1})]))) == {"a": 1}


def test_a_sleep_may_be_given_as_a_duration(impostor):
    before = impostor.stage.clock.now()
    impostor.run(reply(206, [op("Sleep", opts={"duration": "2h"})]), reply(200, 1))

    assert 7200 <= (impostor.stage.clock.now() - before).total_seconds() < 7205
    assert impostor.bodies[1]["steps"] == {"id": None}


def test_a_wait_may_name_its_event_and_a_time_in_its_options(impostor):
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    impostor.answers = [
        reply(206, [op("WaitForEvent", opts={"event": "test/e", "timeout": until.isoformat()})]),
        reply(200, 1),
    ]
    event_id = impostor.stage.http.post("/e/key", json={"name": f"test/{impostor.stage.app_id}"}).json()["ids"][0]
    ((run),) = impostor.stage.runs_of(event_id)
    waiting = impostor.stage.waiting(run["run_id"], "id").spans[0]

    assert waiting.attributes["event"] == "test/e"
    assert abs(waiting.attributes["timeout"] - until) < timedelta(seconds=5)


# --- The request, and streamed replies ------------------------------------------------------------------------


def test_a_call_is_what_the_sdk_specification_says(impostor):
    run = impostor.run(reply(206, [op("StepRun", data=1)]), reply(200, 1))
    first, second = impostor.bodies

    assert first["ctx"] | {"job_id": ..., "qi_id": ..., "request_id": ..., "fn_id": ...} == {
        "attempt": 0,
        "disable_immediate_execution": False,
        "env": "",
        "fn_id": ...,
        "generation_id": 1,
        "job_id": ...,
        "max_attempts": 1,
        "qi_id": ...,
        "request_id": ...,
        "run_id": run.id,
        "stack": {"current": 0, "stack": []},
        "step_id": "step",
        "use_api": False,
    }
    assert (first["version"], first["use_api"], first["steps"]) == (-1, False, {})
    assert first["events"] == [first["event"]]
    assert set(first["event"]) == {"data", "id", "name", "ts", "user"}
    assert (second["version"], second["steps"]) == (2, {"id": {"data": 1}})
    assert second["ctx"]["stack"] == {"current": 1, "stack": ["id"]}


@pytest.mark.parametrize("double", [True, False], ids=["encoded twice", "encoded once"])
def test_a_streamed_reply_is_unwrapped(impostor, double):
    ops = [op("StepRun", data="streamed")]
    envelope = {"status": 206, "body": json.dumps(ops) if double else ops, "headers": {}}
    run = impostor.run(reply(201, b"   \n " + json.dumps(envelope).encode()), reply(200, 1))

    assert run.status == "completed"
    assert impostor.bodies[1]["steps"] == {"id": {"data": "streamed"}}


def test_a_streamed_error_is_as_final_as_its_inner_headers_say(one_stage):
    impostor = Impostor(one_stage, retries=3)
    envelope = {"status": 500, "body": '{"name":"E","message":"m"}', "headers": {"X-Inngest-No-Retry": "true"}}
    with impostor.server:
        impostor.register()
        run = impostor.run(reply(201, envelope))

    assert output(run) == {"name": "E", "message": "m"}
    assert len(impostor.bodies) == 1


@pytest.mark.parametrize("body", [b"", b"junk", b"[]", b'{"status":"x"}'])
def test_a_streamed_reply_that_breaks_off_fails_the_attempt(impostor, body):
    assert impostor.run(reply(201, body)).status == "failed"


def test_a_payload_that_is_no_object_ends_the_run(impostor):
    options = {"function_id": f"{impostor.stage.app_id}-fn", "payload": {"data": 5}}

    assert impostor.run(reply(206, [op("InvokeFunction", opts=options)])).status == "failed"


def test_a_fault_of_the_rig_ends_the_run_and_is_logged(impostor, monkeypatch):
    def faulty(*args):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("steprig.inngest.decide.answer", faulty)
    run = impostor.run(reply(200, 1))

    assert run.status == "failed"
    assert "ZeroDivisionError('a fault')" in run.failure.message
