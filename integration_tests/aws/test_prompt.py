"""The SDK hurried along: the same history, and nothing left behind."""

import json
import queue
import threading
import time
from dataclasses import replace

import pytest
from aws_durable_execution_sdk_python import context, execution, identifier
from aws_durable_execution_sdk_python.lambda_service import Operation, OperationStatus, OperationType, StepDetails
from aws_durable_execution_sdk_python.state import CheckpointedResult

from steprig.aws.prompt import hurry_sdk
from steprig.aws.prompt.state import PromptQueue

from . import samples

STOCK = execution.ExecutionState
PLACES = [
    (execution, "ExecutionState"),
    (execution, "ThreadPoolExecutor"),
    (context, "OrderedCounter"),
    (CheckpointedResult, "create_from_operation"),
]
if hasattr(identifier, "OperationIdNamespace"):  # since 2.0
    PLACES.append((identifier.OperationIdNamespace, "create_id_for_step"))


def shape(result):
    """A history without what differs from run to run, such as times and ids that are drawn."""
    told = []
    for event in result.history():
        details = {
            key: detail
            for key, detail in event.details.items()
            if "Timestamp" not in key and key not in ("RequestId", "CallbackId", "DurableExecutionArn")
        }
        told.append((event.event_type, event.id and event.name, event.sub_type, json.dumps(details, sort_keys=True)))
    return told


@pytest.mark.parametrize(
    ("handler", "event"),
    [
        (samples.adds, {"left": 1, "right": 2}),
        (samples.sleeps, None),
        (samples.polls(3), None),
        (samples.nests, 4),
        (samples.large, None),
        (samples.once, None),
        (samples.waits_for_callback, None),
        (samples.steps(10), None),
    ],
)
def test_a_hurried_sdk_has_the_history_of_one_that_is_not(runner_of, handler, event):
    options = {"callbacks": {"approval": "yes"}}

    hurried = runner_of(handler, **options).run(json.dumps(event))
    stock = runner_of(handler, hurry_sdk=False, **options).run(json.dumps(event))

    assert shape(hurried) == shape(stock)


@pytest.mark.parametrize("handler", [samples.maps, samples.parallels, samples.races])
def test_branches_have_the_same_events_each_whether_hurried_or_not(runner_of, handler):
    hurried = runner_of(handler).run("[1, 2, 3, 4]")
    stock = runner_of(handler, hurry_sdk=False).run("[1, 2, 3, 4]")

    def events_of_operations(result):
        ids = {event.id for event in result.history()}
        by_id = {
            one: [event.event_type for event in result.history() if event.id == one] for one in ids if one is not None
        }
        return sorted(by_id.values())

    assert hurried.result == stock.result
    assert events_of_operations(hurried) == events_of_operations(stock)


def in_place():
    return [vars(owner)[name] for owner, name in PLACES]


def test_the_sdk_is_left_as_it_was(runner_of):
    stock = in_place()
    first, second = runner_of(samples.adds), runner_of(samples.adds)
    first.close()
    first.close()
    hurried = in_place()
    second.close()

    assert all(mine is not theirs for mine, theirs in zip(hurried, stock, strict=True)), "does the SDK have other code?"
    assert in_place() == stock


def test_the_sdk_can_be_left_alone(runner_of):
    stock = in_place()

    runner_of(samples.adds, hurry_sdk=False)

    assert in_place() == stock


def test_what_another_has_put_in_its_place_stays(monkeypatch):
    release = hurry_sdk()
    other = type("Other", (STOCK,), {})
    monkeypatch.setattr(execution, "ExecutionState", other)

    release()

    assert execution.ExecutionState is other
    monkeypatch.setattr(execution, "ExecutionState", STOCK)


class OtherQueue(queue.Queue):
    pass


class WithoutQueue(STOCK):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._checkpoint_queue = OtherQueue()


class WithoutStop:
    def __new__(cls, *args, **kwargs):
        return STOCK(*args, **kwargs)


@pytest.mark.parametrize("changed", [WithoutQueue, WithoutStop, lambda *args, **kwargs: STOCK(*args, **kwargs)])
def test_an_sdk_that_is_built_otherwise_only_stays_slow(runner_of, monkeypatch, changed):
    monkeypatch.setattr(execution, "ExecutionState", changed)

    runner = runner_of(samples.adds)

    assert runner.run('{"left": 1, "right": 2}').result == "3"
    runner.close()
    assert execution.ExecutionState is changed


def other_function(known):
    def changed(*args):
        return known(*args)

    return changed


@pytest.mark.parametrize(("owner", "name"), [place for place in PLACES if place[1] != "ExecutionState"])
def test_what_is_not_known_is_left_alone(runner_of, monkeypatch, owner, name):
    known = getattr(owner, name)
    changed = type(name, (known,), {}) if isinstance(known, type) else other_function(known)
    monkeypatch.setattr(owner, name, changed)

    runner = runner_of(samples.adds)

    assert getattr(owner, name) is changed
    assert runner.run('{"left": 1, "right": 2}').result == "3"


def test_a_result_is_made_once_of_each_operation():
    step = Operation("id", OperationType.STEP, OperationStatus.SUCCEEDED, step_details=StepDetails(1, None, "7"))
    same, later = replace(step), replace(step, status=OperationStatus.STARTED)
    stock = CheckpointedResult.create_from_operation(step)
    release = hurry_sdk()
    try:
        made = [CheckpointedResult.create_from_operation(each) for each in (step, step, later)]
    finally:
        release()

    assert made[0] is made[1]
    assert made[0] == stock
    assert made[2] == CheckpointedResult.create_from_operation(later)
    assert (step, repr(step)) == (same, repr(same))


@pytest.mark.skipif(not hasattr(identifier, "OperationIdNamespace"), reason="the SDK before 2.0 has no such class")
@pytest.mark.parametrize("prefix", [None, "", "parent"])
def test_an_id_is_the_sdks_own(prefix):
    namespace, again = identifier.OperationIdNamespace(prefix), identifier.OperationIdNamespace(prefix)
    stock = [namespace.create_id_for_step(step) for step in (1, 2, 11)]
    release = hurry_sdk()
    try:
        made = [namespace.create_id_for_step(step) for step in (1, 2, 11)]
        remembered = [again.create_id_for_step(step) for step in (1, 2, 11)]
    finally:
        release()

    assert made == remembered == stock
    assert len(set(made)) == 3
    assert made[0] is remembered[0]


def test_a_prompt_queue_gives_what_it_has_before_it_gives_up():
    prompt = PromptQueue()
    prompt.put("one")
    prompt.hurry()

    assert prompt.get(timeout=60) == "one"
    with pytest.raises(queue.Empty):
        prompt.get(timeout=60)


def test_a_prompt_queue_gives_up_when_it_is_told_to():
    prompt, woken = PromptQueue(), threading.Event()

    def wait():
        with pytest.raises(queue.Empty):
            prompt.get(timeout=60)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    prompt.hurry()

    assert woken.wait(20)
    thread.join()


def test_a_prompt_queue_does_not_wait_for_what_is_not_worth_it():
    prompt = PromptQueue(shortest_wait=60.0)

    with pytest.raises(queue.Empty):
        prompt.get(timeout=60)


def test_a_prompt_queue_waits_as_any_other_until_then():
    prompt = PromptQueue()
    started = time.monotonic()

    with pytest.raises(queue.Empty):
        prompt.get(timeout=0.05)
    with pytest.raises(queue.Empty):
        prompt.get_nowait()
    with pytest.raises(ValueError, match="non-negative"):
        prompt.get(timeout=-1)

    assert time.monotonic() - started >= 0.04
