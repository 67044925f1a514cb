"""Tokens, answers and what they tell."""

import pytest

from steprig.aws import completions, paging
from steprig.aws.errors import InvalidParameterValueException
from steprig.aws.invocations import Failed, Returned, finish
from steprig.aws.model import ErrorObject

from .story import Story, callback, error, invoke, retry, update, wait

PENDING = Returned({"Status": "PENDING"})


def step(action, ident="op", **fields):
    return update("STEP", action, ident, **fields)


def told(answer):
    return [(operation.id, operation.status.value) for operation in answer.operations]


def test_a_token_is_good_for_one_checkpoint():
    story = Story()
    first = story.state.token

    answer = story.checkpoint()

    assert answer.next_token == story.state.token != first
    with pytest.raises(InvalidParameterValueException, match=r"^Invalid checkpoint token: 1 checkpoints were taken"):
        story.checkpoint(token=first)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda story: "nonsense", "none that was given out"),
        (lambda story: "", "none that was given out"),
        (lambda story: story.state.token[:-4], "of another execution"),
    ],
)
def test_a_wrong_token_is_refused_in_words_that_the_sdk_knows(spoil, why):
    story = Story()

    with pytest.raises(InvalidParameterValueException, match=f"^Invalid checkpoint token: .*{why}"):
        story.checkpoint(wait(), token=spoil(story))
    assert story.types() == ["ExecutionStarted"]


def test_the_token_of_an_invocation_that_is_over_is_refused():
    story = Story()
    story.checkpoint(wait())
    old = story.state.token
    story.take(finish, "INV0", PENDING)

    with pytest.raises(InvalidParameterValueException, match="its invocation is over"):
        story.checkpoint(token=old)
    story.later(seconds=20).take(completions.wake)
    with pytest.raises(InvalidParameterValueException, match="its invocation is over"):
        story.checkpoint(token=old)


def test_the_token_of_an_execution_that_has_ended_is_refused():
    story = Story()
    token = story.state.token
    story.take(completions.stop, None)

    with pytest.raises(InvalidParameterValueException, match="the execution has ended"):
        story.checkpoint(token=token)


def test_a_repetition_is_answered_as_the_first_and_changes_nothing():
    story = Story()
    token = story.state.token
    first = story.checkpoint(wait(), token=token, client_token="once")
    recorded = len(story.records)
    story.later(seconds=20).take(completions.wake)
    after_wake = len(story.records)

    again = story.checkpoint(wait(), token=token, client_token="once")

    assert again == first
    assert len(story.records) == after_wake > recorded


@pytest.mark.parametrize("client_token", [None, "", "other"])
def test_what_is_no_repetition_is_held_against_the_token(client_token):
    story = Story()
    token = story.state.token
    story.checkpoint(token=token, client_token="once")

    with pytest.raises(InvalidParameterValueException, match="Invalid checkpoint token"):
        story.checkpoint(token=token, client_token=client_token)


def test_only_the_last_checkpoint_can_be_repeated():
    story = Story()
    token = story.state.token
    story.checkpoint(token=token, client_token="once")
    story.checkpoint()

    with pytest.raises(InvalidParameterValueException, match="Invalid checkpoint token"):
        story.checkpoint(token=token, client_token="once")


def test_an_answer_tells_what_has_changed_in_the_order_of_creation():
    story = Story()
    assert told(story.checkpoint(step("START", "a"), step("START", "b"))) == [("a", "STARTED"), ("b", "STARTED")]
    assert told(story.checkpoint()) == []
    answer = story.checkpoint(step("SUCCEED", "b"), step("SUCCEED", "a"), step("START", "c"))
    assert told(answer) == [("a", "SUCCEEDED"), ("b", "SUCCEEDED"), ("c", "STARTED")]


def test_an_answer_has_what_the_function_cannot_go_on_without():
    story = Story()

    operations = {one.id: one for one in story.checkpoint(callback(ident="c"), invoke("nobody", "i")).operations}

    assert operations["c"].callback_id
    assert operations["i"].status == "FAILED"
    assert operations["i"].error.error_message == "Function not found: nobody."


def test_a_function_that_asks_sees_what_has_become_due_meanwhile():
    story = Story()
    story.checkpoint(wait(10, "w"), step("START", "s"))
    story.checkpoint(retry(5, "s", error=error()))

    assert told(story.later(seconds=6).checkpoint()) == [("s", "READY")]
    assert told(story.later(seconds=6).checkpoint()) == [("w", "SUCCEEDED")]
    assert story.types()[-1] == "WaitSucceeded"


