"""Durable Task orchestrators, run as workflows by a real client and worker of the SDK."""

import asyncio
import logging
import threading
from collections import Counter
from contextvars import ContextVar, copy_context
from datetime import timedelta

import pytest
from durabletask import task

from steprig.durabletask.workflow_calls import Calls
from steprig.durabletask.workflow_runner import DurableTaskRunner, DurableTaskWorkflow
from steprig.workflows import WorkflowInputError

from .cases import case, execute, succeeded, threads, until

log = logging.getLogger("shop")


class StockError(Exception):
    pass


def charge(context, cents):
    log.warning("charging %s", cents)
    return {"cents": cents, "lines": [{"sku": "tea"}]}


def pack(context, box: str) -> str:
    return f"packed {box}"


def look(context, sku):
    raise StockError(f"none of {sku}")


def warehouse(context, sku):
    return (yield context.call_activity(look if sku == "tea" else pack, input=sku))


def ship(context, order):
    yield context.create_timer(timedelta(days=1))
    paid = yield context.call_activity(charge, input=order["cents"])
    boxes = yield task.when_all([context.call_activity(pack, input=box) for box in ("a", "b")])
    boxed = yield context.call_sub_orchestrator(warehouse, input="c")
    return {"paid": paid["cents"], "boxes": boxes, "boxed": boxed}


def broken(context, order):
    yield context.call_activity(pack, input="x")
    policy = task.RetryPolicy(first_retry_interval=timedelta(hours=1), max_number_of_attempts=3)
    yield context.call_activity(look, input=order["sku"], retry_policy=policy)


SHIP = DurableTaskWorkflow(ship, activities=[charge, pack], orchestrators=[warehouse])
BROKEN = DurableTaskWorkflow(broken, activities=[pack, look])


def test_an_orchestrator_gives_its_steps_by_name_and_what_it_returned():
    result = succeeded(SHIP, {"cents": 500})

    assert result.get_output("charge", "lines.0.sku") == "tea"
    assert [result.outputs[name] for name in ("pack", "pack:1", "pack:2")] == ["packed a", "packed b", "packed c"]
    assert result.outputs["warehouse"] == "packed c"
    assert result.returned == result.outputs["ship"]
    assert result.returned == {"paid": 500, "boxes": ["packed a", "packed b"], "boxed": "packed c"}
    assert [step.name for step in result.steps] == ["timer", "charge", "pack", "pack", "warehouse"]
    assert [step.name for step in result.steps[-1].children] == ["pack"]
    assert len({step.id for top in result.steps for step in top.walk()}) == 6
    assert result.node_timings["timer"] == pytest.approx(86_400, abs=60)
    assert result.execution_time < 60
    assert result.logs == ["WARNING shop: charging 500"]


def test_an_activity_that_fails_for_good_is_named_with_what_it_raised():
    result = execute(BROKEN, {"sku": "tea"})

    assert result.status == "failed"
    ((step, error),) = result.errors
    assert (step, type(error), str(error)) == ("look", StockError, "none of tea")
    assert result.outputs["pack"] == "packed x"
    (failed,) = (step for step in result.steps if step.name == "look")
    assert failed.attempts == 3


def test_the_error_itself_can_be_raised():
    with pytest.raises(StockError, match="none of tea"):
        execute(BROKEN, {"sku": "tea"}, raise_errors=True)


def test_an_error_of_the_orchestrator_itself_is_its_own():
    def own(context, order):
        try:
            yield context.call_activity(look, input="tea")
        except task.TaskFailedError as error:
            raise LookupError(f"gave up: {error}") from error

    ((name, error),) = execute(DurableTaskWorkflow(own, activities=[look])).errors
    assert (name, type(error)) == ("own", LookupError)


def test_an_error_below_a_sub_orchestrator_is_that_of_the_step():
    def outer(context, order):
        yield context.call_sub_orchestrator(warehouse, input="tea")

    result = execute(DurableTaskWorkflow(outer, activities=[look, pack], orchestrators=[warehouse]))
    assert [(step, str(error)) for step, error in result.errors] == [("look", "none of tea")]


