"""Sizes of batches, reckoned as exactly as it takes."""

import logging

import pytest
from aws_durable_execution_sdk_python import lambda_service as sdk
from aws_durable_execution_sdk_python.state import ExecutionState, QueuedOperation
from hypothesis import given
from hypothesis import strategies as st

from steprig.aws.prompt.sizes import BatchSizes, with_rough_sizes
from steprig.aws.prompt.state import prompt_state

LIMIT = 20_000
exact = ExecutionState._calculate_operation_size

texts = st.one_of(st.none(), st.text(max_size=30), st.integers(0, 3 * LIMIT).map("x".__mul__), st.just("😀" * 500))
errors = st.builds(sdk.ErrorObject, texts, texts, st.none(), st.lists(st.text(max_size=9), max_size=3))
updates = st.builds(
    sdk.OperationUpdate,
    operation_id=st.text(max_size=64),
    operation_type=st.sampled_from(sdk.OperationType),
    action=st.sampled_from(sdk.OperationAction),
    parent_id=st.one_of(st.none(), st.text(max_size=64)),
    name=texts,
    sub_type=st.sampled_from([None, *sdk.OperationSubType]),
    payload=texts,
    error=st.one_of(st.none(), st.none(), errors),
    wait_options=st.one_of(st.none(), st.builds(sdk.WaitOptions, st.integers(0, 2**63))),
    callback_options=st.one_of(st.none(), st.builds(sdk.CallbackOptions, st.integers(0, 2**63), st.integers(0, 2**63))),
    chained_invoke_options=st.one_of(
        st.none(), st.none(), st.builds(sdk.ChainedInvokeOptions, function_name=st.text(max_size=30))
    ),
)
queues = st.lists(st.builds(QueuedOperation, st.one_of(st.none(), updates)), max_size=40)


def batches(queue, size_of, begin=lambda: None):
    """Numbers of operations, batch by batch: the first of each is taken whatever its size, as the SDK does."""
    found, rest = [], list(queue)
    while rest:
        begin()
        total, number = size_of(rest[0]), 1
        for each in rest[1:]:
            size = size_of(each)
            if total + size > LIMIT:
                break
            total, number = total + size, number + 1
        found.append(number)
        rest = rest[number:]
    return found


@given(queues)
def test_batches_are_those_of_the_true_sizes(queue):
    sizes = BatchSizes(exact, LIMIT)

    assert batches(queue, sizes.size_of, sizes.begin) == batches(queue, exact)


def test_updates_of_usual_size_are_not_written_out():
    written = []
    sizes = BatchSizes(lambda queued: written.append(queued) or exact(queued), LIMIT)

    for _ in range(10):
        sizes.size_of(QueuedOperation(sdk.OperationUpdate("id", sdk.OperationType.STEP, sdk.OperationAction.START)))

    assert not written


def test_sizes_are_exact_where_they_are_told(caplog):
    sizes = BatchSizes(exact, LIMIT)
    queued = QueuedOperation(sdk.OperationUpdate("id", sdk.OperationType.STEP, sdk.OperationAction.START))

    with caplog.at_level(logging.DEBUG, "aws_durable_execution_sdk_python.state"):
        assert sizes.size_of(queued) == exact(queued)


def test_what_is_no_text_is_left_to_the_sdk():
    queued = QueuedOperation(sdk.OperationUpdate(7, sdk.OperationType.STEP, sdk.OperationAction.START))

    assert BatchSizes(exact, LIMIT).size_of(queued) == exact(queued)


def test_the_sdk_that_is_installed_is_known():
    prompt = prompt_state(ExecutionState)

    assert prompt._calculate_operation_size is not ExecutionState._calculate_operation_size


@pytest.mark.parametrize("name", ["_collect_checkpoint_batch", "_calculate_operation_size"])
def test_an_sdk_that_uses_sizes_in_another_way_is_left_alone(name):
    class Other(ExecutionState):
        pass

    setattr(Other, name, lambda *_: 1)

    class Prompt(Other):
        pass

    assert with_rough_sizes(Prompt, Other) is Prompt