def test_a_failed_invocation_is_told_again_what_it_was_not_told():
    story = Story()
    story.checkpoint(wait(10))
    story.take(finish, "INV0", PENDING)
    story.later(seconds=11).take(completions.wake)
    assert story.state.invocation.updated == ("op",)
    story.take(finish, story.state.invocation.id, Failed(ErrorObject("crash")))
    story.later(seconds=6).take(completions.wake)

    assert told(story.checkpoint()) == [("op", "SUCCEEDED")]


def test_attempts_are_counted_when_they_end():
    story = Story()
    counted = []
    for action in (step("START"), retry(5, error=error()), None, step("START"), retry(5), None, step("SUCCEED")):
        if action is None:
            story.later(seconds=6).take(completions.wake)
        else:
            story.checkpoint(action)
        counted.append((story.operation().status.value, story.operation().attempt))

    assert counted == [
        ("STARTED", 0),
        ("PENDING", 1),
        ("READY", 1),
        ("STARTED", 1),
        ("PENDING", 2),
        ("READY", 2),
        ("SUCCEEDED", 3),
    ]


def test_the_state_of_a_poll_is_kept_until_the_next():
    story = Story()
    story.checkpoint(step("START"), retry(5, payload="7"))
    assert story.operation().next_attempt_at is not None
    for _ in ("ready", "started"):
        assert story.operation().result == "7"
        if story.operation().status == "PENDING":
            story.later(seconds=6).take(completions.wake)
            assert story.operation().next_attempt_at is None
        else:
            story.checkpoint(step("START"))
    assert (story.operation().status, story.operation().result) == ("STARTED", "7")


def test_a_step_keeps_the_time_of_its_first_start():
    story = Story()
    story.checkpoint(step("START"))
    begun = story.operation().started_at
    story.checkpoint(retry(5, error=error()))
    story.later(seconds=6).take(completions.wake)
    story.checkpoint(step("START"), step("SUCCEED"))

    assert story.operation().started_at == begun


def test_the_end_of_an_execution_may_be_checkpointed_and_comes_after_its_invocation():
    story = Story()

    answer = story.checkpoint(
        step("START"), step("SUCCEED"), update("EXECUTION", "SUCCEED", "execution-result-1", payload="1")
    )
    assert answer.next_token is None
    story.take(finish, "INV0", Returned({"Status": "SUCCEEDED", "Result": ""}))

    assert story.types()[-2:] == ["InvocationCompleted", "ExecutionSucceeded"]
    assert story.state.result == "1"


def test_a_paused_execution_withholds_the_token_and_keeps_the_updates():
    story = Story()
    story.take(completions.pause)
    assert story.state.status == "PAUSING"

    answer = story.checkpoint(wait())

    assert answer.next_token is None
    assert story.operation().status == "STARTED"
    story.take(finish, "INV0", PENDING)
    assert story.state.status == "PAUSED"
    story.take(completions.resume)
    assert story.state.invocation is not None


def test_an_sdk_that_does_not_understand_that_keeps_its_token():
    story = Story(revocable=False)
    story.take(completions.pause)

    assert story.checkpoint(wait()).next_token is not None


def test_operations_come_in_pages():
    story = Story()
    story.checkpoint(*(step("SUCCEED", f"s{n}", payload="x" * 100) for n in range(5)))

    first = paging.first_page(story.state, 250)
    assert [one.id for one in first.operations] == ["EXEC", "s0", "s1"]
    second = paging.state_page(story.state, story.state.token, first.next_marker, 2)
    assert [one.id for one in second.operations] == ["s2", "s3"]
    third = paging.state_page(story.state, story.state.token, second.next_marker, 2)
    assert [one.id for one in third.operations] == ["s4"]
    assert third.next_marker is None
    assert paging.first_page(story.state).next_marker is None
    assert len(paging.first_page(story.state, 1).operations) == 1


@pytest.mark.parametrize("marker", ["nonsense", "AAAA", "MHwwfDA="])
def test_a_wrong_marker_is_refused(marker):
    story = Story()

    with pytest.raises(InvalidParameterValueException, match="Invalid marker"):
        paging.state_page(story.state, story.state.token, marker)


def test_a_marker_of_before_a_checkpoint_is_refused():
    story = Story()
    story.checkpoint(step("SUCCEED", "a"), step("SUCCEED", "b"))
    marker = paging.state_page(story.state, story.state.token, None, 1).next_marker
    story.checkpoint()

    with pytest.raises(InvalidParameterValueException, match="Invalid marker"):
        paging.state_page(story.state, story.state.token, marker)
    with pytest.raises(InvalidParameterValueException, match="Invalid checkpoint token"):
        paging.state_page(story.state, "nonsense", None)
    with pytest.raises(InvalidParameterValueException, match="MaxItems"):
        paging.state_page(story.state, story.state.token, None, 1001)
