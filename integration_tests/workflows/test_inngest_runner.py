"""Inngest functions, run as workflows by the real SDK on an embedded dev server."""

import asyncio
import gc
import logging
import threading
from collections import Counter
from contextvars import ContextVar
from datetime import timedelta

import inngest
import pydantic
import pytest

from steprig.inngest.workflow_runner import InngestWorkflow
from steprig.workflows import AsyncAssertions, WorkflowInputError

from .cases import Case, case, execute, succeeded, threads, until
from .inngest_shop import StockError, broken, function, log, ship


def test_a_function_gives_its_steps_by_name_and_what_it_returned():
    result = succeeded(ship, {"cents": 500})

    assert result.get_output("charge", "lines.0.sku") == "tea"
    assert sorted([result.outputs["pack"], result.outputs["pack:1"]]) == ["a", "b"]
    assert result.returned == result.outputs["ship"] == {"paid": 500, "boxes": ["a", "b"]}
    assert [step.kind for step in result.steps] == ["SLEEP", "RUN", "RUN", "RUN"]
    assert result.node_timings["cool down"] == pytest.approx(30 * 86_400, abs=60)
    assert result.execution_time < 60
    assert sorted(result.logs) == ["WARNING shop: packing a", "WARNING shop: packing b"]


def test_a_step_that_succeeds_at_a_later_attempt_is_no_error():
    tries = []

    @function("flaky", retries=3)
    async def flaky(ctx):
        async def post():
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError("down")
            return "posted"

        return await ctx.step.run("post", post)

    result = succeeded(flaky)

    assert (result.errors, result.returned, len(tries)) == ([], "posted", 3)
    assert result.steps[0].attempts == 3


def test_a_function_that_is_not_async_runs_beside_the_loop():
    seen = []

    @function("plain")
    def plain(ctx):
        def double():
            log.warning("doubling")
            seen.append(threading.current_thread() is threading.main_thread())
            return ctx.event.data["n"] * 2

        return ctx.step.run("double", double)

    result = succeeded(plain, {"n": 4})

    assert (result.returned, seen, result.logs) == (8, [False], ["WARNING shop: doubling"])


def test_it_uses_what_the_test_has_made_on_its_loop():
    given = ContextVar("given")

    async def body(test):
        loop = asyncio.get_running_loop()
        turn = asyncio.Lock()
        mail = await test.create_test_resource("mail", None, mock=True)
        mail.send.return_value = "sent"
        given.set("by the test")

        @function("mailing")
        async def mailing(ctx):
            async def send():
                async with turn:
                    assert asyncio.get_running_loop() is loop
                    return [await mail.send(ctx.event.data["to"]), given.get()]

            return await ctx.step.run("send", send)

        async with turn:
            running = asyncio.create_task(test.execute_workflow(mailing, {"to": "ann"}))
            await until(lambda: turn._waiters, "the function's wait for the lock")
        result = await running
        assert (result.error, result.returned) == (None, ["sent", "by the test"])
        test.assert_resource_called("mail", "send", times=1, with_args=("ann",))

    case(body)


def test_fifty_runs_at_once_are_told_apart():
    async def body(test):
        results = await asyncio.gather(*(test.execute_workflow(ship, {"cents": n}) for n in range(50)))
        assert [result.get_output("charge", "cents") for result in results] == [*range(50)]
        assert {len(result.logs) for result in results} == {2}
        assert len({result.run_id for result in results}) == 50

    case(body)


def test_functions_that_it_invokes_and_starts_run_with_it():
    started = []

    @function("child", event="shop/never")
    async def child(ctx):
        async def work():
            return ctx.event.data["n"] + 1

        return await ctx.step.run("work", work)

    @function("listener", event="shop/told")
    async def listener(ctx):
        started.append(ctx.event.data["n"])

    @function("parent")
    async def parent(ctx):
        n = await ctx.step.invoke("ask", function=child, data={"n": 1})
        await ctx.step.send_event("tell", inngest.Event(name="shop/told", data={"n": n}))
        told = await ctx.step.wait_for_event("wait", event="shop/none", timeout=timedelta(days=3))
        return [n, told]

    async def body(test):
        result = await test.execute_workflow(InngestWorkflow(parent, functions=[child, listener]))
        assert (result.error, result.returned) == (None, [2, None])
        assert result.get_output("ask") == 2
        await until(lambda: started, "the start of the listener")
        assert started == [2]

    case(body)


def test_what_the_environment_says_of_the_application_is_left_out(monkeypatch):
    monkeypatch.setenv("INNGEST_SERVE_ORIGIN", "http://shop.example")
    monkeypatch.setenv("INNGEST_SERVE_PATH", "/elsewhere")
    monkeypatch.setenv("INNGEST_STREAMING", "force")
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-prod-" + "ab" * 32)
    monkeypatch.setenv("INNGEST_BASE_URL", "http://127.0.0.1:9")
    assert succeeded(ship, {"cents": 5}).returned["paid"] == 5


def test_middleware_of_the_functions_client_runs():
    seen = []

    class Watching(inngest.Middleware):
        async def transform_input(self, ctx, function, steps):
            seen.append(function.local_id)

    own = inngest.Inngest(app_id="own", is_production=False, middleware=[Watching])

    @own.create_function(fn_id="watched", trigger=inngest.TriggerEvent(event="x"))
    async def watched(ctx):
        return ctx.event.name

    assert succeeded(InngestWorkflow(watched, client=own)).returned == "x"
    assert seen == ["watched"]


