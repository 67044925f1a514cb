"""Durable functions as users write them, for every version of the SDK."""

import json

from aws_durable_execution_sdk_python import durable_execution, durable_step, durable_with_child_context
from aws_durable_execution_sdk_python.config import (
    CallbackConfig,
    CompletionConfig,
    Duration,
    MapConfig,
    ParallelConfig,
    StepConfig,
    StepSemantics,
)
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitForConditionDecision


def seconds(number):
    return Duration.from_seconds(number)


def retries(attempts, delay=30):
    strategy = create_retry_strategy(RetryStrategyConfig(max_attempts=attempts, initial_delay=seconds(delay)))
    return StepConfig(retry_strategy=strategy)


@durable_step
def add(step_context, left, right):
    return left + right


@durable_execution
def adds(event, context):
    return context.step(add(event["left"], event["right"]))


@durable_execution
def sleeps(event, context):
    context.step(lambda _: "begun", name="begin")
    context.wait(Duration.from_days(1), name="a day")
    context.wait(Duration.from_hours(2), name="two hours")
    return context.step(lambda _: "done", name="end")


def flaky(failures, *, attempts=5, error=ValueError):
    """A function whose step fails so often before it succeeds. Returns it, and the attempts that it made."""
    made = []

    @durable_execution
    def handler(event, context):
        def body(step_context):
            made.append(len(made) + 1)
            if len(made) <= failures:
                raise error(f"attempt {len(made)}")
            return made[-1]

        return context.step(body, name="flaky", config=retries(attempts))

    return handler, made


def polls(times):
    """A function that waits for a condition which holds at a poll."""

    @durable_execution
    def handler(event, context):
        def strategy(state, attempt):
            if state >= times:
                return WaitForConditionDecision.stop_polling()
            return WaitForConditionDecision.continue_waiting(seconds(60))

        config = WaitForConditionConfig(wait_strategy=strategy, initial_state=0)
        return context.wait_for_condition(lambda state, _: state + 1, config, name="poll")

    return handler


@durable_execution
def asks(event, context):
    callback = context.create_callback(name="approval", config=CallbackConfig(timeout=Duration.from_hours(1)))
    context.step(lambda _: callback.callback_id, name="send")
    return callback.result()


@durable_execution
def waits_for_callback(event, context):
    return context.wait_for_callback(lambda callback_id, _: None, name="approval")


@durable_execution
def listens(event, context):
    config = CallbackConfig(timeout=Duration.from_hours(1), heartbeat_timeout=Duration.from_minutes(5))
    return context.create_callback(name="worker", config=config).result()


@durable_with_child_context
def child(context, value):
    doubled = context.step(lambda _: value * 2, name="double")
    context.wait(seconds(10), name="rest")
    return context.step(lambda _: doubled + 1, name="increment")


@durable_execution
def nests(event, context):
    return context.run_in_child_context(child(event), name="child")


@durable_execution
def maps(event, context):
    def item(item_context, value, index, items):
        item_context.wait(seconds(5 + value), name="pause")
        return item_context.step(lambda _: value * 10, name="times ten")

    return context.map(event, item, name="items", config=MapConfig(max_concurrency=3)).get_results()


@durable_execution
def parallels(event, context):
    def sleeper(branch):
        branch.wait(Duration.from_hours(1), name="long")
        return "slept"

    def worker(branch):
        return branch.step(lambda _: "worked", name="work")

    return context.parallel([sleeper, worker], name="both").get_results()


@durable_execution
def races(event, context):
    def never(branch):
        return branch.create_callback(name="never").result()

    def soon(branch):
        branch.wait(seconds(1), name="short")
        return "first"

    config = ParallelConfig(completion_config=CompletionConfig(min_successful=1))
    return context.parallel([never, soon], name="race", config=config).get_results()


@durable_execution
def calls(event, context):
    return context.invoke(event["function"], event.get("payload"), name="call")


@durable_execution
def large(event, context):
    def body(inner):
        inner.step(lambda _: 1, name="small")
        return "x" * 300_000

    value = context.run_in_child_context(body, name="large")
    context.wait(seconds(1), name="between")
    return len(value)


@durable_execution
def once(event, context):
    config = StepConfig(
        step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
        retry_strategy=create_retry_strategy(RetryStrategyConfig(max_attempts=2)),
    )
    return context.step(lambda _: "once", name="once", config=config)


def steps(number):
    @durable_execution
    def handler(event, context):
        return sum(context.step(lambda _, n=n: n, name=f"step {n}") for n in range(number))

    return handler


def value(result):
    return json.loads(result.result)
