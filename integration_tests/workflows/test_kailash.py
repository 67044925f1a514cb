"""kailash workflows, run by kailash's own runtime."""

import asyncio
import gc
import logging
import threading
import warnings
from contextvars import ContextVar, copy_context

import pytest
from kailash.nodes.code import PythonCodeNode
from kailash.workflow.async_builder import AsyncWorkflowBuilder
from kailash.workflow.builder import WorkflowBuilder

from steprig.workflows import WorkflowInputError, register_runner, unregister_runner

from .cases import case, until


def workflow(*nodes, connections=(), name="orders"):
    builder = AsyncWorkflowBuilder(name)
    for node_id, code in nodes:
        builder.add_async_code(node_id, code)
    for connection in connections:
        builder.add_connection(*connection)
    return builder.build()


def execute(*nodes, connections=(), inputs=None, **options):
    return case(lambda test: test.execute_workflow(workflow(*nodes, connections=connections), inputs, **options))


def test_outputs_are_what_the_code_set_result_to():
    result = execute(("a", "result = {'rows': [n, 2], 'deep': {'x': None}}"), ("b", "total = n + 1"), inputs={"n": 1})

    assert result.status == "success"
    assert result.outputs["a"] == {"rows": [1, 2], "deep": {"x": None}}
    assert result.get_output("a", "rows.1") == 2
    assert result.get_output("b", "total") == 2
    assert {step.id: step.status.value for step in result.steps} == {"a": "completed", "b": "completed"}
    assert set(result.node_timings) == {"a", "b"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rows", [1, {"k": 2}]),
        ("result.rows", [1, {"k": 2}]),
        ("rows.1.k", 2),
        ("result.deep.x", 5),
        ("deep.x", 5),
        ("none", None),
        ("result", {"rows": [1, {"k": 2}], "deep": {"x": 5}, "none": None}),
    ],
)
@pytest.mark.parametrize(
    "code",
    [
        "result = {'rows': [1, {'k': 2}], 'deep': {'x': 5}, 'none': None}",
        "rows, deep, none = [1, {'k': 2}], {'x': 5}, None",
    ],
    ids=["result", "variables"],
)
def test_a_connection_brings_what_its_path_names(path, value, code):
    result = execute(("a", code), ("b", "result = [given]"), connections=[("a", path, "b", "given")])

    assert result.get_output("b") == [value]


@pytest.mark.parametrize("path", ["row", "deep.y", "result.deep.x.z", "rows.9"])
def test_a_path_that_does_not_exist_fails_and_says_what_there_is(path):
    result = execute(
        ("a", "result = {'rows': [1], 'deep': {'x': 5}}"),
        ("b", "result = [given]"),
        connections=[("a", path, "b", "given")],
    )

    assert result.status == "failed"
    assert f"the connection a.{path} -> b.given leads nowhere" in result.error
    assert "there is: rows, deep, deep.x" in result.error
    assert result.outputs == {"a": {"rows": [1], "deep": {"x": 5}}}


def test_the_original_exception_is_told_of_its_node_and_finished_nodes_are_kept():
    result = execute(
        ("a", "result = 1"), ("b", "raise ValueError(f'bad {x}')"), connections=[("a", "result", "b", "x")]
    )

    ((node, error),) = result.errors
    assert (node, type(error), str(error)) == ("b", ValueError, "bad 1")
    assert result.outputs == {"a": 1}
    assert "'b' failed: ValueError: bad 1" in result.error
    assert [step.status.value for step in result.steps] == ["completed", "failed"]
    with pytest.raises(ValueError, match="bad"):
        execute(("b", "raise ValueError('bad')"), raise_errors=True)


SLEEPS = """
s = await get_resource('seen')
try:
    await asyncio.sleep(60)
    await s.finished()
finally:
    await s.stopped()
"""


def test_no_node_goes_on_after_another_has_failed():
    async def body(test):
        seen = await test.create_test_resource("seen", None, mock=True)
        result = await test.execute_workflow(
            workflow(
                ("fails", "s = await get_resource('seen')\nawait s.begun()\nraise ValueError('no')"),
                ("sleeps", SLEEPS),
                ("leaves", "t = asyncio.create_task(asyncio.sleep(60))\nawait asyncio.sleep(60)"),
            )
        )
        assert result.status == "failed"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        test.assert_resource_called("seen", "stopped", times=1)
        test.assert_resource_called("seen", "finished", times=0)
        assert seen.get_calls("begun")
        assert {step.id: step.status.value for step in result.steps}["sleeps"] == "cancelled"

    case(body)