def test_an_orchestrator_may_call_itself_and_be_named_twice():
    def down(context, n):
        return n if n == 0 else (yield context.call_sub_orchestrator(down, input=n - 1))

    result = succeeded(DurableTaskWorkflow(down, orchestrators=[down]), 2)
    assert result.returned == 0
    assert [(step.name, step.status) for top in result.steps for step in top.walk()] == [("down", "completed")] * 2


def test_what_a_sub_orchestration_with_an_id_of_its_own_logs_is_the_runs():
    at_once = threading.Barrier(4)  # else all would be on the one thread that has the run's context already

    def meet(context, cents):
        at_once.wait(timeout=60)
        return charge(context, cents)

    def inner(context, cents):
        yield task.when_all([context.call_activity(meet, input=cents) for _ in range(4)])

    def outer(context, order):
        yield context.call_sub_orchestrator(inner, input=7, instance_id="an-id-of-its-own")

    result = succeeded(DurableTaskWorkflow(outer, activities=[meet], orchestrators=[inner]))
    assert result.logs == ["WARNING shop: charging 7"] * 4


def test_sub_orchestrations_with_ids_of_their_own_are_told_apart():
    def fail(context, cents):
        charge(context, cents)
        raise StockError(f"none for {cents}")

    def inner(context, cents):
        yield context.call_activity(fail, input=cents)

    def outer(context, order):
        yield context.call_sub_orchestrator(inner, input=order["cents"], instance_id=f"own-{order['cents']}")

    async def body(test):
        workflow = DurableTaskWorkflow(outer, activities=[fail], orchestrators=[inner])
        return await asyncio.gather(*(test.execute_workflow(workflow, {"cents": n}) for n in range(20)))

    results = case(body)

    assert [result.logs for result in results] == [[f"WARNING shop: charging {n}"] for n in range(20)]
    assert [str(result.errors[0][1]) for result in results] == [f"none for {n}" for n in range(20)]


def test_an_error_of_a_sub_orchestrator_itself_is_its_own():
    def inner(context, order):
        raise StockError("inside")
        yield

    def outer(context, order):
        yield context.call_sub_orchestrator(inner)

    result = execute(DurableTaskWorkflow(outer, orchestrators=[inner]))
    assert [(step, type(error)) for step, error in result.errors] == [("inner", StockError)]


def test_an_activity_that_succeeds_at_a_later_attempt_is_no_error():
    tries = []

    def post(context, value):
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("down")
        return "posted"

    def flaky(context, order):
        policy = task.RetryPolicy(first_retry_interval=timedelta(hours=1), max_number_of_attempts=5)
        return (yield context.call_activity(post, retry_policy=policy))

    result = succeeded(DurableTaskWorkflow(flaky, activities=[post]))
    assert (result.errors, result.returned, len(tries)) == ([], "posted", 3)


def test_a_bare_orchestrator_is_a_workflow_and_misses_activities_with_advice():
    def alone(context, order):
        yield context.create_timer(timedelta(days=30))
        return order

    def lost(context, order):
        yield context.call_activity(pack, input="a")

    assert succeeded(alone, 5).returned == 5
    assert succeeded(alone).returned is None
    ((step, error),) = execute(lost).errors
    assert step == "pack"
    assert "'pack' was not registered" in str(error)
    assert "DurableTaskWorkflow(orchestrator, activities=[...]" in str(error)


def test_an_entity_is_called_and_keeps_its_state_for_the_test():
    def counter(context, value):
        total = (context.get_state(int) or 0) + value
        context.set_state(total)
        return total

    from durabletask.entities import EntityInstanceId

    def counting(context, order):
        yield context.call_entity(EntityInstanceId("counter", "a"), "add", 2)
        return (yield context.call_entity(EntityInstanceId("counter", "a"), "add", 3))

    workflow = DurableTaskWorkflow(counting, entities=[counter])

    async def body(test):
        return [(await test.execute_workflow(workflow)).returned for _ in range(2)]

    assert case(body) == [5, 10]  # the runs of a test are on one backend, which keeps the entity
    assert succeeded(workflow).returned == 5


