"""What a checkpoint may hold, with the service's own words for what it may not."""

import pytest

from steprig.aws import completions
from steprig.aws import records as r
from steprig.aws.errors import InvalidParameterValueException
from steprig.aws.model import ErrorObject

from .story import Story, callback, error, invoke, retry, update, wait


def step(action, **fields):
    return retry(**fields) if action == "RETRY" else update("STEP", action, **fields)


def in_state(kind, status):
    """A story with an operation of this kind in this state."""
    story = Story()
    if status == "-":
        return story
    if kind == "STEP":
        story.checkpoint(step("START"))
        if status in ("PENDING", "READY"):
            story.checkpoint(retry(error=error()))
        if status == "READY":
            story.later(seconds=6).take(completions.wake)
        if status in ("SUCCEEDED", "FAILED"):
            story.checkpoint(step(status[:-2] if status == "FAILED" else "SUCCEED"))
    elif kind == "CONTEXT":
        story.checkpoint(update("CONTEXT", "START"))
        if status != "STARTED":
            story.checkpoint(update("CONTEXT", {"SUCCEEDED": "SUCCEED", "FAILED": "FAIL"}[status]))
    elif kind == "WAIT":
        story.checkpoint(wait())
        if status == "SUCCEEDED":
            story.later(seconds=11).take(completions.wake)
        if status == "CANCELLED":
            story.checkpoint(update("WAIT", "CANCEL"))
    elif kind == "CALLBACK":
        story.checkpoint(callback())
    else:
        story.checkpoint(invoke("nobody" if status == "FAILED" else "durable"))
    assert story.operation().status == status
    return story


STEP_STATES = ("-", "STARTED", "PENDING", "READY", "SUCCEEDED", "FAILED")
GOES_ON = ("-", "STARTED", "READY")
STEP_START = "Invalid current STEP state to start."
STEP_CLOSE = "Invalid current STEP state to close."
STEP_RETRY = "Invalid current STEP state to re-attempt."
CONTEXT_START = "Cannot start a CONTEXT that already exist."
CONTEXT_CLOSE = "Invalid current CONTEXT state to close."
WAIT_START = "Cannot start a WAIT that already exist."
WAIT_CANCEL = "Cannot cancel a WAIT that does not exist or has already completed."

TRANSITIONS = [
    *(("STEP", s, "START", None if s in ("-", "READY") else STEP_START, "STARTED") for s in STEP_STATES),
    *(("STEP", s, "SUCCEED", None if s in GOES_ON else STEP_CLOSE, "SUCCEEDED") for s in STEP_STATES),
    *(("STEP", s, "FAIL", None if s in GOES_ON else STEP_CLOSE, "FAILED") for s in STEP_STATES),
    *(("STEP", s, "RETRY", None if s in GOES_ON else STEP_RETRY, "PENDING") for s in STEP_STATES),
    *(("CONTEXT", s, "START", None if s == "-" else CONTEXT_START, "STARTED") for s in ("-", "STARTED", "SUCCEEDED")),
    *(
        ("CONTEXT", s, "SUCCEED", CONTEXT_CLOSE if s in ("SUCCEEDED", "FAILED") else None, "SUCCEEDED")
        for s in ("-", "STARTED", "SUCCEEDED", "FAILED")
    ),
    *(
        ("CONTEXT", s, "FAIL", CONTEXT_CLOSE if s in ("SUCCEEDED", "FAILED") else None, "FAILED")
        for s in ("-", "STARTED", "SUCCEEDED", "FAILED")
    ),
    *(("WAIT", s, "START", None if s == "-" else WAIT_START, "STARTED") for s in ("-", "STARTED", "SUCCEEDED")),
    *(
        ("WAIT", s, "CANCEL", None if s == "STARTED" else WAIT_CANCEL, "CANCELLED")
        for s in ("-", "STARTED", "SUCCEEDED", "CANCELLED")
    ),
    ("CALLBACK", "-", "START", None, "STARTED"),
    ("CALLBACK", "STARTED", "START", "Cannot start a CALLBACK that already exist.", ""),
    ("CHAINED_INVOKE", "-", "START", None, "STARTED"),
    *(
        ("CHAINED_INVOKE", s, "START", "Cannot start a CHAINED_INVOKE operation that already exists.", "")
        for s in ("STARTED", "FAILED")
    ),
]


