"""The request that calls a function."""

import json

import msgspec
import pytest

from steprig.inngest.call_request import call_request
from steprig.inngest.events import Event
from steprig.inngest.limits import MAX_STEP_BYTES
from steprig.inngest.opcodes import DISCOVERY
from steprig.inngest.records import DeferAborted, DeferAdded, Job, RunQueued, StepEnded
from steprig.inngest.state import advance, fold

JOB = Job("JOB", DISCOVERY, attempt=1, max_attempts=4)


def event(number, size=2):
    data = json.dumps({"n": number, "text": "x" * size}).encode()
    return Event(internal_id=f"E{number}", name="test/e", data=msgspec.Raw(data), id=f"E{number}", ts=number)


def state_with(*events, memos=()):
    state = fold(None, RunQueued("RUN", "app-fn", "app", events, 4))
    for name, memo in memos:
        state = advance(state, StepEnded(step=name, title=name, op="RUN", memo=msgspec.Raw(memo)))
    return state


def body_of(state):
    request = call_request(state, JOB, "REQUEST")
    assert len(request.body) <= MAX_STEP_BYTES
    return json.loads(request.body)


def test_a_small_run_is_sent_along():
    body = body_of(state_with(event(1), event(2), memos=[("a", b'{"data":1}')]))

    assert ([each["data"]["n"] for each in body["events"]], body["event"]["data"]["n"]) == ([1, 2], 1)
    assert body["steps"] == {"a": {"data": 1}}
    assert (body["use_api"], body["ctx"]["use_api"]) == (False, False)
    assert (body["ctx"]["attempt"], body["ctx"]["max_attempts"], body["ctx"]["stack"]["stack"]) == (1, 4, ["a"])


def test_steps_that_are_too_large_have_to_be_fetched_and_events_are_sent():
    body = body_of(state_with(event(1), memos=[("a", b'"' + b"x" * MAX_STEP_BYTES + b'"')]))

    assert (body["use_api"], body["steps"], len(body["events"])) == (True, {}, 1)
    assert body["ctx"]["stack"]["stack"] == ["a"]


@pytest.mark.parametrize("memos", [[], [("a", b'{"data":1}')]])
def test_a_batch_that_is_too_large_has_to_be_fetched(memos):
    body = body_of(state_with(*(event(number, 1 << 20) for number in range(8)), memos=memos))

    assert (body["use_api"], body["ctx"]["use_api"]) == (True, True)
    assert (body["events"], body["event"]["data"]["n"], body["steps"]) == ([], 0, {})


def test_deferrals_are_told_of_with_whether_they_may_be_taken_back():
    state = state_with(event(1))
    for step, refused in [("a", ""), ("b", "the input is no object"), ("c", "")]:
        state = advance(
            state, DeferAdded(step=step, title=step, function="f", input=msgspec.Raw(b"{}"), refused=refused)
        )
    state = advance(state, DeferAborted("c"))

    assert body_of(state)["defers"] == {"a": {"abortable": True}, "b": {"abortable": False}, "c": {"abortable": False}}
