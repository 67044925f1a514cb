"""Who runs a workflow: how runners are found, and what a test keeps for them."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from steprig.kernel import WorkflowReport
from steprig.workflows import AsyncWorkflowTestCase, UnusableWorkflowError, register_runner, runners, unregister_runner

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


def test_a_runner_of_another_package_is_found_by_its_entry_point(cookbook):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        cwd=cookbook,
        env={"PYTHONPATH": str(cookbook)},
    )
    assert done.stderr == ""
    success, refusal = done.stdout.splitlines()
    assert success == "success {'stir': {'eggs': 3}} cake"
    assert "a recipe" in refusal
    for kind in ("a kailash workflow", "an Inngest function", "an AWS durable function", "a Durable Task orchestrator"):
        assert kind in refusal
    assert "lost (No module named 'no_such_module')" in refusal


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
        self.failures = 0

    def accepts(self, workflow):
        return isinstance(workflow, str)

    def name_of(self, workflow):
        return workflow

    @asynccontextmanager
    async def server(self, word):
        await self.opened.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("no port")
        self.events.append(f"open {word}")
        yield word
        self.events.append(f"close {word}")

    async def run(self, workflow, inputs, run: WorkflowReport):
        kept = await run.kept(workflow, lambda: self.server(workflow))
        run.completed("kept", kept, began=0.0)


@pytest.fixture
def counting():
    runner = Counting()
    runner.opened.set()
    register_runner(runner)
    yield runner
    unregister_runner(runner)


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
        counting.failures = 1
        async with AsyncWorkflowTestCase() as test:
            failed = await test.execute_workflow("a")
            assert failed.error == "'a' failed: OSError: no port"
            assert (await test.execute_workflow("a")).status == "success"
        assert counting.events == ["open a", "close a"]

    asyncio.run(main())


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
