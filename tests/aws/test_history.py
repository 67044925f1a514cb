"""The history: what is told of each event, in which order, in pages."""

import pytest

from steprig.aws import completions, history
from steprig.aws import records as r
from steprig.aws.errors import InvalidParameterValueException
from steprig.aws.invocations import Failed, NoFunction, Returned, finish, lose
from steprig.aws.model import ErrorObject

from .story import Story, callback, error, invoke, retry, update, wait

PENDING = Returned({"Status": "PENDING"})


def step(action, **fields):
    return update("STEP", action, **fields)


def last(story, **options):
    return history.events(story.records, **options)[-1]


def test_a_whole_history_is_in_the_order_in_which_it_happened():
    story = Story()
    story.checkpoint(
        step("START", ident="s"), step("SUCCEED", ident="s", payload="1"), wait(10, "w"), callback(ident="c")
    )
    story.take(finish, "INV0", PENDING)
    story.take(completions.succeed_callback, "c", b"yes")
    story.take(finish, story.state.invocation.id, PENDING)
    story.later(seconds=11).take(completions.wake)
    story.take(finish, story.state.invocation.id, Returned({"Status": "SUCCEEDED", "Result": "2"}))

    assert story.types() == [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "WaitStarted",
        "CallbackStarted",
        "InvocationCompleted",
        "CallbackSucceeded",
        "InvocationCompleted",
        "WaitSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    assert [event.event_id for event in history.events(story.records)] == list(range(1, 12))


def test_a_first_event_tells_input_and_timeout():
    story = Story()

    event = history.events(story.records)[0].to_dict()

    assert (event["EventId"], event["Id"], event["Name"]) == (1, "EXEC", "name")
    assert event["ExecutionStartedDetails"] == {
        "Input": {"Payload": "null", "Truncated": False},
        "ExecutionTimeout": 301,
    }


DETAILS = [
    (step("START"), {}),
    (
        step("SUCCEED", payload="1"),
        {"Result": {"Payload": "1", "Truncated": False}, "RetryDetails": {"CurrentAttempt": 1}},
    ),
    (step("SUCCEED"), {"Result": {"Truncated": False}, "RetryDetails": {"CurrentAttempt": 1}}),
    (
        step("FAIL", error=error()),
        {
            "Error": {"Payload": {"ErrorMessage": "broken", "ErrorType": "Broken"}, "Truncated": False},
            "RetryDetails": {"CurrentAttempt": 1},
        },
    ),
    (
        retry(5, payload="7"),
        {
            "Result": {"Payload": "7", "Truncated": False},
            "RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 5},
        },
    ),
    (update("CONTEXT", "START"), {}),
    (update("CONTEXT", "SUCCEED", payload="1"), {"Result": {"Payload": "1", "Truncated": False}}),
]


@pytest.mark.parametrize(("reported", "details"), DETAILS)
def test_an_event_of_an_operation_has_its_details(reported, details):
    story = Story()
    story.checkpoint(reported)

    assert last(story).details == details
    assert last(story).to_dict()[f"{last(story).event_type}Details"] == details


def test_a_retry_with_an_error_is_a_failure():
    story = Story()
    story.checkpoint(retry(5, error=error()))

    assert last(story).event_type == "StepFailed"
    assert last(story).details["RetryDetails"] == {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 5}


def test_a_wait_tells_how_long_it_is_and_until_when():
    story = Story()
    story.checkpoint(wait(10, name="nap", sub_type="Wait"))
    event = last(story)

    assert (event.name, event.sub_type, event.details["Duration"]) == ("nap", "Wait", 10)
    assert (event.details["ScheduledEndTimestamp"] - event.event_timestamp).total_seconds() == 10
    story.later(seconds=11).take(completions.wake)
    assert last(story).details == {"Duration": 10}


def test_a_callback_tells_its_timeouts_where_it_has_some():
    story = Story()
    story.checkpoint(callback(60, 5, "a"), callback(ident="b"))
    first, second = history.events(story.records)[-2:]

    assert (first.details["Timeout"], first.details["HeartbeatTimeout"]) == (60, 5)
    assert set(second.details) == {"CallbackId"}


@pytest.mark.parametrize("name", ["durable", "plain"])
def test_a_chained_invoke_tells_what_runs(name):
    story = Story()
    story.checkpoint(invoke(name, tenant="blue", payload="1"))
    details = last(story).details

    assert details["FunctionName"] == name
    assert (details["TenantId"], details["ExecutedVersion"]) == ("blue", "$LATEST")
    assert details["Input"] == {"Payload": "1", "Truncated": False}
    assert f":function:{name}:$LATEST/durable-execution/" in details["DurableExecutionArn"]


def test_the_input_of_an_unknown_function_is_not_kept():
    story = Story()
    story.checkpoint(invoke("nobody", payload="secret"))
    started, failed = history.events(story.records)[-2:]

    assert started.details["Input"] == {"Truncated": False}
    assert failed.details["Error"]["Payload"]["ErrorType"] == "ResourceNotFoundException"


def test_an_invocation_tells_when_it_ran_and_why_it_failed():
    story = Story()
    story.later(seconds=3).take(finish, "INV0", Failed(ErrorObject("gone", "Runtime.ExitError")))
    details = last(story).details

    assert (details["EndTimestamp"] - details["StartTimestamp"]).total_seconds() >= 3
    assert details["RequestId"] == "INV0"
    assert details["Error"] == {
        "Payload": {"ErrorMessage": "gone", "ErrorType": "Runtime.ExitError"},
        "Truncated": False,
    }


def test_data_is_left_out_unless_it_is_asked_for():
    story = Story()
    story.checkpoint(step("SUCCEED", payload="secret"), invoke(payload="secret", ident="i"))
    story.take(completions.stop, ErrorObject("secret"))

    told = str([event.to_dict() for event in history.events(story.records, include_execution_data=False)])

    assert "secret" not in told
    assert "'Truncated': True" in told


def test_pages_follow_each_other_in_both_directions():
    story = Story()
    for number in range(6):
        story.checkpoint(step("SUCCEED", ident=f"s{number}"))

    def read(**options):
        marker, found = None, []
        while True:
            page = history.page(story.records, max_items=3, marker=marker, **options)
            found.append([event.event_id for event in page.events])
            marker = page.next_marker
            if marker is None:
                return found

    assert read() == [[1, 2, 3], [4, 5, 6], [7]]
    assert read(reverse=True) == [[7, 6, 5], [4, 3, 2], [1]]
    assert len(history.page(story.records).events) == 7


@pytest.mark.parametrize("wrong", [{"marker": "x"}, {"marker": "-1"}, {"max_items": -1}, {"max_items": 1001}])
def test_wrong_pages_are_refused(wrong):
    with pytest.raises(InvalidParameterValueException):
        history.page(Story().records, **wrong)


# --- What follows from the end of an invocation -----------------------------------------------------


def test_five_failures_in_a_row_end_an_execution():
    story = Story()
    for number in range(1, 6):
        story.take(finish, story.state.invocation.id, Failed(ErrorObject(f"crash {number}", "Crash")))
        if number < 5:
            assert story.state.not_before is not None
            assert story.state.invocation is None
            story.later(seconds=5).take(completions.wake)

    assert story.types()[-2:] == ["InvocationCompleted", "ExecutionFailed"]
    assert story.state.error == ErrorObject("crash 5", "Crash")


def test_a_function_that_is_not_there_ends_an_execution_at_once():
    story = Story()
    story.take(finish, "INV0", NoFunction("f"))

    assert story.state.error.error_type == "ResourceNotFoundException"
    assert story.types() == ["ExecutionStarted", "InvocationCompleted", "ExecutionFailed"]


def test_waiting_for_nothing_is_refused_the_third_time():
    story = Story()
    for _ in range(2):
        story.take(finish, story.state.invocation.id, PENDING)
        assert story.state.ended is None
        assert story.state.invocation is not None
    story.take(finish, story.state.invocation.id, PENDING)

    assert story.state.error.error_message == "Cannot return PENDING status with no pending operations."


def test_what_came_while_the_function_ran_calls_it_again_unless_it_was_told():
    story = Story()
    story.checkpoint(callback(ident="c"), callback(ident="d"))
    story.take(completions.succeed_callback, "c", b"1")
    story.take(finish, "INV0", PENDING)
    assert story.state.invocation is not None

    told = Story()
    told.checkpoint(callback(ident="c"), callback(ident="d"))
    told.take(completions.succeed_callback, "c", b"1")
    told.checkpoint()
    told.checkpoint()
    told.take(finish, "INV0", PENDING)
    assert told.state.invocation is None


def test_what_the_last_checkpoint_told_calls_it_again_as_it_may_have_come_too_late():
    story = Story()
    story.checkpoint(callback(ident="c"), callback(ident="d"))
    story.take(completions.succeed_callback, "c", b"1")
    story.checkpoint()
    story.take(finish, "INV0", PENDING)

    assert story.state.invocation is not None


def test_what_is_part_of_a_context_that_has_ended_is_waited_for_no_more():
    story = Story()
    story.checkpoint(update("CONTEXT", "START", "ctx"), wait(10, "w", parent_id="ctx"))
    story.checkpoint(update("CONTEXT", "SUCCEED", "ctx"))
    assert story.state.pending == {}

    story.take(finish, "INV0", PENDING)
    assert story.state.idle == 1


def test_what_a_lost_invocation_did_stays_done():
    story = Story()
    story.checkpoint(step("SUCCEED", payload="1"))
    story.take(lose)

    assert story.types()[-1] == "InvocationCompleted"
    assert story.state.failures == 0
    assert story.state.invocation.id != "INV0"


def test_an_execution_that_has_ended_hears_nothing_any_more():
    story = Story()
    story.checkpoint(callback(ident="c"), invoke(ident="i"))
    story.take(completions.time_out)
    recorded = len(story.records)

    story.take(finish, "INV0", PENDING)
    story.take(completions.time_out_operation, "c")
    story.take(completions.end_invoke, "i", r.ExecutionSucceeded(result="1"))
    story.take(completions.wake)
    story.take(completions.stop, None)

    assert len(story.records) == recorded
    assert story.state.error.error_message == "Execution timed out after 301 seconds."


def test_a_paused_timeout_stands_still():
    story = Story()
    due = story.state.timeout_at
    story.take(completions.pause, timeout_paused=True)
    story.later(hours=1).take(completions.resume)

    assert (story.state.timeout_at - due).total_seconds() == pytest.approx(3600, abs=1)
