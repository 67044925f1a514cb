"""Inngest functions that fail or never end, run as workflows by the real SDK on an embedded dev server."""

import asyncio
from datetime import timedelta

import inngest
import pytest

from .cases import case, execute, until
from .inngest_shop import StockError, broken, function, ship


def test_a_step_that_fails_for_good_is_named_with_what_it_raised():
    result = execute(broken, {"sku": "tea"})

    assert result.status == "failed"
    ((step, error),) = result.errors
    assert (step, type(error), str(error)) == ("look", StockError, "none of tea")
    assert result.error == "'look' failed: StockError: none of tea"
    assert result.outputs == {"first": 1}
    look = result.steps[-1]
    assert (look.name, look.attempts, [each.failure.message for each in look.children]) == (
        "look",
        3,
        ["none of tea"] * 3,
    )


def test_the_error_itself_can_be_raised():
    with pytest.raises(StockError, match="none of tea"):
        execute(broken, {"sku": "tea"}, raise_errors=True)


def test_of_two_steps_of_one_name_each_has_its_own_error():
    @function("twice", retries=0)
    async def twice(ctx):
        async def look(sku):
            raise StockError(f"none of {sku}")

        await ctx.group.parallel(tuple(lambda sku=sku: ctx.step.run("look", look, sku) for sku in ("a", "b")))

    result = execute(twice)

    said = dict(zip(("look", "look:1"), (step.failure.message for step in result.steps), strict=True))
    ((step, error), *_) = result.errors
    assert {*said.values()} == {"none of a", "none of b"}
    assert (type(error), str(error)) == (StockError, said[step])


def test_an_error_of_the_function_itself_is_its_own():
    @function("own", retries=0)
    async def own(ctx):
        async def look():
            raise StockError("none")

        try:
            await ctx.step.run("look", look)
        except inngest.StepError as error:
            raise LookupError(f"gave up: {error}") from error

    result = execute(own)

    ((name, error),) = result.errors
    assert (name, type(error), str(error)) == ("own", LookupError, "gave up: none")


def test_fifty_runs_at_once_that_fail_keep_their_own_errors():
    async def body(test):
        results = await asyncio.gather(*(test.execute_workflow(broken, {"sku": n}) for n in range(50)))
        assert [str(result.errors[0][1]) for result in results] == [f"none of {n}" for n in range(50)]

    case(body)


def test_on_failure_has_run_when_the_result_is_there():
    seen = []

    async def sorry(ctx):
        await ctx.step.sleep("think of words", timedelta(hours=1))
        seen.append(ctx.event.data["error"]["message"])

    @function("doomed", retries=0, on_failure=sorry)
    async def doomed(ctx):
        raise StockError("none")

    async def body(test):
        result = await test.execute_workflow(doomed)
        return result, [*seen]  # at the test's end it would run in any case

    result, seen_by_then = case(body)

    assert seen_by_then == ["none"]
    assert [(name, type(error)) for name, error in result.errors] == [("doomed", StockError)]


def test_of_many_failures_at_once_each_result_waits_for_its_on_failure():
    seen = []

    async def sorry(ctx):
        seen.append(ctx.event.data["event"]["data"]["n"])

    @function("all doomed", retries=0, on_failure=sorry)
    async def doomed(ctx):
        raise StockError("none")

    async def body(test):
        async def is_seen(n):
            await test.execute_workflow(doomed, {"n": n})
            return n in seen

        return await asyncio.gather(*(is_seen(n) for n in range(50)))

    assert case(body) == [True] * 50


def test_a_run_waits_for_its_own_on_failure_alone():
    async def body(test):
        entered, gate = asyncio.Event(), asyncio.Event()

        async def sorry(ctx):
            if ctx.event.data["event"]["data"]["n"] == 1:
                entered.set()
                await gate.wait()

        @function("doomed at once", retries=0, on_failure=sorry)
        async def doomed(ctx):
            raise StockError(f"none of {ctx.event.data['n']}")

        first = asyncio.create_task(test.execute_workflow(doomed, {"n": 1}))
        await entered.wait()
        second = await test.execute_workflow(doomed, {"n": 2})
        assert not first.done()
        gate.set()
        return [str(each.errors[0][1]) for each in (await first, second)]

    assert case(body) == ["none of 1", "none of 2"]


def test_an_error_of_on_failure_is_not_that_of_the_run():
    async def clumsy(ctx):
        raise LookupError("nobody to tell")

    @function("doomed twice", retries=0, on_failure=clumsy)
    async def doomed(ctx):
        raise StockError("none")

    assert [(name, type(error)) for name, error in execute(doomed).errors] == [("doomed twice", StockError)]


def test_a_run_that_takes_too_long_is_stopped():
    ended = []

    @function("endless")
    async def endless(ctx):
        async def hang():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("hang")

        async def first():
            return 1

        await ctx.step.run("first", first)
        await ctx.step.run("hang", hang)

    async def body(test):
        with pytest.raises(AssertionError, match=r"longer than 3 s; nodes finished: first"):
            await test.execute_workflow(endless, timeout=3.0)
        await until(lambda: ended, "the end of the step")
        again = await test.execute_workflow(ship, {"cents": 1})
        assert again.status == "success"
        assert ended == ["hang"]

    case(body)
