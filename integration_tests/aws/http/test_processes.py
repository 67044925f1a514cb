"""Handlers in processes of their own, with AWS's runtime interface client in them."""

import os
import signal
import socket
import sys
import threading
import time
from base64 import b64encode
from concurrent import futures
from pathlib import Path

import httpx
import pytest
from aws_durable_execution_sdk_python import durable_execution

from steprig.aws import HandlerProcess
from steprig.aws.hosting import processes
from steprig.aws.hosting.runtime_api import RuntimeApi, RuntimeInvocation

from ...waiting import until
from .stage import ended, kinds, payload

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runtime interface client is built for Linux")


@pytest.fixture
def notes(tmp_path):
    """Where handlers write, by lines."""
    return tmp_path / "notes"


@pytest.fixture
def mortal(notes):
    """A handler of `mortal.py`."""
    return lambda name, **options: HandlerProcess(f"mortal.{name}", cwd=HERE, env={"NOTES": str(notes)}, **options)


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_handler_runs_in_a_process_of_its_own(server, client_of, mortal):
    runner = server(plain={"describe": mortal("describe")})

    context = b64encode('{"custom": {"c": "ü"}}'.encode()).decode()
    call = {"FunctionName": "describe", "Payload": b'{"a": 1}', "TenantId": "blue", "ClientContext": context}

    told = payload(client_of(runner).invoke(**call))

    assert told["event"] == {"a": 1}
    assert told["pid"] != os.getpid()
    assert told["name"] == "describe"
    assert told["arn"] == "arn:aws:lambda:us-west-2:123456789012:function:describe"
    assert (told["tenant"], told["client"]) == ("blue", {"c": "ü"})
    assert len(told["id"]) == 36
    assert 0 < told["left"] <= 900_000
    assert told["endpoint"] == runner.endpoint_url
    assert told["region"] == "us-west-2"


def test_what_a_process_has_written_is_to_be_read(server, client_of, mortal):
    runner = server(plain={"says": mortal("says")})

    client_of(runner).invoke(FunctionName="says", Payload=b'"hello"')

    until(lambda: "said hello" in runner.function_logs("says"), "that it was said")
    assert not runner.function_logs("another")


def test_a_process_is_kept_for_the_next_call(server, client_of, mortal):
    client = client_of(server(plain={"describe": mortal("describe")}))

    pids = {payload(client.invoke(FunctionName="describe"))["pid"] for _ in range(5)}

    assert len(pids) == 1


def test_no_process_is_left_when_the_server_stops(server, client_of, mortal, notes):
    before = set(threading.enumerate())
    runner = server(plain={"describe": mortal("describe"), "hangs": mortal("hangs")})
    client = client_of(runner)
    idle = payload(client.invoke(FunctionName="describe"))["pid"]
    client.invoke(FunctionName="hangs", InvocationType="Event")
    until(lambda: notes.exists() and notes.read_text().strip(), "that it hangs")
    busy = int(notes.read_text())

    runner.stop()

    assert not is_there(idle)
    assert not is_there(busy)
    until(lambda: set(threading.enumerate()) <= before, "that no thread is left")


def test_an_error_tells_its_type_and_where_it_was_raised(server, client_of, mortal):
    answer = client_of(server(plain={"raises": mortal("raises")})).invoke(FunctionName="raises")

    told = payload(answer)
    assert answer["FunctionError"] == "Unhandled"
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "bad")
    assert "in raises" in "".join(told["stackTrace"])


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        ("mortal.exits", "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ("mortal.none", "Runtime.HandlerNotFound", "Handler 'none' missing on module 'mortal'"),
        ("none.handler", "Runtime.ImportModuleError", "Unable to import module 'none'"),
        ("mortal.returns_no_json", "Runtime.MarshalError", "Unable to marshal response"),
    ],
)
def test_a_process_that_is_of_no_use_is_told_of(server, client_of, handler, kind, message):
    client = client_of(server(plain={"f": HandlerProcess(handler, cwd=HERE)}))

    for _ in range(2):
        told = payload(client.invoke(FunctionName="f"))
        assert told["errorType"] == kind
        assert message in told["errorMessage"]


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        (["no-such-program"], "Runtime.InvalidEntrypoint", "cannot run 'no-such-program'"),
        ([sys.executable, "-c", "print('over and out')"], "Runtime.InitError", "Its last output:\nover and out"),
        ([sys.executable, "-m", "no_such_module"], "Runtime.InitError", "No module named no_such_module"),
    ],
)
def test_a_program_that_is_no_runtime_is_told_of(server, client_of, command, kind, message):
    client = client_of(server(plain={"f": HandlerProcess("x.y", command=command)}))

    told = payload(client.invoke(FunctionName="f"))

    assert told["errorType"] == kind
    assert message in told["errorMessage"]