def test_a_task_that_a_node_leaves_behind_ends_with_the_run():
    async def body(test):
        result = await test.execute_workflow(
            workflow(("a", "t = asyncio.create_task(asyncio.sleep(60), name='left')\nresult = t.get_name()"))
        )
        assert result.get_output("a") == "left"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    case(body)


def test_time_that_is_up_stops_every_node():
    async def body(test):
        with pytest.raises(AssertionError, match=r"'orders' was stopped, .* 1 s; nodes finished: a"):
            await test.execute_workflow(
                workflow(
                    ("a", "result = 1"), ("b", "await asyncio.sleep(60)"), connections=[("a", "result", "b", "x")]
                ),
                timeout=1,
            )
        assert asyncio.all_tasks() == {asyncio.current_task()}

    case(body)


@pytest.mark.parametrize("prelude", ["", "import asyncio\n"], ids=["given", "imported"])
def test_create_task_is_never_replaced_for_others(prelude):
    original = asyncio.create_task

    async def body(test):
        code = "await asyncio.sleep({0} / 100)\nt = asyncio.create_task(asyncio.sleep(0, {0}))\nresult = await t"
        nodes = [(f"n{delay}", prelude + code.format(delay)) for delay in (3, 1, 2)]
        run = asyncio.ensure_future(test.execute_workflow(workflow(*nodes)))
        while not run.done():
            assert asyncio.create_task is original
            await asyncio.create_task(asyncio.sleep(0), name="named")
        assert (await run).outputs == {"n3": 3, "n1": 1, "n2": 2}

    case(body)
    assert asyncio.create_task is original
    from kailash.nodes.code import async_python

    assert async_python.asyncio is asyncio


def test_a_task_of_a_node_has_the_name_and_the_context_that_it_is_given():
    given = ContextVar("given", default="nothing")

    async def body(test):
        context = copy_context()
        context.run(given.set, "by the test")
        await test.create_test_resource("given", lambda: given)
        await test.create_test_resource("context", lambda: context)
        return await test.execute_workflow(
            workflow(
                (
                    "tasks",
                    (
                        "given, context = await get_resource('given'), await get_resource('context')\n"
                        "async def look():\n"
                        "    return given.get()\n"
                        "task = asyncio.create_task(look(), name='mine', context=context)\n"
                        "result = [task.get_name(), await task, await asyncio.create_task(look())]"
                    ),
                )
            )
        )

    result = case(body)
    assert result.error is None
    assert result.outputs["tasks"] == ["mine", "by the test", "nothing"]


@pytest.mark.parametrize("prelude", ["", "import asyncio\n"], ids=["given", "imported"])
def test_kailash_still_limits_the_tasks_of_a_node(prelude):
    code = prelude + (
        "most = now = 0\n"
        "async def one():\n"
        "    nonlocal most, now\n"
        "    now += 1\n"
        "    most = max(most, now)\n"
        "    await asyncio.sleep(0.001)\n"
        "    now -= 1\n"
        "tasks = [asyncio.create_task(one()) for _ in range(9)]\n"
        "for t in tasks:\n"
        "    await t\n"
        "result = most"
    )
    limited = AsyncWorkflowBuilder("w").add_async_code("a", code, max_concurrent_tasks=3).build()

    assert case(lambda test: test.execute_workflow(limited)).outputs == {"a": 3}


def test_an_unknown_resource_fails_the_run_and_names_the_known_ones():
    async def body(test):
        await test.create_test_resource("db", lambda: object())
        result = await test.execute_workflow(
            workflow(("a", "await get_resource('dbb')")), mock_resources={"mail": object()}
        )
        assert "there is no resource 'dbb'; known: 'db', 'mail'" in result.error

    case(body)


def test_a_node_that_times_out_or_gives_no_json_says_so():
    slow = AsyncWorkflowBuilder("w").add_async_code("a", "await asyncio.sleep(60)", timeout=1).build()
    result = case(lambda test: test.execute_workflow(slow))
    assert isinstance(result.errors[0][1], TimeoutError)

    result = execute(("a", "from datetime import datetime\nresult = datetime(2024, 1, 1)"))
    assert "JSON" in result.error


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"a": 3}, "has the name of a node"),
        ({"not a name": 3}, "no identifier"),
        ({"timeout": 3}, "would never reach a node"),
    ],
)
def test_inputs_that_kailash_drops_are_refused(inputs, says):
    with pytest.raises(WorkflowInputError, match=says):
        execute(("a", "result = 1"), inputs=inputs)


