"""Parallel groups: how many calls, in which order, and really at the same time."""

import asyncio
import threading
from datetime import timedelta

import inngest

from steprig.inngest.opcodes import DISCOVERY

from .stacks import on_concurrent_stacks
from .stage import output


def test_a_group_of_two_costs_one_call_to_plan_two_to_run_and_one_to_go_on(stage):
    ran = []

    @stage.function("pair")
    def pair(ctx):
        return list(
            (
                yield ctx.group.parallel(
                    (
                        lambda: ctx.step.run("a", lambda: ran.append("a") or 1),
                        lambda: ctx.step.run("b", lambda: ran.append("b") or 2),
                    )
                )
            )
        )

    assert output(stage.run("pair")) == [1, 2]
    assert sorted(ran) == ["a", "b"]
    calls = stage.calls_of("pair")
    assert [call == DISCOVERY for call in calls] == [True, False, False, True]
    assert calls[1] != calls[2]


def test_a_step_after_a_group_runs_in_the_call_that_joins_it(stage):
    @stage.function("joined")
    def joined(ctx):
        both = yield ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.run("b", lambda: 2)))
        return (yield ctx.step.run("sum", lambda: sum(both)))

    assert output(stage.run("joined")) == 3
    assert len(stage.calls_of("joined")) == 5


def test_a_mixed_group_is_joined_once_after_the_slowest(stage):
    @stage.function("child")
    def child(ctx):
        return "child"

    @stage.function("mixed")
    def mixed(ctx):
        ran, slept, event, invoked = yield ctx.group.parallel(
            (
                lambda: ctx.step.run("run", lambda: "ran"),
                lambda: ctx.step.sleep("sleep", timedelta(hours=2)),
                lambda: ctx.step.wait_for_event("wait", event="test/answer", timeout=timedelta(days=1)),
                lambda: ctx.step.invoke("invoke", function=child),
            )
        )
        return [ran, slept, event.data["n"], invoked]

    run_id = stage.start("mixed")
    stage.reached(run_id, lambda run: sum(span.status.ended for span in run.spans) == 3)
    stage.send("test/answer", {"n": 9})

    assert output(stage.ended(run_id)) == ["ran", None, 9, "child"]
    assert [call == DISCOVERY for call in stage.calls_of("mixed")] == [True, False, True]


@on_concurrent_stacks
def test_steps_of_a_group_run_at_the_same_time(stage):
    met = threading.Barrier(2, timeout=5)
    met_async = asyncio.Barrier(2)

    def meet(name):
        def sync():
            met.wait()
            return name

        async def run_async():
            await asyncio.wait_for(met_async.wait(), 5)
            return name

        return run_async if stage.stack.runs_async and stage.stack.interface == "asgi3" else sync

    @stage.function("meeting", retries=0)
    def meeting(ctx):
        return list(
            (yield ctx.group.parallel((lambda: ctx.step.run("a", meet("a")), lambda: ctx.step.run("b", meet("b")))))
        )

    assert output(stage.run("meeting")) == ["a", "b"]


def branches(stage, ctx, *, slow_first=None, order):
    """Two branches of two steps each; the first step of `b` ends after `slow_first` is set."""

    def step(name, wait=None):
        def work():
            if wait is not None:
                assert wait.wait(5)
            order.append(name)
            return name

        async def work_async():
            return await asyncio.to_thread(work)

        return work_async if stage.stack.runs_async and stage.stack.interface == "asgi3" else work

    def branch(name, wait=None):
        def walk():
            yield ctx.step.run(f"{name}.1", step(f"{name}.1", wait))
            return (yield ctx.step.run(f"{name}.2", step(f"{name}.2")))

        return stage.written(walk)

    return branch("a"), branch("b", slow_first)


def test_waiting_groups_of_two_branches_cost_seven_calls(stage):
    order = []

    @stage.function("wait-mode")
    def wait_mode(ctx):
        return list((yield ctx.group.parallel(branches(stage, ctx, order=order))))

    assert output(stage.run("wait-mode")) == ["a.2", "b.2"]
    assert {*order[:2]} == {"a.1", "b.1"}
    assert {*order[2:]} == {"a.2", "b.2"}
    assert len(stage.calls_of("wait-mode")) == 7


