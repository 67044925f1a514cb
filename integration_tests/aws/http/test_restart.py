"""A service that is killed, and one that goes on with its store."""

import os
import re
import signal
import sys
from contextlib import closing
from pathlib import Path

import boto3
import pytest

from steprig.live import ProcessServer

from ...waiting import until
from .stage import ended, kinds

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runtime interface client is built for Linux")


@pytest.fixture
def serve(opened, tmp_path):
    """Starts the service on a store in a file, in a process of its own; returns the process and a client."""

    def start():
        server = ProcessServer(
            [
                *(sys.executable, "-m", "steprig.cli", "aws", "start-server", "--port", "0"),
                *("--durable-function", "story=mortal.story", "--durable-function", "stalls=mortal.stalls"),
                *("--store-type", "sqlite", "--store-path", tmp_path / "store.db"),
            ],
            cwd=HERE,
            env={"NOTES": str(tmp_path / "notes")},
            ready_log=r"AWS durable executions at http://\S+,",
            startup_timeout=60,
        )
        opened.enter_context(server)
        url = re.search(r"at (http://\S+),", str(server.logs)).group(1)
        options = {"region_name": "us-west-2", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        return server, opened.enter_context(closing(boto3.client("lambda", endpoint_url=url, **options)))

    return start


@pytest.fixture
def notes(tmp_path):
    """What handlers have written so far, by lines."""
    path = tmp_path / "notes"
    return lambda: path.read_text().splitlines() if path.exists() else []


def kill(server):
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait(20)


def begin(client, name):
    return client.invoke(FunctionName=name, InvocationType="Event", DurableExecutionName="one")["DurableExecutionArn"]


def test_an_execution_that_waits_goes_on_after_the_service_was_killed(serve, notes):
    server, client = serve()
    arn = begin(client, "story")
    until(lambda: kinds(client, arn)[-2:] == ["StepSucceeded", "InvocationCompleted"], "that it asks")
    before = kinds(client, arn)
    kill(server)

    _, client = serve()
    assert kinds(client, arn) == before
    assert begin(client, "story") == arn, "the name is still taken"
    callback_id = next(line.partition(" ")[2] for line in notes() if line.startswith("callback"))
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"yes")

    told = ended(client, arn)
    assert (told["Status"], told["Result"]) == ("SUCCEEDED", '["yes", "last"]')
    assert [line.partition(" ")[0] for line in notes()] == ["first", "callback", "last"]
    (one,) = client.list_durable_executions_by_function(FunctionName="story")["DurableExecutions"]
    assert (one["DurableExecutionArn"], one["Status"]) == (arn, "SUCCEEDED")


def test_an_invocation_that_was_lost_is_repeated(serve, notes, tmp_path):
    server, client = serve()
    arn = begin(client, "stalls")
    until(lambda: any(line.startswith("pid") for line in notes()), "that it is in its second step")
    kill(server)

    _, client = serve()
    until(lambda: sum(line.startswith("pid") for line in notes()) == 2, "that it is there again")
    (tmp_path / "notes.go").touch()

    told = ended(client, arn)
    assert (told["Status"], told["Result"]) == ("SUCCEEDED", '"went on"')
    assert notes().count("first") == 1
    events = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    completed = [event["InvocationCompletedDetails"] for event in events if "InvocationCompletedDetails" in event]
    assert completed[0]["Error"]["Payload"]["ErrorType"] == "Runtime.ExitError"
    assert "Error" not in completed[1]
    assert [event["EventId"] for event in events] == list(range(1, len(events) + 1))


def test_the_process_of_a_handler_does_not_outlive_a_service_that_was_killed(serve, notes, tmp_path):
    server, client = serve()
    begin(client, "stalls")
    pid = until(lambda: next((line.split()[1] for line in notes() if line.startswith("pid")), None), "its process")
    kill(server)

    (tmp_path / "notes.go").touch()

    until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "that the process is gone")


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