def test_a_wait_that_nobody_ends_times_out_at_once():
    def waiting(context, order):
        event = context.wait_for_external_event("approval")
        timer = context.create_timer(timedelta(days=1))
        return "approved" if (yield task.when_any([event, timer])) is event else "late"

    assert succeeded(waiting).returned == "late"


def test_it_uses_what_the_test_has_made_on_its_loop():
    given = ContextVar("given")

    async def body(test):
        loop = asyncio.get_running_loop()
        mail = await test.create_test_resource("mail", None, mock=True)
        mail.send.return_value = "sent"
        given.set("by the test")
        seen = []

        def send(context, to):
            seen.append(threading.current_thread() is threading.main_thread())
            return [asyncio.run_coroutine_threadsafe(mail.send(to), loop).result(30), given.get()]

        def mailing(context, order):
            return (yield context.call_activity(send, input=order["to"]))

        result = await test.execute_workflow(DurableTaskWorkflow(mailing, activities=[send]), {"to": "ann"})
        assert (result.error, result.returned, seen) == (None, ["sent", "by the test"], [False])
        test.assert_resource_called("mail", "send", times=1, with_args=("ann",))

    case(body)


def test_fifty_runs_at_once_are_told_apart():
    async def body(test):
        results = await asyncio.gather(*(test.execute_workflow(SHIP, {"cents": n}) for n in range(50)))
        assert [result.get_output("charge", "cents") for result in results] == [*range(50)]
        assert [result.logs for result in results] == [[f"WARNING shop: charging {n}"] for n in range(50)]
        failed = await asyncio.gather(*(test.execute_workflow(BROKEN, {"sku": n}) for n in range(50)))
        assert [str(result.errors[0][1]) for result in failed] == [f"none of {n}" for n in range(50)]

    case(body)


def test_an_input_that_is_no_json_is_refused():
    with pytest.raises(WorkflowInputError, match="input of an orchestration"):
        execute(SHIP, {"cents": object()})


def test_a_run_that_takes_too_long_is_stopped():
    go_on = threading.Event()
    calls = []

    def hang(context, value):
        calls.append(value)
        go_on.wait(60)

    def endless(context, order):
        yield context.call_activity(pack, input="a")
        yield context.call_activity(hang, input=1)
        yield context.call_activity(hang, input=2)

    async def body(test):
        workflow = DurableTaskWorkflow(endless, activities=[hang, pack])
        with pytest.raises(AssertionError, match=r"longer than 3 s; nodes finished: pack"):
            await test.execute_workflow(workflow, timeout=3.0)
        await until(lambda: calls, "the call")
        go_on.set()
        assert (await test.execute_workflow(SHIP, {"cents": 1})).status == "success"

    case(body)
    assert calls == [1]


def test_what_functions_have_raised_is_forgotten_with_their_run():
    calls = Calls()
    calls.expect("run-1", copy_context())
    with pytest.raises(StockError):
        calls.observed(look)(task.ActivityContext("run-1", 3), "tea")
    assert isinstance(calls.raised_by("run-1", 3), StockError)

    calls.forget("run-1")

    assert calls.raised_by("run-1", 3) is None


def test_nothing_is_left_when_tests_end():
    succeeded(SHIP, {"cents": 1})
    before = threads()
    for _ in range(5):
        succeeded(SHIP, {"cents": 1})
    assert threads() - before == Counter()


def test_a_generator_function_of_other_parameters_is_no_orchestrator():
    def rows(path):
        yield path

    assert not DurableTaskRunner().accepts(rows)
    assert DurableTaskRunner().accepts(ship)