@on_concurrent_stacks
def test_racing_groups_let_the_fast_branch_go_ahead_and_cost_nine_calls(stage):
    order = []
    fast_is_done = threading.Event()

    @stage.function("race-mode")
    def race_mode(ctx):
        both = branches(stage, ctx, slow_first=fast_is_done, order=order)
        return list((yield ctx.group.parallel(both, parallel_mode=inngest.ParallelMode.RACE)))

    run_id = stage.start("race-mode")
    stage.reached(run_id, lambda run: any(span.name == "a.2" and span.status.ended for span in run.spans))
    fast_is_done.set()
    run = stage.ended(run_id)

    assert output(run) == ["a.2", "b.2"]
    assert order == ["a.1", "a.2", "b.1", "b.2"]
    assert len(stage.calls_of("race-mode")) == 9


@on_concurrent_stacks
def test_a_race_does_not_plan_the_pending_steps_again(stage):
    """Each call after a completion reports the slow branch once more; it runs once all the same."""
    ran = []
    fast_is_done = threading.Event()

    @stage.function("race-mode")
    def race_mode(ctx):
        both = branches(stage, ctx, slow_first=fast_is_done, order=ran)
        return list((yield ctx.group.parallel(both, parallel_mode=inngest.ParallelMode.RACE)))

    run_id = stage.start("race-mode")
    stage.reached(run_id, lambda run: any(span.name == "a.2" and span.status.ended for span in run.spans))
    fast_is_done.set()
    stage.ended(run_id)

    targeted = [call for call in stage.calls_of("race-mode") if call != DISCOVERY]
    assert len(targeted) == len(set(targeted)) == 4


def test_a_step_of_a_group_is_retried_without_the_others(stage):
    ran = []

    def flaky():
        ran.append("flaky")
        if ran.count("flaky") < 3:
            raise ValueError("again")
        return "flaky"

    @stage.function("group")
    def group(ctx):
        return list(
            (
                yield ctx.group.parallel(
                    (
                        lambda: ctx.step.run("flaky", flaky),
                        lambda: ctx.step.run("steady", lambda: ran.append("steady") or "steady"),
                    )
                )
            )
        )

    assert output(stage.run("group")) == ["flaky", "steady"]
    assert (ran.count("flaky"), ran.count("steady")) == (3, 1)
    assert [call == DISCOVERY for call in stage.calls_of("group")].count(True) == 2


def test_a_step_of_a_group_that_fails_for_good_counts_as_ended(stage):
    def broken():
        raise KeyError("gone")

    @stage.function("group", retries=0)
    def group(ctx):
        try:
            yield ctx.group.parallel(
                (lambda: ctx.step.run("broken", broken), lambda: ctx.step.run("whole", lambda: "whole"))
            )
        except inngest.StepError as error:
            return error.name

    assert output(stage.run("group")) == "KeyError"
    assert len(stage.calls_of("group")) == 4


def test_targeted_calls_carry_an_attempt_counter_each(stage):
    attempts = []

    def watch(name, ctx, failures):
        def work():
            attempts.append((name, ctx.attempt))
            if ctx.attempt < failures:
                raise ValueError("again")

        return work

    @stage.function("group")
    def group(ctx):
        yield ctx.group.parallel(
            (
                lambda: ctx.step.run("a", watch("a", ctx, 2)),
                lambda: ctx.step.run("b", watch("b", ctx, 1)),
            )
        )

    stage.run("group")

    assert sorted(attempts) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]


def test_a_group_in_which_everything_sleeps_takes_as_long_as_the_longest(stage):
    @stage.function("group")
    def group(ctx):
        yield ctx.group.parallel(
            (
                lambda: ctx.step.sleep("one", timedelta(hours=1)),
                lambda: ctx.step.sleep("three", timedelta(hours=3)),
                lambda: ctx.step.sleep("two", timedelta(hours=2)),
            )
        )

    before = stage.clock.now()
    stage.run("group")

    assert abs(stage.clock.now() - before - timedelta(hours=3)) < timedelta(seconds=5)
    assert len(stage.calls_of("group")) == 2


def test_groups_one_after_the_other(stage):
    @stage.function("groups")
    def groups(ctx):
        total = 0
        for level in range(3):
            steps = (lambda n=n: ctx.step.run(f"{level}.{n}", lambda: n) for n in range(3))  # noqa: B023
            total += sum((yield ctx.group.parallel(tuple(steps))))
        return total

    assert output(stage.run("groups")) == 9
    assert len(stage.calls_of("groups")) == 3 * 4 + 1


def test_a_planned_step_that_is_gone_fails_the_run(one_stage):
    """The function takes another way once its steps are planned."""
    called = []

    @one_stage.function("fickle", retries=0)
    def fickle(ctx):
        called.append(1)
        if len(called) > 1:
            yield ctx.step.run("another", lambda: 1)
        yield ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.run("b", lambda: 2)))

    run = one_stage.run("fickle")

    assert run.status == "failed"
    assert output(run)["code"] == "step_unexpected"
