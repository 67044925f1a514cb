"""AWS durable functions, run as workflows by the real SDK."""

import asyncio
import json
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration, StepConfig
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.serdes import SerDes

from steprig.aws.workflow_runner import DurableFunctionWorkflow
from steprig.workflows import WorkflowInputError, WorkflowStepError

from .cases import case, execute, succeeded, threads, until

log = logging.getLogger("shop")


class StockError(Exception):
    pass


def attempts(number):
    return StepConfig(retry_strategy=create_retry_strategy(RetryStrategyConfig(max_attempts=number)))


@durable_execution
def ship(event, context):
    context.wait(Duration.from_days(30), name="cool down")

    def charge(step):
        log.warning("charging %s", event["cents"])
        return {"cents": event["cents"], "lines": [{"sku": "tea", "price": Decimal("1.50")}]}

    def warehouse(child):
        return child.step(lambda step: "boxed", name="box")

    paid = context.step(charge, name="charge")
    boxed = context.run_in_child_context(warehouse, name="warehouse")
    packed = context.parallel(
        [lambda branch: branch.step(lambda step: "a", name="pack"), lambda b: b.step(lambda step: "b", name="pack")],
        name="packing",
    )
    return {"paid": paid["cents"], "boxed": boxed, "packed": sorted(packed.get_results())}


@durable_execution
def broken(event, context):
    def look(step):
        raise StockError(f"none of {event['sku']}")

    context.step(lambda step: 1, name="first")
    context.step(look, name="look", config=attempts(3))


def test_a_function_gives_its_steps_by_name_and_what_it_returned():
    result = succeeded(ship, {"cents": 500})

    assert result.get_output("charge", "lines.0.sku") == "tea"
    assert result.get_output("charge", "lines.0.price") == Decimal("1.50")
    assert sorted([result.outputs["pack"], result.outputs["pack:1"]]) == ["a", "b"]
    assert (result.outputs["warehouse"], result.outputs["box"]) == ("boxed", "boxed")
    assert result.returned == result.outputs["ship"] == {"paid": 500, "boxed": "boxed", "packed": ["a", "b"]}
    assert [step.name for step in result.steps] == ["cool down", "charge", "warehouse", "packing"]
    assert [step.name for step in result.steps[2].children] == ["box"]
    assert timedelta(seconds=result.node_timings["cool down"]) == timedelta(days=30)
    assert result.execution_time < 60
    assert result.logs == ["WARNING shop: charging 500"]


def test_the_output_of_a_step_with_a_serializer_of_its_own_is_what_it_is_as_json():
    class Plain(SerDes):
        def serialize(self, value, context):
            return json.dumps({"boxes": value})

        def deserialize(self, data, context):
            return json.loads(data)["boxes"]

    @durable_execution
    def packing(event, context):
        return context.step(lambda step: 3, name="pack", config=StepConfig(serdes=Plain()))

    result = succeeded(packing)
    assert (result.returned, result.outputs["pack"]) == (3, {"boxes": 3})


def test_a_step_that_fails_for_good_is_named_with_an_error_of_its_class():
    result = execute(broken, {"sku": "tea"})

    assert result.status == "failed"
    ((step, error),) = result.errors
    assert (step, type(error), str(error)) == ("look", StockError, "none of tea")
    assert result.outputs == {"first": 1}
    assert (result.steps[-1].name, result.steps[-1].attempts) == ("look", 3)


def test_the_error_can_be_raised():
    with pytest.raises(StockError, match="none of tea"):
        execute(broken, {"sku": "tea"}, raise_errors=True)


def test_a_class_that_cannot_be_found_is_named():
    class HiddenError(Exception):
        pass

    @durable_execution
    def hiding(event, context):
        raise HiddenError("none")

    ((name, error),) = execute(hiding).errors
    assert (name, type(error)) == ("hiding", WorkflowStepError)
    assert str(error).endswith("HiddenError: none")


def test_an_error_of_the_function_itself_is_its_own():
    @durable_execution
    def own(event, context):
        def look(step):
            raise StockError("none")

        try:
            context.step(look, name="look", config=attempts(1))
        except Exception as error:
            raise LookupError(f"gave up: {error}") from error

    ((name, error),) = execute(own).errors
    assert (name, type(error)) == ("own", LookupError)


def test_a_step_that_succeeds_at_a_later_attempt_is_no_error():
    tries = []

    @durable_execution
    def flaky(event, context):
        def post(step):
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError("down")
            return "posted"

        return context.step(post, name="post", config=attempts(5))

    result = succeeded(flaky)
    assert (result.errors, result.returned, len(tries), result.steps[0].attempts) == ([], "posted", 3, 3)


def test_a_branch_that_fails_is_named_and_not_what_it_is_in():
    @durable_execution
    def branching(event, context):
        def look(step):
            raise StockError("none")

        def branch(inner):
            return inner.step(look, name="look", config=attempts(1))

        return context.run_in_child_context(branch, name="branch")

    assert [(name, type(error)) for name, error in execute(branching).errors] == [("look", StockError)]


def test_it_uses_what_the_test_has_made_on_its_loop():
    async def body(test):
        loop = asyncio.get_running_loop()
        mail = await test.create_test_resource("mail", None, mock=True)
        mail.send.return_value = "sent"
        seen = []

        @durable_execution
        def mailing(event, context):
            def send(step):
                seen.append(threading.current_thread() is threading.main_thread())
                return asyncio.run_coroutine_threadsafe(mail.send(event["to"]), loop).result(30)

            return context.step(send, name="send")

        result = await test.execute_workflow(mailing, {"to": "ann"})
        assert (result.error, result.returned, seen) == (None, "sent", [False])
        test.assert_resource_called("mail", "send", times=1, with_args=("ann",))

    case(body)


