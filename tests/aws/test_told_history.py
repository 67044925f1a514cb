"""A history that is told over the wire, read by boto3 and read back here is that of the same execution."""

import time
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import RestJSONParser
from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.aws import completions
from steprig.aws import records as r
from steprig.aws.errors import DurableFunctionsTestError
from steprig.aws.history import events
from steprig.aws.http import wire
from steprig.aws.invocations import Failed, Returned, finish
from steprig.aws.model import ErrorObject, OperationStatus
from steprig.aws.projection import project
from steprig.aws.told_history import event_from, records_of, state_of, without_data
from steprig.aws.waited_for import is_answered, open_callback

from .story import ARN, Story, callback, error, invoke, retry, update, wait
from .test_properties import HAPPENINGS, IDS, told_story

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")
SHAPE = MODEL.operation_model("GetDurableExecutionHistory").output_shape
EMPTY = ErrorObject()


def as_boto3_reads(told):
    """The events of a history after they went over the wire."""
    body = msgspec.json.encode({"Events": [wire.event(one) for one in told]})
    answer = RestJSONParser().parse({"body": body, "headers": {}, "status_code": 200}, SHAPE)
    return [event_from(one) for one in answer["Events"]]


def seen(operation):
    """What a history tells of an operation. No event tells that a retry is due, nor of an error that has no parts."""
    status = OperationStatus.PENDING if operation.status is OperationStatus.READY else operation.status
    named = (operation.id, operation.type, status, operation.order, operation.parent_id, operation.name)
    when = (operation.started_at, operation.ended_at, operation.scheduled_end_at, operation.attempted_at)
    outcome = (operation.result, operation.error or None if operation.error != EMPTY else None, operation.attempt)
    return *named, operation.sub_type, *when, *outcome, operation.callback_id, operation.heartbeat_seconds


def assert_same(story):
    told = as_boto3_reads(events(story.records))
    state = state_of(told, ARN)

    assert [*map(seen, state.operations.values())] == [*map(seen, story.state.operations.values())]
    due = {one.id: one.next_attempt_at for one in story.state.operations.values() if one.next_attempt_at is not None}
    assert due.items() <= {one.id: one.next_attempt_at for one in state.operations.values()}.items()
    assert (state.arn, state.ended, state.ended_at) == (story.state.arn, story.state.ended, story.state.ended_at)
    assert (state.result, state.error or EMPTY) == (story.state.result, story.state.error or EMPTY)
    assert (state.started.function, state.timeout_at) == (story.state.started.function, story.state.timeout_at)
    assert (state.pause is None) == (story.state.pause is None)
    for name in (None, *IDS):
        assert open_callback(state, name) == open_callback(story.state, name)
        assert is_answered(state, name) == is_answered(story.state, name)
    again = events(records_of(told, ARN))
    pauses = ("ExecutionPaused", "ExecutionResumed")  # this boto3 does not know them yet
    assert [one for one in again if one.event_type not in pauses] == [
        one for one in told if one.event_type not in pauses
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(HAPPENINGS, max_size=25))
def test_whatever_happens_is_read_back(happenings):
    assert_same(told_story(happenings))


def whole_story():
    """Everything that has an event, but for the ends of executions."""
    story = Story()
    story.checkpoint(
        update("CONTEXT", "START", "ctx", name="outer", sub_type="RunInChildContext"),
        update("STEP", "START", "s", parent_id="ctx", name="step", sub_type="Step"),
        update("STEP", "SUCCEED", "s", payload="1"),
        update("CONTEXT", "SUCCEED", "ctx", payload="2"),
        wait(5, "w", name="wait"),
        wait(6, "given up"),
        callback(60, 20, "c", name="asked"),
        callback(ident="d", name="refused"),
        callback(7, ident="late"),
        retry(9, "r", error=ErrorObject("m", "t", "d", ("line 1", "line 2"))),
        retry(9, "p", payload="3"),
        invoke("durable", "i", tenant="blue", payload="4"),
        invoke("plain", "j"),
        invoke("nobody", "n"),
        update("CONTEXT", "START", "bad"),
        update("CONTEXT", "FAIL", "bad", error=error()),
    )
    story.checkpoint(update("WAIT", "CANCEL", "given up", error=error()))
    story.take(finish, "INV0", Failed(ErrorObject("crash")))
    story.take(completions.succeed_callback, "c", b"yes")
    story.take(completions.fail_callback, "d", error("refused"))
    story.later(seconds=8).take(completions.wake)
    story.take(completions.time_out_operation, "late")
    story.take(completions.end_invoke, "i", r.ExecutionSucceeded(result="5"))
    return story


