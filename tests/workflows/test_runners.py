"""Who runs a workflow: how runners are found, and what a test keeps for them."""

import asyncio
import logging
import os
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager

import pytest

from steprig.kernel import WorkflowReport
from steprig.workflows import AsyncWorkflowTestCase, UnusableWorkflowError, register_runner, runners, unregister_runner

from .cases import case

MODULE = """
class Recipe:
    def __init__(self, name):
        self.name = name

class RecipeRunner:
    kind = "a recipe"

    def accepts(self, workflow):
        return isinstance(workflow, Recipe)

    def name_of(self, workflow):
        return workflow.name

    async def run(self, workflow, inputs, run):
        run.completed("stir", dict(inputs), began=0.0)
        run.returned = "cake"
"""

PROGRAM = """
import asyncio
from cookbook import Recipe
from steprig.workflows import AsyncWorkflowTestCase

async def main():
    async with AsyncWorkflowTestCase() as test:
        result = await test.execute_workflow(Recipe("cake"), {"eggs": 3})
        print(result.status, result.outputs, result.returned)
        try:
            await test.execute_workflow(5)
        except TypeError as error:
            print(error)

asyncio.run(main())
"""


CALLABLE = """
import asyncio
from cookbook import Recipe, RecipeRunner
from steprig.workflows import AsyncWorkflowTestCase

class CallableRecipe(Recipe):
    async def __call__(self):
        return "called as a plain function"

async def main():
    async with AsyncWorkflowTestCase() as test:
        print((await test.execute_workflow(CallableRecipe("cake"))).returned)

asyncio.run(main())
"""


@pytest.fixture
def cookbook(tmp_path):
    """A package, as installed, that brings a runner; and one whose runner cannot be imported."""
    (tmp_path / "cookbook.py").write_text(MODULE)
    info = tmp_path / "cookbook-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cookbook\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[steprig.workflow_runners]\ncookbook = cookbook:RecipeRunner\nlost = no_such_module:Runner\n"
    )
    return tmp_path


