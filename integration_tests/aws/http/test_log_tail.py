"""`LogType=Tail`: the end of an invocation's log, along with the answer."""

import logging
import re
import sys
import threading
from base64 import b64decode
from concurrent import futures
from pathlib import Path

import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration
from packaging.version import Version

from steprig.aws import HandlerProcess
from steprig.aws.in_process import SDK_VERSION

from .stage import payload

HERE = Path(__file__).parent
ID = r"[0-9a-f-]{36}"
REPORT = (
    rf"REPORT RequestId: {ID}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
    r"\tMax Memory Used: 128 MB"
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the runtime interface client is built for Linux")


@pytest.fixture
def tail(client_of):
    """Invokes a function of a server, and returns the lines of its log."""

    def invoke(runner, name, **options):
        answer = client_of(runner).invoke(FunctionName=name, LogType="Tail", **options)
        return b64decode(answer["LogResult"]).decode().splitlines()

    return invoke


def mortal(name):
    return HandlerProcess(f"mortal.{name}", cwd=HERE)


def test_what_a_handler_here_prints_and_logs_is_told_between_lambdas_own_lines(server, tail):
    def says(event, context):
        print("said", event)
        print("aside", file=sys.stderr)
        logging.getLogger("some").warning("careful with %s", event)
        sys.stdout.writelines(["last", "\n"])

    lines = tail(server(plain={"says": says}), "says", Payload=b'"hello"')

    begin, said, aside, record, last, end, report = lines
    assert re.fullmatch(rf"START RequestId: {ID} Version: \$LATEST", begin)
    assert (said, aside, last) == ("said hello", "aside", "last")
    assert re.fullmatch(rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{ID}\tcareful with hello", record)
    assert re.fullmatch(rf"END RequestId: {ID}", end)
    assert re.fullmatch(REPORT, report)
    assert len(set(re.findall(ID, "\n".join(lines)))) == 1


def test_it_is_said_all_the_same_where_it_always_was(server, tail, capsys, caplog):
    def says(event, context):
        print("heard")
        logging.getLogger("some").warning("noted")

    before = sys.stdout, sys.stderr, list(logging.getLogger().handlers)
    tail(server(plain={"says": says}), "says")

    assert "heard" in capsys.readouterr().out
    assert "noted" in caplog.text
    assert (sys.stdout, sys.stderr, logging.getLogger().handlers) == before


def test_no_log_is_told_unless_it_is_asked_for(server, client_of):
    client = client_of(server(plain={"f": lambda event, context: print("x")}))

    answers = [
        client.invoke(FunctionName="f"),
        client.invoke(FunctionName="f", LogType="None"),
        client.invoke(FunctionName="f", LogType="Tail", InvocationType="Event"),
        client.invoke(FunctionName="f", LogType="Tail", InvocationType="DryRun"),
    ]

    assert not any("LogResult" in answer for answer in answers)


def test_a_type_of_log_has_to_be_one(server, raw_of):
    refused = raw_of(server(plain={"f": lambda event, context: None})).post(
        "/2015-03-31/functions/f/invocations", headers={"X-Amz-Log-Type": "Head"}
    )

    assert refused.status_code == 400
    assert "LogType must be of None, Tail, not 'Head'" in refused.json()["message"]


def test_an_error_is_in_the_log(server, tail):
    def breaks(event, context):
        raise ValueError("no good")

    lines = tail(server(plain={"breaks": breaks}), "breaks")

    assert lines[1:3] == ["[ERROR] ValueError: no good", "Traceback (most recent call last):"]
    assert "in breaks" in lines[3]
    assert not any("recorded.py" in line for line in lines)


def test_calls_at_once_have_a_log_each(server, client_of):
    together = threading.Barrier(6)

    def says(event, context):
        for _ in range(20):
            together.wait(20)
            print(f"said {event}")

    client = client_of(server(plain={"says": says}))

    def lines_of(number):
        answer = client.invoke(FunctionName="says", LogType="Tail", Payload=str(number).encode())
        return b64decode(answer["LogResult"]).decode().splitlines()[1:-2]

    with futures.ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lines_of, range(6)))

    assert found == [[f"said {number}"] * 20 for number in range(6)]


def test_a_call_that_is_given_up_says_so(server, tail):
    release = threading.Event()

    def hangs(event, context):
        print("here")
        release.wait(60)

    try:
        lines = tail(server(plain={"hangs": hangs}, invocation_timeout_seconds=1), "hangs")
    finally:
        release.set()

    assert lines[1] == "here"
    assert re.fullmatch(rf"\d{{4}}-\S+Z {ID} Task timed out after 1\.00 seconds", lines[2])
    assert lines[4].endswith("\tStatus: timeout")


_known_on_its_thread = pytest.mark.skipif(
    Version("2.1") > SDK_VERSION, reason="the SDK does not look at its input on the thread of the function"
)


@_known_on_its_thread
def test_a_durable_function_tells_of_all_its_invocations(server, tail):
    @durable_execution
    def says_twice(event, context):
        print("before")
        context.step(lambda _: print("in a step"), name="step")
        context.wait(Duration.from_seconds(1))
        print("after")

    lines = tail(server({"says": says_twice}), "says")

    told = [line.split()[0] if "RequestId" in line else line for line in lines]
    assert told == [
        *("START", "before", "in a step", "END", "REPORT"),
        *("START", "before", "after", "END", "REPORT"),
    ]


