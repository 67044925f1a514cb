"""The life of a test case: its set-up, its end, and its time limits."""

import asyncio
import time
import unittest
from contextlib import asynccontextmanager

import pytest

from steprig.workflows import NotSetUpError

from .cases import Case, Closing, case


def test_a_clean_up_that_fails_stops_no_other_and_is_raised():
    closed = []

    async def body(test):
        await test.create_test_resource("a", lambda: Closing("a", closed))
        await test.create_test_resource("b", lambda: Closing("b", closed, ValueError("b is stuck")))

    with pytest.raises(ValueError, match="b is stuck") as caught:
        case(body)
    assert closed == ["b", "a"]
    assert caught.value.__notes__ == ["raised while the resource 'b' was cleaned up"]


def test_a_clean_up_that_awaits_what_it_has_cancelled_stops_no_other_and_is_raised():
    closed = []

    class Background:
        def __init__(self):
            self.task = asyncio.create_task(asyncio.sleep(60))

        async def close(self):
            self.task.cancel()
            await self.task

    async def body(test):
        await test.create_test_resource("a", lambda: Closing("a", closed))
        await test.create_test_resource("b", Background)

    with pytest.raises(asyncio.CancelledError) as caught:
        case(body)
    assert closed == ["a"]
    assert caught.value.__notes__ == ["raised while the resource 'b' was cleaned up"]


def test_several_failures_of_the_end_come_as_a_group():
    class Failing(Case):
        async def tearDown(self):
            raise KeyError("tearDown")

    async def body(test):
        await test.create_test_resource("a", lambda: Closing("a", [], ValueError("a")))

    with pytest.raises(ExceptionGroup) as caught:
        case(body, Failing)
    assert [type(each) for each in caught.value.exceptions] == [KeyError, ValueError]
    assert caught.value.exceptions[0].__notes__ == ["raised in tearDown of Failing"]


def test_what_the_test_raises_goes_before_what_its_end_raises(caplog):
    closed = []

    async def body(test):
        await test.create_test_resource("a", lambda: Closing("a", closed, ValueError("a is stuck")))
        raise RuntimeError("the test")

    with pytest.raises(RuntimeError, match="the test"):
        case(body)
    assert closed == ["a"]
    assert "a is stuck" in caplog.text


def test_a_set_up_that_fails_half_way_leaves_nothing():
    closed = []

    class HalfWay(Case):
        async def setUp(self):
            await super().setUp()
            await self.create_test_resource("a", lambda: Closing("a", closed))
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        case(lambda test: asyncio.sleep(0), HalfWay)
    assert closed == ["a"]


def test_a_set_up_without_super_is_named():
    class Forgetful(Case):
        async def setUp(self):
            pass

    for use in (lambda test: test.create_test_resource("a", list), lambda test: test.execute_workflow(asyncio.sleep)):
        with pytest.raises(NotSetUpError, match=r"begin Forgetful.setUp with `await super\(\).setUp\(\)`"):
            case(use, Forgetful)


def test_what_unittest_calls_set_up_and_clean_ups_is_called_in_its_order():
    told = []

    @asynccontextmanager
    async def entered():
        told.append("entered")
        yield
        told.append("left")

    async def later(word):
        told.append(word)

    class Usual(Case):
        async def setUp(self):
            await super().setUp()
            told.append("setUp")

        async def asyncSetUp(self):
            await self.create_test_resource("a", lambda: Closing("resource", told))
            told.append("asyncSetUp")

        async def asyncTearDown(self):
            told.append("asyncTearDown")

        async def tearDown(self):
            told.append("tearDown")

        async def test_a(self):
            self.addCleanup(told.append, "clean-up")
            self.addAsyncCleanup(later, word="async clean-up")
            await self.enterAsyncContext(entered())

    case(Usual.test_a, Usual)
    in_async_with, told[:] = [*told], []
    result = unittest.TestResult()
    Usual("test_a").run(result)

    assert result.wasSuccessful()
    assert told == in_async_with
    assert told[:3] == ["setUp", "asyncSetUp", "entered"]
    assert told[3:] == ["asyncTearDown", "tearDown", "left", "async clean-up", "clean-up", "resource"]


def test_a_set_up_that_is_not_async_is_called_and_told_how_it_has_to_begin():
    class Old(Case):
        def setUp(self):
            self.number = 7

        def tearDown(self):
            self.number = 0

    async def body(test):
        assert test.number == 7
        with pytest.raises(NotSetUpError, match=r"await super\(\).setUp\(\)"):
            await test.create_test_resource("a", list)
        return test

    assert case(body, Old).number == 0


def test_a_clean_up_is_a_function():
    async def body(test):
        with pytest.raises(TypeError, match=r"a clean-up is a function, .*; got None"):
            test.add_cleanup(None)

    case(body)


def test_after_its_end_a_test_makes_no_resources():
    async def main():
        async with Case() as test:
            pass
        await test.create_test_resource("a", list)

    with pytest.raises(NotSetUpError, match="after the end"):
        asyncio.run(main())


def test_a_time_limit_tells_of_what_could_not_be_stopped():
    async def body(test):
        async with test.assert_time_limit(0.01):
            time.sleep(0.05)  # noqa: ASYNC251 - what blocks the loop is what is tested

    with pytest.raises(AssertionError, match=r"it took .* s; the limit is 0.01 s"):
        case(body)


def test_a_time_limit_stops_what_is_within():
    async def body(test):
        async with test.assert_time_limit(5):
            pass
        with pytest.raises(AssertionError, match=r"the limit is 0.05 s"):
            async with test.assert_time_limit(0.05):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError, match="its own"):
            async with test.assert_time_limit(5):
                raise TimeoutError("its own")

    case(body)