def test_fifty_runs_at_once_are_told_apart():
    async def body(test):
        results = await asyncio.gather(*(test.execute_workflow(ship, {"cents": n}) for n in range(50)))
        assert [result.get_output("charge", "cents") for result in results] == [*range(50)]
        for n, result in enumerate(results):
            assert f"WARNING shop: charging {n}" in result.logs
        failed = await asyncio.gather(*(test.execute_workflow(broken, {"sku": n}) for n in range(50)))
        assert [str(result.errors[0][1]) for result in failed] == [f"none of {n}" for n in range(50)]

    case(body)


def test_functions_that_it_invokes_and_callbacks_are_told_beside_it():
    @durable_execution
    def child(event, context):
        return context.step(lambda step: event["n"] + 1, name="add")

    @durable_execution
    def parent(event, context):
        n = context.invoke("child", {"n": 1}, name="ask")
        m = context.invoke("plain", {"n": n}, name="ask plainly")
        approved = context.wait_for_callback(lambda callback_id, step: None, name="approval")
        return [n, m, approved]

    result = succeeded(
        DurableFunctionWorkflow(
            parent,
            durable_functions={"child": child},
            functions={"plain": lambda event, context: event["n"] * 10},
            callbacks={"approval": "yes"},
        )
    )
    assert result.returned == [2, 20, "yes"]


def test_a_callback_that_nobody_answers_times_out_at_once():
    from aws_durable_execution_sdk_python.config import WaitForCallbackConfig

    @durable_execution
    def asking(event, context):
        config = WaitForCallbackConfig(timeout=Duration.from_days(3))
        context.wait_for_callback(lambda callback_id, step: None, name="approval", config=config)

    result = execute(asking)
    assert result.status == "failed"
    assert result.execution_time < 30


def test_an_event_that_is_no_dict_is_passed_on_and_one_that_is_no_json_refused():
    @durable_execution
    def echo(event, context):
        return event

    assert succeeded(echo, [1, "a"]).returned == [1, "a"]
    assert succeeded(echo).returned == {}
    with pytest.raises(WorkflowInputError, match="event of a function"):
        execute(echo, {"n": object()})


def test_a_run_that_takes_too_long_is_stopped():
    go_on = threading.Event()
    calls = []

    @durable_execution
    def endless(event, context):
        def hang(step):
            calls.append(1)
            go_on.wait(60)
            raise StockError("try again")

        context.step(lambda step: 1, name="first")
        context.step(hang, name="hang", config=attempts(5))

    async def body(test):
        with pytest.raises(AssertionError, match=r"longer than 3 s; nodes finished: first"):
            await test.execute_workflow(endless, timeout=3.0)
        go_on.set()
        assert (await test.execute_workflow(ship, {"cents": 1})).status == "success"

    case(body)
    assert calls == [1]


def test_runs_of_one_test_are_on_one_service_which_is_closed_at_its_end():
    made, closed = [], []

    class Counting(DurableFunctionWorkflow):
        def runner(self):
            runner = super().runner()
            close = runner.close
            runner.close = lambda: (closed.append(runner), close())
            made.append(runner)
            return runner

    workflow = Counting(ship)

    async def body(test):
        for n in (1, 2):
            assert (await test.execute_workflow(workflow, {"cents": n})).returned["paid"] == n
        assert not closed

    case(body)
    assert closed == made
    assert len(made) == 1


def test_the_end_of_a_run_is_told_while_another_goes_on():
    begun, gate = threading.Event(), threading.Event()

    @durable_execution
    def waiting(event, context):
        def wait(step):
            begun.set()
            return gate.wait(60)

        return context.step(wait, name="wait") if event["n"] == 1 else "at once"

    async def body(test):
        first = asyncio.create_task(test.execute_workflow(waiting, {"n": 1}))
        await until(begun.is_set, "the first run's step")
        try:
            assert (await test.execute_workflow(waiting, {"n": 2})).returned == "at once"
            assert not first.done()
        finally:
            gate.set()
        assert (await first).returned is True

    case(body)


def test_the_threads_that_wait_for_runs_end_with_the_test(monkeypatch):
    made = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    succeeded(ship, {"cents": 1})
    monkeypatch.setattr("steprig.aws.workflow_host.ThreadPoolExecutor", Pool)
    succeeded(ship, {"cents": 1})

    with pytest.raises(RuntimeError, match="after shutdown"):
        made[0].submit(int)


def test_many_runs_leave_the_loops_own_threads_to_the_functions():
    async def body(test):
        loop = asyncio.get_running_loop()

        @durable_execution
        def asking(event, context):
            def ask(step):
                return asyncio.run_coroutine_threadsafe(asyncio.to_thread(int, event["n"]), loop).result(20)

            return context.step(ask, name="ask", config=attempts(1))

        results = await asyncio.gather(*(test.execute_workflow(asking, {"n": n}) for n in range(40)))
        assert [result.returned for result in results] == [*range(40)]

    case(body)


def test_nothing_is_left_when_tests_end():
    succeeded(ship, {"cents": 1})
    before = threads()
    for _ in range(5):
        succeeded(ship, {"cents": 1})
    assert threads() - before == Counter()