def test_a_call_that_takes_too_long_ends_its_process(server, client_of, mortal):
    client = client_of(server(plain={"hangs": mortal("hangs_on_request")}, invocation_timeout_seconds=10))
    pid = until(lambda: warm(client.invoke(FunctionName="hangs", Payload=b"false")), "that it has started in time")

    told = payload(client.invoke(FunctionName="hangs", Payload=b"true"))

    assert told == {"errorType": "Sandbox.Timedout", "errorMessage": "Function timed out after 10 seconds"}
    until(lambda: not is_there(pid), "that the process is gone")
    assert until(lambda: warm(client.invoke(FunctionName="hangs", Payload=b"false")), "that another begins") != pid


def warm(answer):
    told = payload(answer)
    return told if "FunctionError" not in answer else None


@pytest.fixture
def slow_module(tmp_path):
    """A handler whose module takes so many seconds to import, each time it is; notes when it is, and when it runs."""

    def write(*seconds, name="handler"):
        (tmp_path / "slow.py").write_text(SLOW_MODULE.replace("SECONDS", repr(seconds)))
        return HandlerProcess(f"slow.{name}", cwd=tmp_path)

    return write


def test_the_time_that_a_process_takes_to_begin_is_no_part_of_a_call(server, client_of, slow_module, tmp_path):
    client = client_of(server(plain={"f": slow_module(3)}, invocation_timeout_seconds=2))

    told = payload(client.invoke(FunctionName="f"))

    assert 0 < told <= 2000
    assert (tmp_path / "notes").read_text().split() == ["import", "call"]


def test_the_time_that_a_process_takes_to_begin_is_no_part_of_an_invocation(server, client_of, slow_module):
    runner = server({"durable": slow_module(3, name="durable")}, invocation_timeout_seconds=2)
    client = client_of(runner)

    answer = client.invoke(FunctionName="durable")

    assert payload(answer) == "done"
    assert kinds(client, answer["DurableExecutionArn"]).count("InvocationCompleted") == 1


def test_the_time_that_a_process_takes_to_begin_is_no_part_of_a_chained_call(server, client_of, slow_module):
    @durable_execution
    def calls(event, context):
        return context.invoke("f", {}) > 0

    runner = server({"calls": calls}, {"f": slow_module(3)}, invocation_timeout_seconds=2)

    assert payload(client_of(runner).invoke(FunctionName="calls")) is True


def test_a_process_that_takes_too_long_to_begin_is_begun_anew_with_the_call(
    server, client_of, slow_module, tmp_path, monkeypatch
):
    monkeypatch.setattr(processes, "INIT_SECONDS", 5.0)
    client = client_of(server(plain={"f": slow_module(600, 0)}, invocation_timeout_seconds=30))

    assert payload(client.invoke(FunctionName="f")) > 0
    assert (tmp_path / "notes").read_text().split() == ["import", "import", "call"]


def test_a_second_beginning_is_a_part_of_the_call(server, client_of, slow_module, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "INIT_SECONDS", 1.0)
    client = client_of(server(plain={"f": slow_module(600, 600)}, invocation_timeout_seconds=1))

    told = payload(client.invoke(FunctionName="f"))

    assert told == {"errorType": "Sandbox.Timedout", "errorMessage": "Function timed out after 1 seconds"}


def test_a_process_that_fails_to_begin_is_begun_anew_with_the_call(server, client_of, slow_module, tmp_path):
    client = client_of(server(plain={"f": slow_module(None, 0)}))

    assert payload(client.invoke(FunctionName="f")) > 0
    assert (tmp_path / "notes").read_text().split() == ["import", "import", "call"]


def test_a_server_that_stops_waits_for_no_process_that_begins(server, client_of, slow_module, tmp_path):
    runner = server(plain={"f": slow_module(600)})
    client_of(runner).invoke(FunctionName="f", InvocationType="Event")
    until(lambda: (tmp_path / "notes").exists(), "that it begins")
    began = time.monotonic()

    runner.stop()

    assert time.monotonic() - began < 8


def test_a_durable_function_that_is_killed_is_invoked_again(server, client_of, mortal, notes):
    client = client_of(server({"dies": mortal("dies_once")}))

    answer = client.invoke(FunctionName="dies")

    assert payload(answer) == "survived"
    assert notes.read_text().split() == ["first", "second", "second"]
    events = client.get_durable_execution_history(
        DurableExecutionArn=answer["DurableExecutionArn"], IncludeExecutionData=True
    )["Events"]
    completed = [event["InvocationCompletedDetails"] for event in events if "InvocationCompletedDetails" in event]
    assert len(completed) == 2
    assert completed[0]["Error"]["Payload"]["ErrorType"] == "Runtime.ExitError"
    assert "signal: 9" in completed[0]["Error"]["Payload"]["ErrorMessage"]