def of_kind(kind, action):
    makers = {"WAIT": wait, "CALLBACK": callback, "CHAINED_INVOKE": invoke}
    if kind == "STEP":
        return step(action)
    return makers[kind]() if kind in makers and action == "START" else update(kind, action)


@pytest.mark.parametrize(("kind", "status", "action", "message", "becomes"), TRANSITIONS)
def test_a_transition_is_legal_or_refused(kind, status, action, message, becomes):
    story = in_state(kind, status)
    before, recorded = story.state, len(story.records)

    if message is None:
        story.checkpoint(of_kind(kind, action))
        assert story.operation().status == becomes
        return
    with pytest.raises(InvalidParameterValueException) as refused:
        story.checkpoint(of_kind(kind, action))
    assert str(refused.value) == message
    assert (story.state, len(story.records)) == (before, recorded)


CONTEXT = update("CONTEXT", "START", "ctx")

REFUSED = [
    (
        [update("EXECUTION", "SUCCEED", "a"), update("EXECUTION", "FAIL", "b")],
        "Cannot checkpoint multiple EXECUTION updates.",
    ),
    ([update("EXECUTION", "SUCCEED", "a"), wait()], "EXECUTION checkpoint must be the last update."),
    ([wait(), update("WAIT", "CANCEL")], "Cannot checkpoint multiple operations with the same ID."),
    ([step("START"), step("START")], "Cannot checkpoint multiple operations with the same ID."),
    ([step("START"), step("SUCCEED"), step("FAIL")], "Cannot checkpoint multiple operations with the same ID."),
    ([step("SUCCEED"), step("START")], "Cannot checkpoint multiple operations with the same ID."),
    ([wait(parent_id="none")], "Invalid parent operation id."),
    ([wait(parent_id="op2"), update("CONTEXT", "START", "op2")], "Invalid parent operation id."),
    ([step("START", ident="op2"), wait(parent_id="op2")], "Invalid parent operation id."),
    ([wait(parent_id="EXEC")], "Invalid parent operation id."),
    ([update("STEP", "START", "EXEC")], "Inconsistent operation type."),
    ([step("FAIL", error=ErrorObject("x" * 32_768))], "Error object size must be less than 32768 bytes."),
    (
        [invoke(payload="x" * 1_048_577)],
        "CHAINED_INVOKE input payload size must be less than or equal to 1048576 bytes.",
    ),
    ([invoke(payload="ü" * 524_289)], "CHAINED_INVOKE input payload size must be less than or equal to 1048576 bytes."),
    ([step("SUCCEED", payload="x" * 6_291_457)], "STEP payload size must be less than or equal to 6291456 bytes."),
    ([update("STEP", "CANCEL")], "Invalid action for the given operation type."),
    ([update("WAIT", "SUCCEED")], "Invalid action for the given operation type."),
    ([update("CALLBACK", "SUCCEED")], "Invalid action for the given operation type."),
    ([update("CHAINED_INVOKE", "CANCEL")], "Invalid action for the given operation type."),
    ([update("EXECUTION", "START")], "Invalid action for the given operation type."),
    ([update("CONTEXT", "RETRY")], "Invalid action for the given operation type."),
    ([update("STEP", "JUMP")], "Invalid action for the given operation type."),
    ([update("DANCE", "START")], "Unknown operation type."),
    ([update("STEP", "RETRY")], "Invalid StepOptions for the given action."),
    ([retry(error=error(), payload="1")], "Cannot provide both error and payload to RETRY a STEP."),
    ([retry(delay=0)], "NextAttemptDelaySeconds must be between 1 and 31622400, not 0."),
    ([update("CONTEXT", "SUCCEED", error=error())], "Cannot provide an Error for SUCCEED action."),
    ([update("CONTEXT", "FAIL", payload="1")], "Cannot provide a Payload for FAIL action."),
    ([update("EXECUTION", "SUCCEED", error=error())], "Cannot provide an Error for SUCCEED action."),
    ([update("EXECUTION", "FAIL", payload="1")], "Cannot provide a Payload for FAIL action."),
    ([update("WAIT", "START")], "WaitSeconds must be between 1 and 31622400, not 0."),
    ([wait(31_622_401)], "WaitSeconds must be between 1 and 31622400, not 31622401."),
    ([callback(timeout=-1)], "TimeoutSeconds must be between 0 and 99999999, not -1."),
    ([callback(heartbeat=10**8)], "HeartbeatTimeoutSeconds must be between 0 and 99999999, not 100000000."),
    ([update("CHAINED_INVOKE", "START")], "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions."),
    ([invoke("not a name!")], "Invalid function ARN 'not a name!'"),
    ([invoke("")], "Invalid function ARN ''"),
    ([invoke("x" * 257)], f"Invalid function ARN '{'x' * 257}'"),
    (
        [invoke("arn:aws:lambda:us-west-2:999999999999:function:f")],
        "Cannot start a CHAINED_INVOKE on a function in another account.",
    ),
    (
        [invoke("arn:aws:lambda:eu-west-1:123456789012:function:f")],
        "Cannot start a CHAINED_INVOKE on a function in another region.",
    ),
    ([invoke(tenant="")], "TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ]."),
    ([invoke(tenant="a" * 257)], "TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ]."),
    ([invoke(tenant="a#b")], "TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ]."),
]