@_known_on_its_thread
def test_durable_functions_at_once_have_a_log_each(server, client_of):
    together = threading.Barrier(4)

    @durable_execution
    def says(event, context):
        together.wait(20)
        context.step(lambda _: print(f"said {event}"), name="step")
        together.wait(20)

    client = client_of(server({"says": says}))

    def lines_of(number):
        answer = client.invoke(FunctionName="says", LogType="Tail", Payload=str(number).encode())
        return b64decode(answer["LogResult"]).decode().splitlines()[1:-2]

    with futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lines_of, range(4)))

    assert found == [[f"said {number}"] for number in range(4)]


def test_the_end_of_a_long_log_is_told_in_whole_characters(server, client_of):
    client = client_of(server(plain={"f": lambda event, context: print("ä" * 5000)}))

    log = b64decode(client.invoke(FunctionName="f", LogType="Tail")["LogResult"])

    assert 4094 <= len(log) <= 4096
    assert "\nEND RequestId" in log.decode()


# --- In processes of their own ----------------------------------------------------------------------


@on_linux
def test_what_a_process_writes_is_told(server, tail):
    runner = server(plain={"says": mortal("says_in_parts")})

    first, *others = [tail(runner, "says", Payload=b'{"word": "%d"}' % number) for number in range(20)]

    assert re.fullmatch(rf"START RequestId: {ID} Version: \$LATEST", first[0])
    assert re.fullmatch(rf"\[WARNING\]\t\S+Z\t{ID}\tcareful", first[1])
    assert first[2] == "said 0"
    assert first[3].startswith("END RequestId: ")
    assert re.fullmatch(REPORT + r"\tInit Duration: [\d.]+ ms", first[4])
    assert all(re.fullmatch(REPORT, lines[4]) for lines in others)
    assert [lines[2] for lines in others] == [f"said {number}" for number in range(1, 20)]
    assert {len(lines) for lines in others} == {5}


@on_linux
def test_the_end_of_a_long_log_of_a_process_is_told(server, tail):
    lines = tail(server(plain={"says": mortal("says_in_parts")}), "says", Payload=b'{"word": "x", "lines": 500}')

    assert lines[-3] == "said x"
    assert lines[-5].startswith("line 499 ä")
    assert len("\n".join(lines).encode()) <= 4096


@on_linux
@pytest.mark.parametrize(
    ("name", "told"),
    [("raises", "[ERROR] ValueError: bad"), ("exits", ""), ("hangs", "Task timed out after 1.00 seconds")],
)
def test_a_process_that_fails_has_a_log_all_the_same(server, client_of, tail, name, told):
    runner = server(plain={"f": mortal(name)}, invocation_timeout_seconds=1)

    lines = tail(runner, "f")

    assert lines[0].startswith("START RequestId: ")
    assert told in "\n".join(lines)
    assert [line.split()[0] for line in lines[-2:]] == ["END", "REPORT"]


@on_linux
def test_a_process_that_cannot_begin_tells_its_last_words(server, tail, tmp_path):
    (tmp_path / "broken.py").write_text("print('so far')\nimport no_such_module\n")

    lines = tail(server(plain={"f": HandlerProcess("broken.f", cwd=tmp_path)}), "f")

    assert "so far" in lines
    assert any("no_such_module" in line for line in lines)


@on_linux
def test_a_durable_function_in_processes_tells_of_all_its_invocations(server, tail):
    lines = tail(server({"says": mortal("says_twice")}), "says")

    assert [line.split()[0] for line in lines] == [
        *("START", "before", "END", "REPORT"),
        *("START", "before", "after", "END", "REPORT"),
    ]


def test_a_program_that_marks_no_ends_tells_what_it_writes(server, tail, tmp_path):
    (tmp_path / "runtime.py").write_text(SPEAKING_RUNTIME)
    handler = HandlerProcess("some.handler", command=[sys.executable, str(tmp_path / "runtime.py")])
    runner = server(plain={"other": handler})

    found = [tail(runner, "other", Payload=str(number).encode()) for number in range(3)]

    assert [lines[1:-2] for lines in found] == [["got 0"], ["got 1"], ["got 2"]]


def test_a_program_that_has_written_more_than_is_kept_still_tells_what_it_writes(server, tail, tmp_path):
    (tmp_path / "runtime.py").write_text(SPEAKING_RUNTIME)
    handler = HandlerProcess("some.handler", command=[sys.executable, str(tmp_path / "runtime.py")])
    runner = server(plain={"other": handler})

    long, *others = [tail(runner, "other", Payload=str(number).encode()) for number in (12_000, 1, 2)]

    assert long[-4:-2] == ["line 11999", "got 12000"]
    assert [lines[1:-2] for lines in others] == [["got 1"], ["got 2"]]


def test_the_log_of_a_function_at_another_server_is_passed_on(server, tail):
    far = server(plain={"says": lambda event, context: print("from afar")})
    near = server(lambda_endpoint=far.endpoint_url, function_configs={"says": {}})

    lines = tail(near, "says")

    assert [line.split()[0] for line in lines] == ["START", "from", "END", "REPORT"]


def test_an_answer_comes_with_its_log(server, client_of):
    client = client_of(server(plain={"f": lambda event, context: {"a": event}}))

    answer = client.invoke(FunctionName="f", LogType="Tail", Payload=b"1")

    assert payload(answer) == {"a": 1}
    assert answer["ExecutedVersion"] == "$LATEST"


SPEAKING_RUNTIME = """
import os, urllib.request

base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    with urllib.request.urlopen(f"{base}/next") as answer:
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        number = int(answer.read())
        for line in range(number if number > 1000 else 0):
            print("line", line)
        print("got", number)
    urllib.request.urlopen(f"{base}/{request_id}/response", data=b"null").close()
"""