def test_operations_that_are_too_many_for_one_page_are_fetched(server, client_of, mortal):
    client = client_of(server({"counts": mortal("counts")}, max_invocation_page_bytes=1))

    answer = client.invoke(FunctionName="counts")

    assert payload(answer) == sum(range(150))
    assert kinds(client, answer["DurableExecutionArn"]).count("StepStarted") == 150


def test_the_last_handler_of_a_name_is_called(server, client_of, mortal):
    runner = server(plain={"f": lambda event, context: "here"})
    client = client_of(runner)
    found = [payload(client.invoke(FunctionName="f"))]

    runner.register_function("f", mortal("describe"))
    found.append(payload(client.invoke(FunctionName="f"))["name"])
    runner.register_function("f", lambda event, context: "here again")
    found.append(payload(client.invoke(FunctionName="f")))

    assert found == ["here", "f", "here again"]


def test_a_durable_function_that_always_dies_fails_after_five_times(server, client_of, mortal):
    client = client_of(server({"exits": mortal("exits")}))

    answer = client.invoke(FunctionName="exits")

    assert payload(answer)["errorType"] == "Runtime.ExitError"
    assert kinds(client, answer["DurableExecutionArn"]).count("InvocationCompleted") == 5


def test_garbage_from_a_durable_function_fails_its_execution(server, client_of, mortal):
    client = client_of(server({"garbage": mortal("garbage")}))

    told = ended(client, client.invoke(FunctionName="garbage")["DurableExecutionArn"])

    assert told["Error"]["ErrorType"] == "InvalidParameterValueException"
    assert "Invalid invocation output" in told["Error"]["ErrorMessage"]


def test_an_idle_process_that_was_killed_is_replaced(server, client_of, mortal):
    client = client_of(server(plain={"describe": mortal("describe")}))
    first = payload(client.invoke(FunctionName="describe"))["pid"]

    os.kill(first, signal.SIGKILL)
    until(lambda: not is_there(first), "that it is gone")
    answers = [payload(client.invoke(FunctionName="describe")) for _ in range(2)]

    assert answers[0]["pid"] == answers[1]["pid"] != first


def test_a_process_that_went_away_takes_no_invocation_with_it():
    api = RuntimeApi(lambda request_id, reply: None)
    api.start()
    try:
        host, _, port = api.address.partition(":")
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: lambda\r\n\r\n")
            until(lambda: api.asked == 1, "that it asks")
        with futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.get, f"http://{api.address}/2018-06-01/runtime/invocation/next", timeout=10)
            until(lambda: api.asked == 2, "that another one asks")
            api.offer(RuntimeInvocation("some-id", b"{}", {}))
            assert answer.result().content == b"{}"
        assert api.handed_out == "some-id"
    finally:
        api.stop()


def test_any_program_may_be_the_runtime(server, client_of, tmp_path):
    """Here one without any library: it reads an invocation, and answers it."""
    (tmp_path / "runtime.py").write_text(RUNTIME.replace("TIMES", "1"))
    handler = HandlerProcess("some.handler", command=[sys.executable, str(tmp_path / "runtime.py")])
    client = client_of(server(plain={"other": handler}))

    answers = [payload(client.invoke(FunctionName="other", Payload=b'{"n": %d}' % number)) for number in range(3)]

    assert [answer["got"] for answer in answers] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert {answer["handler"] for answer in answers} == {"some.handler"}


def test_an_invocation_is_answered_once(server, client_of, tmp_path):
    (tmp_path / "runtime.py").write_text(RUNTIME.replace("TIMES", "2"))
    handler = HandlerProcess("some.handler", command=[sys.executable, str(tmp_path / "runtime.py")])
    client = client_of(server(plain={"other": handler}))

    first, second = (payload(client.invoke(FunctionName="other")) for _ in range(2))

    assert first["earlier"] == []
    assert second["earlier"] == [202, 400]


SLOW_MODULE = """
import time
from pathlib import Path

def note(text):
    with Path("notes").open("a") as file:
        file.write(f"{text}\\n")

note("import")

from aws_durable_execution_sdk_python import durable_execution

seconds = SECONDS[Path("notes").read_text().count("import") - 1]
if seconds is None:
    raise RuntimeError("not this time")
time.sleep(seconds)

def handler(event, context):
    note("call")
    return context.get_remaining_time_in_millis()

@durable_execution
def durable(event, context):
    return "done"
"""

RUNTIME = """
import json, os, sys, urllib.error, urllib.request

base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
earlier = []
while True:
    with urllib.request.urlopen(f"{base}/next") as answer:
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.load(answer)
    told = json.dumps({"handler": sys.argv[1], "got": event, "earlier": earlier}).encode()
    earlier = []
    for _ in range(TIMES):
        try:
            with urllib.request.urlopen(f"{base}/{request_id}/response", data=told) as answer:
                earlier.append(answer.status)
        except urllib.error.HTTPError as error:
            earlier.append(error.code)
"""
