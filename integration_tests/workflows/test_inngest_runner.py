"""Inngest functions, run as workflows by the real SDK on an embedded dev server."""

import asyncio
import gc
import logging
import threading
from contextvars import ContextVar
from datetime import timedelta

import inngest
import pytest

from steprig.inngest.workflow_runner import InngestWorkflow
from steprig.workflows import AsyncAssertions, WorkflowInputError

from .cases import Case, case, execute, succeeded, threads, until

client = inngest.Inngest(app_id="shop", is_production=False)
log = logging.getLogger("shop")


class StockError(Exception):
    pass


def function(fn_id, event="shop/order", **options):
    trigger = options.pop("trigger", None) or inngest.TriggerEvent(event=event)
    return client.create_function(fn_id=fn_id, trigger=trigger, **options)


@function("ship", retries=1)
async def ship(ctx):
    await ctx.step.sleep("cool down", timedelta(days=30))

    async def charge():
        return {"cents": ctx.event.data["cents"], "lines": [{"sku": "tea"}]}

    async def pack(box):
        log.warning("packing %s", box)
        return box

    paid = await ctx.step.run("charge", charge)
    boxes = await ctx.group.parallel((lambda: ctx.step.run("pack", pack, "a"), lambda: ctx.step.run("pack", pack, "b")))
    return {"paid": paid["cents"], "boxes": sorted(boxes)}


@function("broken", retries=2)
async def broken(ctx):
    async def look():
        raise StockError(f"none of {ctx.event.data['sku']}")

    async def first():
        return 1

    await ctx.step.run("first", first)
    await ctx.step.run("look", look)


def test_a_function_gives_its_steps_by_name_and_what_it_returned():
    result = succeeded(ship, {"cents": 500})

    assert result.get_output("charge", "lines.0.sku") == "tea"
    assert sorted([result.outputs["pack"], result.outputs["pack:1"]]) == ["a", "b"]
    assert result.returned == result.outputs["ship"] == {"paid": 500, "boxes": ["a", "b"]}
    assert [step.kind for step in result.steps] == ["SLEEP", "RUN", "RUN", "RUN"]
    assert result.node_timings["cool down"] == pytest.approx(30 * 86_400, abs=60)
    assert result.execution_time < 60
    assert sorted(result.logs) == ["WARNING shop: packing a", "WARNING shop: packing b"]


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


def test_fifty_runs_at_once_that_fail_keep_their_own_errors():
    async def body(test):
        results = await asyncio.gather(*(test.execute_workflow(broken, {"sku": n}) for n in range(50)))
        assert [str(result.errors[0][1]) for result in results] == [f"none of {n}" for n in range(50)]

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


def test_on_failure_has_run_when_the_result_is_there():
    seen = []

    async def sorry(ctx):
        await asyncio.sleep(0)
        seen.append(ctx.event.data["error"]["message"])

    @function("doomed", retries=0, on_failure=sorry)
    async def doomed(ctx):
        raise StockError("none")

    result = execute(doomed)

    assert seen == ["none"]
    assert [(name, type(error)) for name, error in result.errors] == [("doomed", StockError)]


def test_an_error_of_on_failure_is_not_that_of_the_run():
    async def clumsy(ctx):
        raise LookupError("nobody to tell")

    @function("doomed twice", retries=0, on_failure=clumsy)
    async def doomed(ctx):
        raise StockError("none")

    assert [(name, type(error)) for name, error in execute(doomed).errors] == [("doomed twice", StockError)]


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


def test_nothing_is_left_when_tests_end():
    succeeded(ship, {"cents": 1})
    before = threads()
    for _ in range(5):
        succeeded(ship, {"cents": 1})
    gc.collect()  # a socket left open would be a ResourceWarning, and so an error
    assert {name for name in threads() - before if not name.startswith("asyncio")} == set()


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
