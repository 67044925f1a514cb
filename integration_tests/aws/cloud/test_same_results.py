"""A test sees the same wherever its function runs: in its process, on a server, or where it is deployed."""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import StepConfig
from aws_durable_execution_sdk_python.lambda_service import ErrorObject
from aws_durable_execution_sdk_python.retries import RetryDecision

from .. import samples

LONG = 31_000_000
VOLATILE = {
    "StartTimestamp",
    "EndTimestamp",
    "ScheduledEndTimestamp",
    "RequestId",
    "CallbackId",
    "DurableExecutionArn",
}


class Case(NamedTuple):
    """A function, what it is given, and how its callback is answered."""

    handler: Callable[[], object]
    input: object = None
    answer: Callable[[object, str], None] | None = None
    ordered: bool = True


def succeed(result):
    return lambda runner, callback_id: runner.send_callback_success(callback_id, result)


def refuse(error):
    return lambda runner, callback_id: runner.send_callback_failure(callback_id, error)


def fails(times, attempts):
    """A function whose step fails so often. Unlike the SDK's own strategy, it is tried again after a fixed time."""
    made = []

    def again(error, attempt):
        return RetryDecision(attempt < attempts, samples.seconds(30))

    def body(_):
        made.append(1)
        if len(made) <= times:
            raise ValueError(f"attempt {len(made)}")
        return len(made)

    config = StepConfig(retry_strategy=again)
    return durable_execution(lambda event, context: context.step(body, name="flaky", config=config))


@durable_execution
def raises(event, context):
    raise LookupError(f"no {event}")


@durable_execution
def large_error(event, context):
    raise ValueError("x" * 20_000)


def long_story(event, context):
    return [context.step(lambda _, n=n: n, name=f"step {n}") for n in range(600)][-1]


CASES = {
    "a step": Case(lambda: samples.adds, {"left": 2, "right": 3}),
    "waits": Case(lambda: samples.sleeps),
    "retries": Case(lambda: fails(2, attempts=5)),
    "a step that fails for good": Case(lambda: fails(99, attempts=2)),
    "polls": Case(lambda: samples.polls(3)),
    "a child context": Case(lambda: samples.nests, 4),
    "a result computed again": Case(lambda: samples.large),
    "a step at most once": Case(lambda: samples.once),
    "a map": Case(lambda: samples.maps, [1, 2, 3, 4, 5], ordered=False),
    "branches": Case(lambda: samples.parallels, ordered=False),
    "a race": Case(lambda: samples.races, ordered=False),
    "an unknown function": Case(lambda: samples.calls, {"function": "nobody"}),
    "an error": Case(lambda: raises, "bread"),
    "a large error": Case(lambda: large_error),
    "text": Case(lambda: durable_execution(lambda event, context: event), "not JSON, \N{SNOWMAN}"),
    "nothing": Case(lambda: durable_execution(lambda event, context: None)),
    "more than a page": Case(lambda: durable_execution(long_story)),
    "a callback": Case(lambda: samples.listens, answer=succeed(b"yes")),
    "a callback with no result": Case(lambda: samples.listens, answer=succeed(None)),
    "a callback with an error": Case(
        lambda: samples.listens, answer=refuse(ErrorObject("no", "Refused", "why", ["line"]))
    ),
    "a callback with no error": Case(lambda: samples.listens, answer=refuse(None)),
    "a wait for a callback": Case(lambda: samples.waits_for_callback, answer=succeed(b'"ok"')),
}


def run(runner, case):
    given = case.input if isinstance(case.input, str) else json.dumps(case.input)
    if case.answer is None:
        return runner.run(given)
    arn = runner.run_async(given)
    case.answer(runner, runner.wait_for_callback(arn))
    return runner.wait_for_result(arn)


def shape(operation):
    """All of an operation but its times."""
    fields = {name: value for name, value in vars(operation).items() if not name.endswith("_timestamp")}
    if "callback_id" in fields:
        fields["callback_id"] = bool(fields["callback_id"])
    below = fields.pop("child_operations", [])
    return type(operation).__name__, fields, [shape(child) for child in below]


def told(event):
    kept = {key: value for key, value in event.details.items() if key not in VOLATILE}
    there = sorted(VOLATILE & event.details.keys())
    ident = None if event.event_type == "ExecutionStarted" else event.id
    return event.event_type, ident, event.parent_id, event.sub_type, kept, there


def length(operation):
    return operation.name, round((operation.end_timestamp - operation.start_timestamp).total_seconds(), 2)


def lines(result):
    """The tree without ARNs and durations."""
    volatile = r"\[aws run .*\]|\d[\d.e-]* (ms|s|min|h|d)\b|since [\d: -]+|callback id.*"
    return re.sub(volatile, "", str(result)).splitlines()


def in_order(case, items):
    return items if case.ordered else sorted(items, key=repr)


@pytest.mark.parametrize("name", CASES)
def test_a_result_is_the_same_everywhere(local, elsewhere, name):
    case = CASES[name]
    options = {"execution_timeout": LONG}
    here = run(local(case.handler(), **options), case)
    there = run(elsewhere.of(case.handler(), **(options if elsewhere.kind == "web" else {"timeout": LONG})), case)

    assert (there.status, there.execution_status) == (here.status, here.execution_status)
    assert there.result == here.result
    assert there.error == here.error
    assert in_order(case, [*map(shape, there.operations)]) == in_order(case, [*map(shape, here.operations)])
    ended = [one for one in here.get_all_operations() if one.end_timestamp is not None]
    assert len(there.get_all_operations()) == len(here.get_all_operations())
    if case.ordered:
        assert [*map(length, there.get_all_operations())] == [*map(length, ended)]
        assert [event.event_id for event in there.history()] == [event.event_id for event in here.history()]
    for data in (True, False):
        seen = [told(event) for event in there.history(include_execution_data=data)]
        assert in_order(case, seen) == in_order(
            case, [told(event) for event in here.history(include_execution_data=data)]
        )
    assert in_order(case, lines(there)[1:]) == in_order(case, lines(here)[1:])
    assert lines(there)[0].split() == lines(here)[0].split()
    run_there, run_here = there.run(), here.run()
    assert (run_there.name, run_there.status, run_there.input) == (run_here.name, run_here.status, run_here.input)
