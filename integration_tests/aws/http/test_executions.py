"""One execution: what is told of it, its history by pages, and stop, pause, resume and delete."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from steprig.aws.in_process import REVOCABLE
from steprig.kernel import RealClock

from ...waiting import until
from .. import samples
from .stage import ended, kinds, payload


def path(arn, what=""):
    return f"/2025-12-01/durable-executions/{quote(arn, safe='')}{what}"


def started(client, name, **options):
    return client.invoke(FunctionName=name, InvocationType="Event", **options)["DurableExecutionArn"]


def waiting_for_callback(client, name="asks"):
    """An execution that waits for a callback, with no invocation under way."""
    arn = started(client, name)
    until(lambda: "InvocationCompleted" in kinds(client, arn), "that it waits")
    return arn


def callback_of(client, arn):
    events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    return next(one["CallbackStartedDetails"]["CallbackId"] for one in events if "CallbackStartedDetails" in one)


def test_an_execution_tells_what_it_is(server, client_of):
    client = client_of(server({"adds": samples.adds}, timeout=60))
    before = datetime.now(UTC)

    arn = started(client, "adds", DurableExecutionName="sum-1", Payload=b'{"left": 1, "right": 2}', TenantId="blue")
    told = ended(client, arn)

    assert told["DurableExecutionArn"] == arn
    assert told["DurableExecutionName"] == "sum-1"
    assert told["FunctionArn"] == "arn:aws:lambda:us-west-2:123456789012:function:adds:$LATEST"
    assert told["Version"] == "$LATEST"
    assert told["Status"] == "SUCCEEDED"
    assert told["InputPayload"] == '{"left": 1, "right": 2}'
    assert told["Result"] == "3"
    assert told["DurableConfig"] == {"RetentionPeriodInDays": 1, "ExecutionTimeout": 60}
    assert told["ExecutionDataIncluded"] is True
    assert abs((told["StartTimestamp"] - before).total_seconds()) < 60
    assert told["EndTimestamp"] > told["StartTimestamp"]


def test_data_is_left_out_where_it_is_not_wanted(server, client_of):
    client = client_of(server({"adds": samples.adds}))
    arn = started(client, "adds", Payload=b'{"left": 1, "right": 2}')
    ended(client, arn)

    told = client.get_durable_execution(DurableExecutionArn=arn, IncludeExecutionData=False)

    assert told["ExecutionDataIncluded"] is False
    assert not {"InputPayload", "Result", "Error"} & set(told)


def test_times_are_seconds_with_a_fraction(server, client_of, raw_of):
    runner = server({"sleeps": samples.sleeps})
    arn = client_of(runner).invoke(FunctionName="sleeps")["DurableExecutionArn"]

    told = raw_of(runner).get(path(arn)).json()
    events = raw_of(runner).get(path(arn, "/history")).json()["Events"]

    assert isinstance(told["StartTimestamp"], float)
    assert abs(told["StartTimestamp"] - datetime.now(UTC).timestamp()) < 60
    assert all(isinstance(event["EventTimestamp"], float) for event in events)
    wait = next(event["WaitStartedDetails"] for event in events if "WaitStartedDetails" in event)
    assert wait["ScheduledEndTimestamp"] - told["StartTimestamp"] == pytest.approx(86400, abs=1)


def test_history_comes_by_pages_in_both_directions(server, client_of):
    client = client_of(server({"sleeps": samples.sleeps}))
    arn = client.invoke(FunctionName="sleeps")["DurableExecutionArn"]

    def ids(**options):
        pages, marker = [], {}
        while True:
            told = client.get_durable_execution_history(DurableExecutionArn=arn, MaxItems=5, **options, **marker)
            pages.append([event["EventId"] for event in told["Events"]])
            if "NextMarker" not in told:
                return pages
            marker = {"Marker": told["NextMarker"]}

    assert ids() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13]]
    assert ids(ReverseOrder=True) == [[13, 12, 11, 10, 9], [8, 7, 6, 5, 4], [3, 2, 1]]


def test_history_tells_data_when_it_is_asked_to(server, client_of):
    client = client_of(server({"adds": samples.adds}))
    arn = client.invoke(FunctionName="adds", Payload=b'{"left": 1, "right": 2}')["DurableExecutionArn"]

    def last(**options):
        events = client.get_durable_execution_history(DurableExecutionArn=arn, **options)["Events"]
        return events[-1]["ExecutionSucceededDetails"]["Result"]

    assert last() == {"Truncated": True}
    assert last(IncludeExecutionData=True) == {"Payload": "3", "Truncated": False}


def test_an_execution_is_stopped_with_the_error_that_is_given(server, client_of):
    client = client_of(server({"asks": samples.asks}))
    arn = waiting_for_callback(client)

    error = {"ErrorType": "Operator", "ErrorMessage": "enough", "ErrorData": "42", "StackTrace": ["a", "b"]}
    at = client.stop_durable_execution(DurableExecutionArn=arn, Error=error)["StopTimestamp"]
    again = client.stop_durable_execution(DurableExecutionArn=arn)["StopTimestamp"]
    told = client.get_durable_execution(DurableExecutionArn=arn)

    assert (told["Status"], told["Error"]) == ("STOPPED", error)
    assert at == again == told["EndTimestamp"]


def test_an_execution_is_stopped_without_an_error(server, client_of):
    client = client_of(server({"asks": samples.asks}))
    arn = waiting_for_callback(client)

    client.stop_durable_execution(DurableExecutionArn=arn)

    error = client.get_durable_execution(DurableExecutionArn=arn)["Error"]
    assert error == {"ErrorMessage": "Execution stopped by user request"}


def test_who_waits_for_an_execution_is_told_that_it_has_timed_out(server, client_of):
    client = client_of(server({"asks": samples.asks}, timeout=1))

    answer = client.invoke(FunctionName="asks")

    assert answer["FunctionError"] == "Unhandled"
    assert payload(answer)["errorMessage"] == "Execution timed out after 1 seconds."


def test_a_deadline_takes_its_real_time_where_waits_are_skipped(server, client_of):
    client = client_of(server({"asks": samples.asks}, timeout=1))

    told = ended(client, started(client, "asks"))

    assert told["Status"] == "TIMED_OUT"


def test_a_deadline_comes_at_once_when_the_clock_is_moved(server, client_of):
    runner = server({"listens": samples.listens}, timeout=7200)
    client = client_of(runner)
    arn = waiting_for_callback(client, "listens")

    runner.advance(minutes=6)

    assert ended(client, arn)["Error"]["ErrorMessage"].startswith("Callback timed out on heartbeat")


def test_time_is_real_where_it_is_not_skipped(server, client_of):
    client = client_of(server({"sleeps": samples.sleeps}, clock=RealClock()))

    arn = started(client, "sleeps")
    until(lambda: "WaitStarted" in kinds(client, arn), "that it waits")

    assert "WaitSucceeded" not in kinds(client, arn)
    client.stop_durable_execution(DurableExecutionArn=arn)


# --- Pause and resume: newer versions of boto3 know them, and say what is sent here -----------------


def test_a_paused_execution_goes_on_when_it_is_resumed(server, client_of, raw_of):
    runner = server({"asks": samples.asks})
    client, raw = client_of(runner), raw_of(runner)
    arn = waiting_for_callback(client)

    paused = raw.post(path(arn, "/pause"), json={"Reason": "lunch", "ClientToken": "a"})
    told = raw.get(path(arn)).json()
    client.send_durable_execution_callback_success(CallbackId=callback_of(client, arn), Result=b"yes")
    resumed = raw.post(path(arn, "/resume"), json={"Reason": "coffee", "ClientToken": "b"})

    assert (paused.status_code, paused.json()) == (202, {})
    assert told["Status"] == "PAUSED"
    assert told["PauseDetails"]["Reason"] == "lunch"
    assert told["PauseDetails"]["ExecutionTimeoutPaused"] is True
    assert told["ExpectedExecutionTimeoutTimestamp"] - told["StartTimestamp"] == pytest.approx(366 * 86400)
    assert (resumed.status_code, resumed.json()) == (202, {})
    assert ended(client, arn)["Result"] == '"yes"'
    events = raw.get(path(arn, "/history"), params={"IncludeExecutionData": "true"}).json()["Events"]
    by_type = {event["EventType"]: event[f"{event['EventType']}Details"] for event in events}
    assert by_type["ExecutionPaused"]["Reason"] == {"Payload": "lunch", "Truncated": False}
    assert by_type["ExecutionResumed"]["Reason"] == {"Payload": "coffee", "Truncated": False}


def test_a_pause_may_leave_the_timeout_running(server, client_of, raw_of):
    runner = server({"asks": samples.asks}, timeout=600)
    raw = raw_of(runner)
    arn = waiting_for_callback(client_of(runner))

    raw.post(path(arn, "/pause"), json={"ExecutionTimeoutPaused": False})
    told = raw.get(path(arn), params={"IncludeExecutionData": "false"}).json()

    assert told["PauseDetails"]["ExecutionTimeoutPaused"] is False
    assert told["ExpectedExecutionTimeoutTimestamp"] - told["StartTimestamp"] == pytest.approx(600)


def test_a_request_to_pause_may_be_repeated_by_its_token_alone(server, client_of, raw_of):
    runner = server({"asks": samples.asks})
    raw = raw_of(runner)
    arn = waiting_for_callback(client_of(runner))

    answers = [
        raw.post(path(arn, what), json=body)
        for what, body in [
            ("/pause", {"ClientToken": "a"}),
            ("/pause", {"ClientToken": "a"}),
            ("/pause", {"ClientToken": "b"}),
            ("/pause", {}),
            ("/resume", {"ClientToken": "c"}),
            ("/resume", {"ClientToken": "c"}),
            ("/resume", {"ClientToken": "d"}),
        ]
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 409, 409, 202, 202, 409]
    assert answers[2].headers["x-amzn-ErrorType"] == "ResourceConflictException"
    assert kinds(client_of(runner), arn).count("ExecutionPaused") == 1


def test_a_request_is_known_again_by_any_token_of_the_last_fifteen_minutes(server, client_of, raw_of):
    runner = server({"asks": samples.asks}, timeout=86400)
    raw, arn = raw_of(runner), waiting_for_callback(client_of(runner))

    def post(what, token, reason=None):
        body = {"ClientToken": token} if reason is None else {"ClientToken": token, "Reason": reason}
        return raw.post(path(arn, what), json=body).status_code

    first = [post("/pause", "a"), post("/resume", "b"), post("/pause", "c")]
    again = [post("/pause", "a"), post("/resume", "b"), post("/pause", "c")]
    status = raw.get(path(arn)).json()["Status"]
    other = post("/pause", "a", "another request")
    runner.advance(minutes=16)
    late = [post("/pause", "a"), post("/resume", "b")]

    assert (first, again, status) == ([202] * 3, [202] * 3, "PAUSED")
    assert other == 409
    assert late == [409, 202]
    counts = kinds(client_of(runner), arn)
    assert (counts.count("ExecutionPaused"), counts.count("ExecutionResumed")) == (2, 2)


def test_a_request_is_known_again_by_the_service_that_goes_on_with_the_store(server, client_of, raw_of, tmp_path):
    def serve():
        return server({"asks": samples.asks}, timeout=86400, store_type="sqlite", store_path=tmp_path / "store")

    runner = serve()
    arn = waiting_for_callback(client_of(runner))
    before = raw_of(runner).post(path(arn, "/pause"), json={"ClientToken": "a"}).status_code
    runner.stop()

    raw = raw_of(serve())
    after = [raw.post(path(arn, "/pause"), json={"ClientToken": token}).status_code for token in ("a", "b")]

    assert (before, after) == (202, [202, 409])


_withholds_tokens = pytest.mark.skipif(
    not REVOCABLE, reason="the SDK in this process would not understand that it gets no token"
)


@_withholds_tokens
def test_an_execution_that_is_invoked_pauses_with_its_next_checkpoint(server, client_of, raw_of, held):
    runner = server({"held": held})
    client, raw = client_of(runner), raw_of(runner)
    arn = started(client, "held")
    _, token = held.called()

    raw.post(path(arn, "/pause"))
    assert raw.get(path(arn)).json()["Status"] == "PAUSING"
    answer = client.checkpoint_durable_execution(DurableExecutionArn=arn, CheckpointToken=token)
    assert "CheckpointToken" not in answer
    held.returns({"Status": "PENDING"})
    until(lambda: raw.get(path(arn)).json()["Status"] == "PAUSED", "that it is paused")
    raw.post(path(arn, "/resume"))
    held.called()
    held.returns({"Status": "SUCCEEDED", "Result": "1"})

    assert ended(client, arn)["Status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("version", "revoked"),
    [
        ("1.5.0", False),
        ("2.0.9", False),
        pytest.param("2.1.0", True, marks=_withholds_tokens),
        pytest.param("3.0.0", True, marks=_withholds_tokens),
    ],
)
def test_an_sdk_that_knows_no_pause_keeps_its_token(server, client_of, raw_of, held, version, revoked):
    runner = server({"held": held})
    raw = raw_of(runner)
    arn = started(client_of(runner), "held")
    _, token = held.called()
    raw.post(path(arn, "/pause"))

    answer = raw.post(
        path(arn, "/checkpoint"),
        json={"CheckpointToken": token},
        headers={"User-Agent": f"Boto3/1.44 aws-durable-execution-sdk-python/{version}-bundled"},
    )

    assert ("CheckpointToken" not in answer.json()) is revoked


@pytest.mark.parametrize("what", ["/pause", "/resume"])
def test_an_execution_that_has_ended_is_not_paused_or_resumed(server, client_of, raw_of, what):
    runner = server({"adds": samples.adds})
    arn = client_of(runner).invoke(FunctionName="adds")["DurableExecutionArn"]

    refused = raw_of(runner).post(path(arn, what))

    assert refused.status_code == 409
    assert refused.headers["x-amzn-ErrorType"] == "ResourceConflictException"


# --- Delete -----------------------------------------------------------------------------------------


def test_an_execution_that_has_ended_is_deleted(server, client_of, raw_of):
    runner = server({"adds": samples.adds}, clock=RealClock())
    client, raw = client_of(runner), raw_of(runner)
    arn = client.invoke(FunctionName="adds", DurableExecutionName="n")["DurableExecutionArn"]

    deleted = raw.delete(path(arn))
    told = raw.get(path(arn))

    assert deleted.status_code == 202
    assert isinstance(deleted.json()["DeletionRequestTimestamp"], float)
    assert told.status_code == 404 or told.json()["Status"] == "DELETING"
    until(lambda: raw.get(path(arn)).status_code == 404, "that it is gone")
    assert raw.get(path(arn, "/history")).status_code == 404
    assert client.list_durable_executions_by_function(FunctionName="adds")["DurableExecutions"] == []
    assert client.invoke(FunctionName="adds", DurableExecutionName="n")["DurableExecutionArn"] != arn


def test_an_execution_is_deleting_for_a_moment(server, client_of, raw_of):
    from steprig.kernel import VirtualClock

    clock = VirtualClock(auto=False)
    runner = server({"adds": samples.adds}, clock=clock)
    client, raw = client_of(runner), raw_of(runner)
    arn = client.invoke(FunctionName="adds")["DurableExecutionArn"]

    raw.delete(path(arn))
    shown = raw.get(path(arn)).json()["Status"], raw.get("/2025-12-01/durable-executions").json()["DurableExecutions"]
    clock.advance(seconds=2)

    assert shown[0] == "DELETING"
    assert [one["Status"] for one in shown[1]] == ["DELETING"]
    assert raw.get(path(arn)).status_code == 404
    assert raw.delete(path(arn)).status_code == 404


def test_an_execution_that_goes_on_is_not_deleted(server, client_of, raw_of):
    runner = server({"asks": samples.asks})
    arn = waiting_for_callback(client_of(runner))

    refused = raw_of(runner).delete(path(arn))

    assert refused.status_code == 409
    assert refused.headers["x-amzn-ErrorType"] == "ResourceConflictException"
    assert "RUNNING" in refused.json()["message"]
