"""The life of a test case, its resources, and its assertions."""

import asyncio
import logging
import time
from unittest.mock import AsyncMock

import pytest

from steprig.workflows import (
    AsyncWorkflowTestCase,
    NotSetUpError,
    OutputPathError,
    UnknownResourceError,
    UnusableWorkflowError,
    WorkflowInputError,
    WorkflowTestResult,
    register_runner,
    unregister_runner,
)


class Case(AsyncWorkflowTestCase):
    __test__ = False


def case(body, of=Case):
    """Run `body(test)` within a test case."""

    async def main():
        async with of() as test:
            return await body(test)

    return asyncio.run(main())


class Closing:
    def __init__(self, name, closed, error=None):
        self.name, self.closed, self.error = name, closed, error

    async def close(self):
        self.closed.append(self.name)
        if self.error:
            raise self.error


def test_resources_end_last_first_and_once():
    closed = []

    async def body(test):
        for name in "abc":
            await test.create_test_resource(name, lambda name=name: Closing(name, closed))
        test.add_cleanup(lambda: closed.append("sync"))

    case(body)
    assert closed == ["sync", "c", "b", "a"]


def test_a_handler_takes_the_place_of_close_and_aclose_goes_before_close():
    closed = []

    class Both(Closing):
        async def aclose(self):
            closed.append("aclose")

    async def body(test):
        await test.create_test_resource("a", lambda: Both("close", closed))
        await test.create_test_resource(
            "b", lambda: Closing("b", closed), cleanup_handler=lambda it: closed.append(f"handled {it.name}")
        )

    case(body)
    assert closed == ["handled b", "aclose"]


class OnlySlots:
    __slots__ = ("closed",)

    def __init__(self, closed):
        self.closed = closed

    async def close(self):
        self.closed.append("slots")


def test_an_object_that_has_become_a_mock_is_closed_and_a_free_mock_is_not():
    closed = []

    async def body(test):
        free = await test.create_test_resource("free", None, mock=True)
        given = await test.create_test_resource("given", AsyncMock, mock=True)
        await test.create_test_resource("object", lambda: Closing("object", closed), mock=True)
        await test.create_test_resource("slots", lambda: OnlySlots(closed), mock=True)
        return free, given

    for mock in case(body):
        assert mock.get_calls() == []
    assert closed == ["slots", "object"]


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


def test_after_its_end_a_test_makes_no_resources():
    async def main():
        async with Case() as test:
            pass
        await test.create_test_resource("a", list)

    with pytest.raises(NotSetUpError, match="after the end"):
        asyncio.run(main())


def test_an_unknown_resource_names_the_known_ones():
    async def body(test):
        await test.create_test_resource("db", lambda: object())
        await test.create_test_resource("mail", None, mock=True)
        assert (test.is_mock("db"), test.is_mock("mail")) == (False, True)
        with pytest.raises(UnknownResourceError, match=r"no resource 'cache'; known: 'db', 'mail'"):
            test.get_resource("cache")
        with pytest.raises(KeyError):
            test.is_mock("cache")

    case(body)


def test_a_name_is_taken_once():
    async def body(test):
        await test.create_test_resource("db", lambda: object())
        with pytest.raises(ValueError, match="there is a resource 'db' already"):
            await test.create_test_resource("db", None, mock=True)

    case(body)


def test_a_resource_that_is_not_healthy_is_refused_and_closed():
    closed = []

    async def body(test):
        with pytest.raises(RuntimeError, match="'db' is not healthy"):
            await test.create_test_resource(
                "db", lambda: Closing("db", closed), health_check=lambda it: asyncio.sleep(0, False)
            )

    case(body)
    assert closed == ["db"]


def test_a_resource_that_many_get_at_once_is_made_once():
    made = []

    async def make():
        await asyncio.sleep(0)
        made.append(object())
        return made[-1]

    async def body(test):
        test.resource_registry.register_factory("db", make)
        return await asyncio.gather(*(test.resource_registry.get_resource("db") for _ in range(10)))

    assert {id(each) for each in case(body)} == {id(made[0])}
    assert len(made) == 1


def test_mocks_for_one_run_can_be_asserted_on_like_the_others():
    mailer = AsyncMock()

    async def mailing(get_resource, to):
        await (await get_resource("mailer")).send(to)

    async def body(test):
        result = await test.execute_workflow(mailing, {"to": "ann"}, mock_resources={"mailer": mailer})
        test.assert_workflow_success(result)
        test.assert_resource_called("mailer", "send", times=1, with_args=("ann",))
        assert test.get_resource("mailer") is mailer

    case(body)


def test_an_async_callable_is_a_workflow_of_one_node():
    async def order(item, get_resource):
        await (await get_resource("mail")).send(item)
        return {"items": [{"name": item}], "result": "own key"}

    async def body(test):
        await test.create_test_resource("mail", None, mock=True)
        result = await test.execute_workflow(order, {"item": "tea"})
        test.assert_workflow_success(result)
        test.assert_node_output(result, "order", "tea", "items.0.name")
        test.assert_node_output(result, "order", "own key", "result")
        test.assert_resource_called("mail", "send", times=1, with_args=("tea",))
        assert result.get_output("order", "result.items.0.name") == "tea"
        assert list(result.node_timings) == ["order"]
        assert [(step.id, step.kind, step.status.value) for step in result.steps] == [
            ("order", "function", "completed")
        ]

    case(body)