def test_an_input_may_be_for_one_node():
    result = execute(("a", "result = size"), ("b", "result = 'size' in locals()"), inputs={"a": {"size": 3}})

    assert result.outputs == {"a": 3, "b": False}


def test_nodes_that_are_not_async_run_and_are_told_of_too():
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = {'n': 2}"})
    builder.add_node("PythonCodeNode", "b", {"code": "result = {'n': n * 2}"})
    builder.add_connection("a", "n", "b", "n")

    result = case(lambda test: test.execute_workflow(builder.build()))

    assert result.outputs == {"a": {"n": 2}, "b": {"n": 4}}
    assert [step.id for step in result.steps] == ["a", "b"]


def test_the_loop_goes_on_while_a_thread_of_a_failed_run_comes_to_its_end():
    entered, gate, waited = threading.Event(), threading.Event(), []

    def slow():
        entered.set()
        waited.append(gate.wait(20))
        return {"result": 1}

    async def body(test):
        builder = AsyncWorkflowBuilder("mixed")
        builder.add_async_code(
            "fails",
            "entered = await get_resource('entered')\nwhile not entered.is_set():\n"
            "    await asyncio.sleep(0.01)\nraise ValueError('no')",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a way to build that kailash likes better
            builder.add_node_instance(PythonCodeNode.from_function(slow, name="slow"), "slow")
        await test.create_test_resource("entered", lambda: entered)
        running = asyncio.create_task(test.execute_workflow(builder.build()))
        await until(entered.is_set, "the start of the thread")
        for _ in range(50):
            await asyncio.sleep(0.005)
        gate.set()
        return await running

    result = case(body)
    assert result.status == "failed"
    assert waited == [True]


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess",
        "from datetime import datetime\nopen(datetime.strptime('2024', '%Y'))",
        "eval('1')",
        "open('/etc/passwd')",
        "__builtins__.open('/etc/passwd')",
    ],
)
def test_what_kailash_forbids_stays_forbidden(code):
    with pytest.raises(Exception, match=r"subprocess|eval|open"):
        execute(("a", code), raise_errors=True)


def test_a_builder_is_no_workflow():
    with pytest.raises(TypeError, match="build"):
        case(lambda test: test.execute_workflow(AsyncWorkflowBuilder("w")))


def test_runs_at_the_same_time_keep_their_inputs_and_ids_apart():
    async def body(test):
        one = workflow(("a", "await asyncio.sleep(0.01)\nresult = n"))
        results = await asyncio.gather(*(test.execute_workflow(one, {"n": n}) for n in range(20)))
        assert [each.get_output("a") for each in results] == [*range(20)]
        assert len({each.run_id for each in results}) == 20

    case(body)


def test_logs_and_the_workflows_own_name_are_to_be_seen(caplog):
    caplog.set_level("DEBUG", "steprig.workflows")

    result = execute(("a", "import logging\nlogging.getLogger('shop').warning('low on tea')\nresult = 1"))

    assert "WARNING shop: low on tea" in result.logs
    assert "run of workflow 'orders' begins" in caplog.text


def test_many_cases_leave_no_thread_task_or_warning():
    async def one(test):
        await test.create_test_resource("mail", None, mock=True)
        result = await test.execute_workflow(workflow(("a", "await (await get_resource('mail')).send(1)\nresult = 1")))
        test.assert_workflow_success(result)

    case(one)
    before = threading.active_count()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(30):
            case(one)
        gc.collect()
    assert [str(each.message) for each in caught if issubclass(each.category, ResourceWarning)] == []
    assert threading.active_count() == before


def test_a_run_leaves_what_logging_knows_of_other_loggers():
    execute(("a", "result = 1"))
    other = logging.getLogger("some.other")
    assert not other.isEnabledFor(logging.DEBUG)
    execute(("a", "result = 1"))
    assert other._cache == {logging.DEBUG: False}  # each setting of any logger's level would have emptied it


def test_a_runner_of_ones_own_is_asked_before_kailashs():
    class Remote:
        kind = "what runs elsewhere"

        def accepts(self, workflow):
            return self.name_of(workflow) == "orders"

        def name_of(self, workflow):
            return workflow.metadata["name"]

        async def run(self, workflow, inputs, run):
            run.returned = "ran elsewhere"

    runner = Remote()
    register_runner(runner)
    try:
        assert execute(("a", "result = 1")).returned == "ran elsewhere"
    finally:
        unregister_runner(runner)
    assert execute(("a", "result = 1")).outputs == {"a": 1}