@pytest.mark.parametrize(
    "output",
    [
        {"Status": "SUCCEEDED", "Result": "6"},
        {"Status": "FAILED", "Error": {"ErrorMessage": "m", "ErrorType": "t", "StackTrace": ["a"]}},
        {"Status": "FAILED"},
    ],
)
def test_a_whole_story_is_read_back(output):
    story = whole_story()
    story.take(finish, story.state.invocation.id, Returned(output))
    assert story.state.ended is not None

    assert_same(story)


@pytest.mark.parametrize("end", [completions.stop, completions.time_out])
def test_an_end_from_outside_is_read_back(end):
    story = whole_story()
    story.take(end, error("enough")) if end is completions.stop else story.take(end)

    assert_same(story)


@pytest.mark.parametrize("end", [r.ExecutionFailed, r.ExecutionStopped, r.ExecutionTimedOut])
def test_an_invoke_that_ends_badly_is_read_back(end):
    story = Story()
    story.checkpoint(invoke("durable", "i"))

    story.take(completions.end_invoke, "i", end(error=error()))

    assert_same(story)


def test_a_pause_and_its_end_are_read_back():
    story = whole_story()
    for take in (completions.pause, completions.resume):
        story.take(take)
        assert_same(story)


def test_times_are_in_utc_wherever_boto3_runs(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        told = as_boto3_reads(events(whole_story().records))
    finally:
        monkeypatch.undo()
        time.tzset()

    times = [one.event_timestamp for one in told]
    times += [value for one in told for value in one.details.values() if isinstance(value, datetime)]
    assert {moment.utcoffset() for moment in times} == {timedelta(0)}
    assert len(times) > len(told)


def test_the_timeline_shows_the_same_steps():
    story = whole_story()
    here = there = None
    for record in story.records:
        here = project(here, record)
    for record in records_of(as_boto3_reads(events(story.records)), ARN):
        there = project(there, record)

    def spans(run):
        return [(span.id, span.name, span.status, span.attempts) for top in run.spans for span in top.walk()]

    assert spans(there) == spans(here)


def test_data_is_left_out_as_the_service_leaves_it_out():
    story = whole_story()

    bare = [without_data(one) for one in as_boto3_reads(events(story.records))]

    told = as_boto3_reads(events(story.records, include_execution_data=False))
    assert bare == told


def test_what_is_no_data_is_not_left_out():
    story = Story()
    story.checkpoint(update("STEP", "SUCCEED", "s", payload="1"))
    (told,) = (one for one in events(story.records) if one.event_type == "StepSucceeded")

    bare = without_data(replace(told, details={**told.details, "RetryDetails": {}}))

    assert bare.details == {"Result": {"Truncated": True}, "RetryDetails": {}}


def test_the_number_of_an_attempt_is_the_services_where_it_tells_of_it():
    story = Story()
    story.checkpoint(update("STEP", "SUCCEED", "s", payload="1"))
    started, tried = events(story.records)
    tried = replace(tried, details={**tried.details, "RetryDetails": {"CurrentAttempt": 4}})

    assert state_of([started, tried], ARN).operations["s"].attempt == 4


def test_a_wait_ends_when_the_service_says_so_and_else_after_its_time():
    story = Story()
    story.checkpoint(wait(5, "w"))
    started, waits = events(story.records)
    ends = waits.event_timestamp + timedelta(seconds=9)
    told, untold = (
        replace(waits, details=details) for details in ({"Duration": 5, "ScheduledEndTimestamp": ends}, {"Duration": 5})
    )

    assert state_of([started, told], ARN).operations["w"].scheduled_end_at == ends
    assert state_of([started, untold], ARN).operations["w"].scheduled_end_at == ends - timedelta(seconds=4)


def test_an_arn_of_another_make_is_taken_as_it_is():
    told = events(Story().records)

    state = state_of(told, "opaque-1/inv-2")

    assert (state.arn, state.started.id, state.started.name) == ("opaque-1/inv-2", "EXEC", "name")


def test_a_history_without_its_beginning_makes_no_sense():
    story = Story()
    story.checkpoint(wait(5, "w"))

    with pytest.raises(DurableFunctionsTestError, match="does not begin with ExecutionStarted"):
        state_of(events(story.records)[1:], ARN)


def test_an_event_of_what_never_began_makes_no_sense():
    story = Story()
    story.checkpoint(wait(5, "w"))
    story.later(seconds=9).take(completions.wake)
    told = [one for one in events(story.records) if one.event_type != "WaitStarted"]

    with pytest.raises(DurableFunctionsTestError, match=r"event 3 \(WaitSucceeded\) is about the operation 'w'"):
        state_of(told, ARN)