def test_a_workflow_that_raises_gives_a_failed_result_or_raises():
    async def fail():
        raise ValueError("Invalid input")

    async def body(test):
        result = await test.execute_workflow(fail)
        test.assert_workflow_failed(result)
        ((node, error),) = result.errors
        assert (node, type(error), "Invalid input" in result.error) == ("fail", ValueError, True)
        with pytest.raises(AssertionError, match="Invalid input"):
            test.assert_workflow_success(result)
        with pytest.raises(ValueError, match="Invalid input"):
            await test.execute_workflow(fail, raise_errors=True)

    case(body)

    class Raising(Case):
        raise_errors = True

    with pytest.raises(ValueError, match="Invalid input"):
        case(lambda test: test.execute_workflow(fail), Raising)


def test_a_workflow_that_takes_too_long_is_stopped_and_the_seconds_are_named():
    stopped = []

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    async def body(test):
        with pytest.raises(AssertionError, match=r"longer than 0.05 s"):
            await test.execute_workflow(hang, timeout=0.05)
        assert stopped == [True]

    case(body)


def test_a_timeout_error_of_the_workflow_itself_is_its_failure():
    async def late():
        raise TimeoutError("the database")

    async def body(test):
        result = await test.execute_workflow(late)
        assert "the database" in result.error

    case(body)


def test_logs_of_runs_at_the_same_time_are_kept_apart():
    async def talk(word):
        logging.getLogger("any.logger").warning("said %s", word)
        await asyncio.sleep(0)
        logging.getLogger("any.logger").warning("again %s", word)

    async def body(test):
        one, two = await asyncio.gather(*(test.execute_workflow(talk, {"word": word}) for word in "ab"))
        assert one.logs == ["WARNING any.logger: said a", "WARNING any.logger: again a"]
        assert "said b" in two.get_logs()
        assert one.run_id != two.run_id
        assert not (await test.execute_workflow(talk, {"word": "c"}, capture_logs=False)).logs

    case(body)
    assert not [each for each in logging.getLogger().handlers if type(each).__module__.startswith("steprig")]


RESULT = WorkflowTestResult("success", {"load": {"user": {"name": "Ada", "none": None}, "rows": [1, 2]}, "n": 3})


@pytest.mark.parametrize(
    ("node", "path", "says"),
    [
        ("lod", None, "those that have: 'load', 'n'"),
        ("load", "user.nme", "there is: user, user.name, user.none, rows"),
        ("load", "rows.7", "there is: user"),
        ("n", "x", "no keys, as it is 3"),
    ],
)
def test_a_path_that_is_not_there_fails_even_when_none_is_expected(node, path, says):
    with pytest.raises(AssertionError, match=says):
        Case().assert_node_output(RESULT, node, None, path)
    with pytest.raises(OutputPathError, match=says):
        RESULT.output(node, path)
    assert RESULT.get_output(node, path) is None


def test_a_none_that_is_there_is_fine_and_a_difference_is_shown():
    Case().assert_node_output(RESULT, "load", None, "user.none")
    with pytest.raises(AssertionError, match="Expected: 'Eve'\nActual:   'Ada'"):
        Case().assert_node_output(RESULT, "load", "Eve", "user.name")


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


@pytest.mark.parametrize("thing", [3, "workflow", None, dict])
def test_what_is_no_workflow_is_refused_with_what_is(thing):
    with pytest.raises(UnusableWorkflowError, match="an async callable"):
        case(lambda test: test.execute_workflow(thing))


def test_a_builder_is_refused_with_the_way_out():
    class Builder:
        def build(self):
            pass

    with pytest.raises(UnusableWorkflowError, match=r"pass what its build\(\) gives"):
        case(lambda test: test.execute_workflow(Builder()))


def test_inputs_are_a_dict():
    with pytest.raises(WorkflowInputError, match="a dict"):
        case(lambda test: test.execute_workflow(asyncio.sleep, [1]))


def test_a_runner_of_ones_own_is_asked_first():
    class Recipe:
        steps = ("mix", "bake")

    class RecipeRunner:
        kind = "a recipe"

        def accepts(self, workflow):
            return isinstance(workflow, Recipe)

        def name_of(self, workflow):
            return "cake"

        async def run(self, workflow, inputs, run):
            for step in workflow.steps:
                run.completed(step, {"flour": inputs["flour"]}, began=0.0, kind="recipe step")
            raise RuntimeError("burnt")

    runner = RecipeRunner()
    register_runner(runner)
    try:
        result = case(lambda test: test.execute_workflow(Recipe(), {"flour": 1}))
    finally:
        unregister_runner(runner)
    assert result.outputs == {"mix": {"flour": 1}, "bake": {"flour": 1}}
    assert [(node, str(error)) for node, error in result.errors] == [("cake", "burnt")]
    with pytest.raises(UnusableWorkflowError):
        case(lambda test: test.execute_workflow(Recipe()))


def test_the_runner_that_came_last_is_asked_first():
    class Named:
        def __init__(self, kind):
            self.kind = kind

        def accepts(self, workflow):
            return workflow == "anything"

        def name_of(self, workflow):
            return "it"

        async def run(self, workflow, inputs, run):
            run.returned = self.kind

    runners = [Named("first"), Named("last")]
    for each in runners:
        register_runner(each)
    try:
        assert case(lambda test: test.execute_workflow("anything")).returned == "last"
    finally:
        for each in runners:
            unregister_runner(each)


def test_the_summary_of_a_result_names_what_ran_and_what_failed(capsys):
    async def breaks():
        raise LookupError("no tea")

    async def body(test):
        (await test.execute_workflow(breaks)).print_summary()

    case(body)
    told = capsys.readouterr().out
    assert told.startswith("Status: failed\n")
    assert "Errors: 1\n" in told
    assert "LookupError('no tea')" in told
