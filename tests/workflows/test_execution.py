"""Workflows that are run, and their results."""

import asyncio
import logging
import time
from unittest.mock import AsyncMock

import pytest

from steprig.workflows import OutputPathError, UnusableWorkflowError, WorkflowInputError, WorkflowTestResult

from .cases import Case, case


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


@pytest.mark.parametrize("answer", ["a result", ValueError("no time to say goodbye")])
def test_a_workflow_that_takes_too_long_fails_the_test_whatever_it_makes_of_being_stopped(answer):
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if isinstance(answer, str):
                return answer
            raise answer from None

    with pytest.raises(AssertionError, match=r"'stubborn' was stopped, as it took longer than 0.05 s"):
        case(lambda test: test.execute_workflow(stubborn, timeout=0.05))


def test_a_workflow_that_blocks_the_loop_for_too_long_fails_the_test_when_it_ends():
    async def blocking():
        time.sleep(0.05)  # noqa: ASYNC251 - what blocks the loop is what is tested

    with pytest.raises(AssertionError, match=r"'blocking' took .* s, longer than 0.01 s, and could not be stopped"):
        case(lambda test: test.execute_workflow(blocking, timeout=0.01))


def test_a_workflow_may_have_no_time_limit():
    async def quick():
        return 1

    assert case(lambda test: test.execute_workflow(quick, timeout=None)).returned == 1


def test_a_call_in_the_place_of_a_function_is_refused_with_the_way_out():
    async def order(number):
        return number

    with pytest.raises(UnusableWorkflowError, match=r"order.* is a call; pass the function itself, and its arguments"):
        case(lambda test: test.execute_workflow(order(7)))


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


def test_an_index_is_a_path():
    rows = WorkflowTestResult("success", {"load": ["tea", "milk"]})

    assert (rows.get_output("load", 0), rows.output("load", "1"), rows.get_output("load", 2)) == ("tea", "milk", None)
    assert rows.get_output("load", "") == ["tea", "milk"]
    Case().assert_node_output(rows, "load", "milk", 1)


def test_a_none_that_is_there_is_fine_and_a_difference_is_shown():
    Case().assert_node_output(RESULT, "load", None, "user.none")
    with pytest.raises(AssertionError, match="Expected: 'Eve'\nActual:   'Ada'"):
        Case().assert_node_output(RESULT, "load", "Eve", "user.name")


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