def output_of(program, cookbook):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=cookbook,
        env={"PYTHONPATH": os.pathsep.join([str(cookbook), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_runner_of_another_package_is_found_by_its_entry_point(cookbook):
    success, refusal = output_of(PROGRAM, cookbook)
    assert success == "success {'stir': {'eggs': 3}} cake"
    assert "a recipe" in refusal
    for kind in ("a kailash workflow", "an Inngest function", "an AWS durable function", "a Durable Task orchestrator"):
        assert kind in refusal
    assert "lost (No module named 'no_such_module')" in refusal


def test_what_can_be_called_and_a_package_has_a_runner_for_is_run_by_that_runner(cookbook):
    assert output_of(CALLABLE, cookbook) == ["cake"]


def test_no_sdk_is_imported_to_look_for_a_runner():
    code = (
        "import asyncio, sys\n"
        "from steprig.workflows import AsyncAssertions\n"
        "async def plain(): return 1\n"
        "asyncio.run(AsyncAssertions.assert_workflow_succeeds(plain, {}))\n"
        "print({'inngest', 'durabletask', 'aws_durable_execution_sdk_python', 'kailash'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("package", "extra", "code"),
    [
        ("inngest", "inngest", "import steprig.inngest.workflow_runner as m; work = m.InngestWorkflow(fn)"),
        (
            "durabletask",
            "durabletask",
            "import steprig.durabletask.workflow_runner as m; work = m.DurableTaskWorkflow(fn)",
        ),
        (
            "aws_durable_execution_sdk_python",
            "aws",
            "import steprig.aws.workflow_runner as m; work = m.DurableFunctionWorkflow(fn)",
        ),
    ],
)
def test_without_its_sdk_a_workflow_names_the_extra(package, extra, code):
    program = (
        f"import sys, asyncio; sys.modules[{package!r}] = None\n"
        "from steprig.workflows import AsyncAssertions\n"
        "def fn(a, b): yield\n"
        "fn.local_id = 'fn'\n"
        f"{code}\n"
        "asyncio.run(AsyncAssertions.assert_workflow_succeeds(work, {}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"pip install 'steprig[{extra}]'" in done.stderr


class Counting:
    """A runner that keeps something, and tells what happens to it."""

    kind = "a word"

    def __init__(self):
        self.events = []
        self.opened = asyncio.Event()
        self.failures = []

    def accepts(self, workflow):
        return isinstance(workflow, str)

    def name_of(self, workflow):
        return workflow

    @asynccontextmanager
    async def server(self, word):
        await self.opened.wait()
        if self.failures:
            raise self.failures.pop()
        self.events.append(f"open {word}")
        yield word
        self.events.append(f"close {word}")

    async def run(self, workflow, inputs, run: WorkflowReport):
        kept = await run.kept(workflow, lambda: self.server(workflow))
        run.completed("kept", kept, began=0.0)


@pytest.fixture
def registered():
    """Registers runners for one test."""
    with ExitStack() as stack:

        def register(runner):
            runner.opened.set()
            register_runner(runner)
            stack.callback(unregister_runner, runner)
            return runner

        yield register


@pytest.fixture
def counting(registered):
    return registered(Counting())


def test_what_a_runner_keeps_is_opened_once_a_test_and_closed_at_its_end_after_what_came_later(counting):
    async def main():
        async with AsyncWorkflowTestCase() as test:
            test.add_cleanup(lambda: counting.events.append("first clean-up"))
            results = await asyncio.gather(*(test.execute_workflow(word) for word in ("a", "a", "b", "a")))
            assert [result.outputs["kept"] for result in results] == ["a", "a", "b", "a"]
            test.add_cleanup(lambda: counting.events.append("last clean-up"))
        assert counting.events == ["open a", "open b", "last clean-up", "close b", "close a", "first clean-up"]

    asyncio.run(main())


def test_a_run_that_is_stopped_while_something_opens_leaves_it_to_the_others(counting):
    async def main():
        counting.opened.clear()
        async with AsyncWorkflowTestCase() as test:
            with pytest.raises(AssertionError, match="was stopped"):
                await test.execute_workflow("a", timeout=0.01)
            counting.opened.set()
            assert (await test.execute_workflow("a")).status == "success"
        assert counting.events == ["open a", "close a"]

    asyncio.run(main())


def test_what_could_not_be_opened_is_tried_again(counting):
    async def main():
        counting.failures = [OSError("no port")]
        async with AsyncWorkflowTestCase() as test:
            failed = await test.execute_workflow("a")
            assert failed.error == "'a' failed: OSError: no port"
            assert (await test.execute_workflow("a")).status == "success"
        assert counting.events == ["open a", "close a"]

    asyncio.run(main())


def test_a_server_that_gives_up_opening_is_a_failure_and_not_the_time_limit_of_the_run(counting):
    counting.failures = [TimeoutError("nobody listens on the port")]

    result = case(lambda test: test.execute_workflow("a", timeout=60))

    assert result.error == "'a' failed: TimeoutError: nobody listens on the port"


class Chatty(Counting):
    """What it keeps has a task of its own, which logs when told to."""

    @asynccontextmanager
    async def server(self, word):
        self.told, self.said = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(self.talk())
        yield word
        await task

    async def talk(self):
        await self.told.wait()
        logging.getLogger("server").warning("still here")
        self.said.set()

    async def run(self, workflow, inputs, run):
        await super().run(workflow, inputs, run)
        logging.getLogger("run").warning("this is %s", inputs["name"])
        if inputs["name"] == "second":
            self.told.set()
            await self.said.wait()


def test_what_a_kept_server_logs_is_in_the_logs_of_no_run_not_even_of_the_one_that_opened_it(registered):
    registered(Chatty())

    async def body(test):
        return [await test.execute_workflow("a", {"name": name}) for name in ("first", "second")]

    assert [result.logs for result in case(body)] == [["WARNING run: this is first"], ["WARNING run: this is second"]]


def test_what_can_be_run_is_told():
    with pytest.raises(UnusableWorkflowError, match="5 of type int is no workflow; one is a kailash workflow"):
        asyncio.run(AsyncWorkflowTestCase.execute_workflow(*_set_up(), 5))


def _set_up():
    test = AsyncWorkflowTestCase()
    test._is_set_up = True
    return (test,)


def test_a_runner_that_cannot_be_imported_is_told_of_where_nothing_fits(monkeypatch):
    class Point:
        name = "oven"

        def load(self):
            raise ImportError("no module named heat")

    monkeypatch.setattr(runners, "entry_points", lambda group: [Point()])
    runners._installed.cache_clear()
    try:
        with pytest.raises(UnusableWorkflowError, match=r"Not to be had: oven \(no module named heat\)"):
            runners.runner_for(object())
    finally:
        runners._installed.cache_clear()


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