def test_the_functions_client_gives_its_logger_and_serializer():
    class Order(pydantic.BaseModel):
        cents: int

    own = inngest.Inngest(
        app_id="own",
        is_production=False,
        logger=logging.getLogger("own.client"),
        serializer=inngest.PydanticSerializer(),
    )

    @own.create_function(fn_id="typed", trigger=inngest.TriggerEvent(event="x"), output_type=Order)
    async def typed(ctx):
        async def make():
            ctx.logger.warning("making")
            return Order(cents=5)

        return await ctx.step.run("make", make, output_type=Order)

    result = succeeded(InngestWorkflow(typed, client=own))
    assert (result.returned, result.logs) == ({"cents": 5}, ["WARNING own.client: making"])


def test_runs_of_one_test_are_on_one_server_which_remembers_them():
    @function("once", idempotency="event.data.n")
    async def once(ctx):
        return ctx.event.data["n"]

    async def body(test):
        assert (await test.execute_workflow(once, {"n": 1})).returned == 1
        with pytest.raises(WorkflowInputError, match="idempotency"):
            await test.execute_workflow(once, {"n": 1})

    case(body)
    assert succeeded(once, {"n": 1}).returned == 1


def test_a_function_with_a_cron_trigger_is_invoked():
    @function("nightly", trigger=inngest.TriggerCron(cron="0 0 * * *"))
    async def nightly(ctx):
        async def work():
            raise StockError("none")

        if ctx.event.data.get("n"):
            return ctx.event.data["n"]
        return await ctx.step.run("work", work)

    assert succeeded(nightly, {"n": 3}).returned == 3
    assert [(step, type(error)) for step, error in execute(nightly).errors] == [("work", StockError)]


def test_runs_of_an_invoked_function_one_after_the_other_each_have_their_logs():
    @function("telling", trigger=inngest.TriggerCron(cron="0 0 * * *"))
    async def telling(ctx):
        log.warning("told %s", ctx.event.data["n"])

    async def body(test):
        return [(await test.execute_workflow(telling, {"n": n})).logs for n in (1, 2)]

    assert case(body) == [["WARNING shop: told 1"], ["WARNING shop: told 2"]]


def test_a_debounced_function_runs_when_its_time_has_come():
    @function("slow", debounce=inngest.Debounce(period=timedelta(hours=1)))
    async def slow(ctx):
        return ctx.event.data["n"]

    assert succeeded(slow, {"n": 3}).returned == 3


def test_an_event_that_starts_nothing_is_refused_with_what_to_look_at():
    @function("choosy", trigger=inngest.TriggerEvent(event="x", expression="event.data.n > 3"))
    async def choosy(ctx):
        return "ran"

    assert succeeded(choosy, {"n": 4}).returned == "ran"
    with pytest.raises(WorkflowInputError, match=r"'x' with the data \{'n': 1\} starts no run of 'choosy'.*expression"):
        execute(choosy, {"n": 1})


def test_a_run_of_another_function_that_the_event_starts_is_not_taken_for_its_own():
    @function("choosy too", trigger=inngest.TriggerEvent(event="x", expression="event.data.n > 3"))
    async def choosy(ctx):
        return "ran"

    @function("anything", event="x")
    async def anything(ctx):
        return "ran, too"

    with pytest.raises(WorkflowInputError, match="starts no run of 'choosy too'"):
        execute(InngestWorkflow(choosy, functions=[anything]), {"n": 1})


def test_a_wildcard_trigger_needs_the_name_of_its_event():
    @function("all", event="shop/*")
    async def everything(ctx):
        return ctx.event.name

    with pytest.raises(WorkflowInputError, match=r"InngestWorkflow\(function, event='shop/one'\)"):
        execute(everything)
    assert succeeded(InngestWorkflow(everything, event="shop/tea")).returned == "shop/tea"


def test_inputs_that_are_no_json_are_refused():
    with pytest.raises(WorkflowInputError, match="data of an event"):
        execute(ship, {"cents": object()})


def test_nothing_is_left_when_tests_end():
    succeeded(ship, {"cents": 1})
    before = threads()
    for _ in range(5):
        succeeded(ship, {"cents": 1})
    gc.collect()  # a socket left open would be a ResourceWarning, and so an error
    assert threads() - before == Counter()


def test_it_serves_assertions_outside_of_a_test_case():
    outputs = asyncio.run(AsyncAssertions.assert_workflow_succeeds(ship, {"cents": 5}))
    assert outputs["ship"]["paid"] == 5
    with pytest.raises(AssertionError, match="none of tea"):
        asyncio.run(AsyncAssertions.assert_workflow_succeeds(broken, {"sku": "tea"}))


class ShippingTest(Case):
    """As a user writes it, collected by pytest as it stands."""

    __test__ = True

    async def setUp(self):
        await super().setUp()
        self.mail = await self.create_test_resource("mail", None, mock=True)

    async def test_a_paid_order_ships(self):
        result = await self.execute_workflow(ship, {"cents": 500})
        self.assert_workflow_success(result)
        self.assert_node_output(result, "charge", 500, "cents")

    async def test_an_order_without_stock_fails(self):
        self.assert_workflow_failed(await self.execute_workflow(broken, {"sku": "tea"}))