@pytest.mark.parametrize(("updates", "message"), REFUSED)
def test_a_batch_is_refused_as_a_whole(updates, message):
    story = Story()
    before = story.state

    with pytest.raises(InvalidParameterValueException) as refused:
        story.checkpoint(update("CONTEXT", "START", "fine"), *updates)

    assert str(refused.value) == message
    assert story.state == before
    assert refused.value.response["Error"] == {"Code": "InvalidParameterValueException", "Message": message}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sub_type": "Other"}, "Inconsistent operation subtype."),
        ({"name": "other"}, "Inconsistent operation name."),
        ({"parent_id": "ctx2"}, "Inconsistent parent operation id."),
    ],
)
def test_later_updates_have_to_agree_with_the_first(fields, message):
    story = Story()
    story.checkpoint(CONTEXT, update("CONTEXT", "START", "ctx2"))
    story.checkpoint(step("START", name="one", sub_type="Step", parent_id="ctx"))

    with pytest.raises(InvalidParameterValueException, match=message):
        story.checkpoint(step("SUCCEED", **fields))

    story.checkpoint(step("SUCCEED"))
    assert (story.operation().name, story.operation().sub_type, story.operation().parent_id) == ("one", "Step", "ctx")


def test_errors_and_payloads_of_a_step_are_held_against_its_action_once_it_exists():
    story = Story()
    story.checkpoint(step("START"))

    with pytest.raises(InvalidParameterValueException, match="Cannot provide an Error for SUCCEED action"):
        story.checkpoint(step("SUCCEED", error=error()))
    with pytest.raises(InvalidParameterValueException, match="Cannot provide a Payload for FAIL action"):
        story.checkpoint(step("FAIL", payload="1"))

    Story().checkpoint(step("SUCCEED", error=error()))


def test_the_result_of_an_execution_that_was_invoked_is_small():
    story = Story(parent=r.Parent("above", "op"))

    with pytest.raises(InvalidParameterValueException, match="Execution output payload size must be"):
        story.checkpoint(update("EXECUTION", "SUCCEED", payload="x" * 1_048_577))

    Story().checkpoint(update("EXECUTION", "SUCCEED", payload="x" * 1_048_577))


def test_a_context_may_be_the_parent_of_what_comes_with_it():
    story = Story()

    story.checkpoint(CONTEXT, wait(parent_id="ctx"))

    assert story.operation().parent_id == "ctx"
