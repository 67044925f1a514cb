"""`steprig aws`, against a server and as one."""

import json
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from steprig.live import ProcessServer

from .. import samples
from .stage import AWS

STEPRIG = [sys.executable, "-m", "steprig.cli", "aws"]


def steprig(*arguments, **env):
    return subprocess.run(
        [*STEPRIG, *arguments], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env}
    )


def test_an_execution_is_started_and_looked_at(server):
    runner = server({"adds": samples.adds})
    at = ("--local-runner-endpoint", runner.endpoint_url)

    started = steprig("invoke", "--function-name", "adds", "--input", '{"left": 1, "right": 2}', *at)
    assert started.returncode == 0, started.stderr
    arn = json.loads(started.stdout)["ExecutionArn"]
    runner.timeline.wait_for(arn, lambda run: run.ended_at is not None, timeout=60)
    shown = steprig("get-durable-execution", "--durable-execution-arn", arn, *at)
    history = steprig(
        "get-durable-execution-history",
        *("--durable-execution-arn", arn),
        AWS_DEX_LOCAL_RUNNER_ENDPOINT=runner.endpoint_url,
    )

    assert json.loads(shown.stdout)["Result"] == "3"
    assert [event["EventType"] for event in json.loads(history.stdout)["Events"]] == [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]


def test_a_name_that_is_taken_is_told_of(server):
    runner = server({"adds": samples.adds})
    at = ("--local-runner-endpoint", runner.endpoint_url, "--function-name", "adds", "--durable-execution-name", "one")

    first, again, other = (steprig("invoke", "--input", text, *at) for text in ("1", "1", "2"))

    assert first.returncode == again.returncode == 0
    assert first.stdout == again.stdout
    assert other.returncode == 1
    assert "DurableExecutionAlreadyStartedException" in other.stderr


def test_an_execution_that_is_not_there_is_told_of(server):
    told = steprig(
        "get-durable-execution", "--durable-execution-arn", "x", "--local-runner-endpoint", server().endpoint_url
    )

    assert told.returncode == 1
    assert told.stderr == "steprig aws: ResourceNotFoundException: Durable Execution does not exist\n"


def test_a_service_that_is_not_there_is_told_of():
    told = steprig("invoke", "--function-name", "f", "--local-runner-endpoint", "http://127.0.0.1:9")

    assert told.returncode == 1
    assert "expected the service at http://127.0.0.1:9" in told.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("invoke",),
        ("get-durable-execution",),
        ("start-server", "--port", "x"),
        ("start-server", "--durable-function", "f"),
        ("start-server", "--function-configs", "[]"),
        ("start-server", "--function-configs", "{"),
        ("start-server", "--function-configs", "file:///nowhere"),
        ("start-server", "--log-level", "loud"),
        ("start-server", "--local-runner-mode", "remote"),
        ("start-server", "--execution-timeout", "0"),
        ("invoke", "--function-name", "f", "--execution-timeout", "0"),
    ],
)
def test_wrong_usage_ends_with_2(arguments):
    assert steprig(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--store-type", "paper"), "store_type must be one of memory, filesystem, sqlite, not 'paper'"),
        (("--store-type", "sqlite", "--store-path", "/nowhere/at/all.db"), "/nowhere/at/all.db"),
        (("--function-configs", '{"f": 5}'), "function configs"),
        (("--store-path", "somewhere"), "store_path='somewhere' is of no use in memory"),
        (("--local-runner-endpoint", "nowhere"), "local_runner_endpoint has to be a URL"),
        (("--execution-timeout", "99999999"), "execution_timeout_seconds has to be from 1 to 31622400"),
    ],
)
def test_a_start_that_fails_ends_with_1_and_says_why(arguments, told):
    failed = steprig("start-server", "--port", "0", *arguments)

    assert failed.returncode == 1
    assert told in failed.stderr


def test_a_port_in_use_is_told_of(server):
    failed = steprig("start-server", "--port", str(server().port))

    assert failed.returncode == 1
    assert "--port" in failed.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_server_runs_until_it_is_told_to_end(tmp_path, number, code):
    configs = tmp_path / "configs.json"
    configs.write_text('{"far": {"DurableConfig": {"ExecutionTimeout": 60}}}')
    command = [
        *(*STEPRIG, "start-server", "--skip-time", "--lambda-endpoint", "http://127.0.0.1:9"),
        *("--function-configs", f"file://{configs}", "--function", "plain=samples.nothing"),
    ]
    process = ProcessServer(
        command, cwd=AWS, env={"AWS_DEX_PORT": "0"}, ready_log="durable executions at", startup_timeout=60
    )
    with process as running:
        url = next(line for line in running.logs if "durable executions at" in line).split(" at ")[1].split(",")[0]
        told = httpx.post(f"{url}/2015-03-31/functions/far/invocations", timeout=60)
        os.kill(running.pid, number)
        assert running.wait(20)

    assert told.json()["errorType"] == "Lambda.Unreachable"
    assert running.returncode == code


@pytest.fixture
def start(opened):
    """Runs `start-server` on a free port with an environment; returns the process and where it is."""

    def run(*arguments, **env):
        command = [*STEPRIG, "start-server", *arguments]
        env = {"AWS_DEX_PORT": "0", **env}
        process = ProcessServer(command, cwd=AWS, env=env, ready_log="boto3 finds it", startup_timeout=60)
        opened.enter_context(process)
        return process, re.search(r"executions at (http://\S+),", str(process.logs)).group(1)

    return run


@pytest.mark.parametrize(("level", "is_logged"), [("INFO", True), ("debug", True), ("WARN", False), ("FATAL", False)])
def test_requests_are_logged_at_the_level_of_info(start, level, is_logged):
    server, url = start(AWS_DEX_LOG_LEVEL=level)

    httpx.get(f"{url}/health", timeout=60)
    httpx.get(f"{url}/metrics", timeout=60)
    server.stop()

    assert ("GET /health" in server.logs) is is_logged


def test_the_endpoint_that_functions_are_told_may_be_another(start):
    server, _ = start(AWS_DEX_LOCAL_RUNNER_ENDPOINT="http://proxy:1234")

    assert "boto3 finds it with AWS_ENDPOINT_URL_LAMBDA=http://proxy:1234." in server.logs


def test_the_timeout_of_executions_holds_for_functions_that_say_nothing_of_it(start):
    configs = '{"far": {"DurableConfig": {}}, "own": {"DurableConfig": {"ExecutionTimeout": 40}}}'
    _, url = start(
        "--execution-timeout", "70", "--function-configs", configs, "--lambda-endpoint", "http://127.0.0.1:9"
    )
    at = ("--local-runner-endpoint", url)

    def timeout_of(name, *more):
        arn = json.loads(steprig("invoke", "--function-name", name, *more, *at).stdout)["ExecutionArn"]
        told = json.loads(steprig("get-durable-execution", "--durable-execution-arn", arn, *at).stdout)
        return told["DurableConfig"]["ExecutionTimeout"]

    assert [timeout_of(name) for name in ("far", "own", "unknown")] == [70, 40, 70]
    assert timeout_of("own", "--execution-timeout", "50") == 50


def test_the_help_imports_nothing_of_aws():
    heavy = "m.partition('.')[0] in {'boto3', 'botocore', 'aiohttp'} or m.startswith('steprig.aws')"
    code = f"import sys; from steprig import cli; print([m for m in sys.modules if {heavy}])"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert shown.stdout == "[]\n"
