"""What tests are written with."""

import importlib
import inspect
import subprocess
import sys
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from aws_durable_execution_sdk_python import durable_execution, durable_with_child_context

from steprig.aws import DurableChildContextTestRunner, DurableFunctionsTestError, DurableFunctionTestRunner
from steprig.kernel import VirtualClock

from . import samples
from .samples import value


def test_positional_arguments_are_those_of_the_peer():
    made = list(inspect.signature(DurableFunctionTestRunner).parameters)
    run = list(inspect.signature(DurableFunctionTestRunner.run).parameters)

    assert made[:8] == [
        "handler",
        "poll_interval",
        "max_invocation_page_bytes",
        "execution_timeout",
        "invocation_timeout",
        "store",
        "skip_time",
        "region",
    ]
    assert run[1:8] == [
        "input",
        "execution_timeout",
        "timeout",
        "function_name",
        "execution_name",
        "account_id",
        "tenant_id",
    ]


def test_the_old_name_of_the_execution_timeout_warns(runner_of):
    with pytest.warns(DeprecationWarning, match="Use execution_timeout"):
        runner_of(samples.adds).run('{"left": 1, "right": 2}', timeout=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner_of(samples.adds).run_async('{"left": 1, "right": 2}', timeout=10)


def test_a_handler_is_told_where_it_runs(runner_of):
    seen = []

    @durable_execution
    def handler(event, context):
        told = context.lambda_context
        seen.append((told.function_name, told.function_version, told.invoked_function_arn, told.tenant_id))
        assert 0 < told.get_remaining_time_in_millis() <= 900_000
        return told.aws_request_id

    runner = runner_of(handler, region="eu-west-1")
    result = runner.run("null", function_name="mine", account_id="999999999999", tenant_id="blue")

    assert seen == [("mine", "$LATEST", "arn:aws:lambda:eu-west-1:999999999999:function:mine", "blue")]
    assert result.execution_arn.startswith(
        "arn:aws:lambda:eu-west-1:999999999999:function:mine:$LATEST/durable-execution/execution-name/"
    )


def test_each_run_is_an_execution_of_its_own(runner_of):
    runner = runner_of(samples.adds)

    results = [runner.run('{"left": 1, "right": 2}') for _ in range(3)]

    assert len({result.execution_arn for result in results}) == 3
    assert len(runner.timeline.runs()) == 3


def test_many_executions_run_at_once(runner_of):
    runner = runner_of(samples.sleeps)

    arns = [runner.run_async("null") for _ in range(50)]

    assert {value(runner.wait_for_result(arn)) for arn in arns} == {"done"}


def test_many_threads_run_executions(runner_of):
    runner = runner_of(samples.sleeps)
    results = []
    threads = [threading.Thread(target=lambda: results.append(runner.run("null"))) for _ in range(20)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [value(result) for result in results] == ["done"] * 20


def test_a_child_context_is_run_alone():
    with DurableChildContextTestRunner(samples.child, 5) as runner:
        result = runner.run()

    assert value(result) == 11
    assert [operation.name for operation in result.operations] == ["double", "rest", "increment"]


def test_a_child_context_takes_keywords():
    @durable_with_child_context
    def greets(context, greeting, *, name):
        return context.step(lambda _: f"{greeting}, {name}", name="greet")

    with DurableChildContextTestRunner(greets, "hello", name="world") as runner:
        assert value(runner.run()) == "hello, world"


def test_operations_that_are_not_there_are_told_of_with_those_that_are(runner_of):
    result = runner_of(samples.sleeps).run("null")

    with pytest.raises(DurableFunctionsTestError, match=r"^Operation with name 'nothing' not found.*'begin', 'a day'"):
        result.get_step("nothing")
    with pytest.raises(DurableFunctionsTestError, match=r"'a day' is a WAIT \(Wait\), and no step"):
        result.get_step("a day")


def test_a_result_prints_as_a_tree(runner_of):
    handler, _ = samples.flaky(1)

    lines = str(runner_of(handler).run("null")).splitlines()

    assert lines[0].startswith("test-function  completed")
    assert lines[1].startswith("└─ flaky  (Step)  completed")
    assert "2 attempts" in lines[1]
    assert "ValueError: attempt 1" in "\n".join(lines)


def test_a_tree_shows_what_is_below_what(runner_of):
    tree = runner_of(samples.nests).run("4").tree()

    assert [line.split("  (")[0].strip(" │") for line in tree.splitlines()[1:]] == [
        "└─ child",
        "├─ double",
        "├─ rest",
        "└─ increment",
    ]


def test_the_timeline_shows_the_same_run(runner_of):
    runner = runner_of(samples.nests)
    result = runner.run("4")

    assert runner.timeline.run(result.execution_arn) == result.run()


def test_time_can_be_real(runner_of):
    @durable_execution
    def handler(event, context):
        context.wait(samples.seconds(1))
        return "slept"

    started = time.monotonic()
    result = runner_of(handler, skip_time=False).run("null")

    assert value(result) == "slept"
    assert time.monotonic() - started >= 1
    with pytest.raises(DurableFunctionsTestError, match="cannot be moved"):
        runner_of(handler, skip_time=False).advance(hours=1)


def test_a_branch_goes_on_in_the_same_invocation_when_time_is_real(runner_of):
    release = threading.Event()

    @durable_execution
    def handler(event, context):
        def waits(branch):
            branch.wait(samples.seconds(1), name="short")
            release.set()
            return "waited"

        def works(branch):
            return branch.step(lambda _: release.wait(20), name="long")

        return context.parallel([waits, works], name="both").get_results()

    result = runner_of(handler, skip_time=False).run("null")

    assert value(result) == ["waited", True]
    assert [event.event_type for event in result.history()].count("InvocationCompleted") == 1


def test_a_clock_can_be_brought_along(runner_of):
    with VirtualClock(start=datetime(2030, 1, 1, tzinfo=UTC)) as clock:
        result = runner_of(samples.sleeps, clock=clock).run("null")

        assert clock.now() - datetime(2030, 1, 1, tzinfo=UTC) >= timedelta(hours=26)
        assert result.history()[0].event_timestamp.year == 2030


def test_retries_in_branches_work_whatever_the_year(runner_of):
    made = []

    @durable_execution
    def handler(event, context):
        def flaky(branch):
            def body(_):
                made.append(1)
                if len(made) < 3:
                    raise ValueError("not yet")
                return len(made)

            return branch.step(body, name="flaky", config=samples.retries(5))

        return context.parallel([flaky, lambda branch: branch.wait(samples.seconds(9))], name="both").get_results()

    for year in (2001, 2040):
        made.clear()
        with VirtualClock(start=datetime(year, 1, 1, tzinfo=UTC)) as clock:
            assert value(runner_of(handler, clock=clock).run("null"))[0] == 3


def test_history_leaves_data_out_unless_it_is_asked_for(runner_of):
    runner = runner_of(samples.adds)
    arn = runner.run('{"left": 1, "right": 2}').execution_arn

    bare = runner.get_execution_history(arn).events
    full = runner.get_execution_history(arn, include_execution_data=True).events

    assert bare[-1].to_dict()["ExecutionSucceededDetails"] == {"Result": {"Truncated": True}}
    assert full[-1].to_dict()["ExecutionSucceededDetails"] == {"Result": {"Payload": "3", "Truncated": False}}
    assert [event.event_id for event in full] == list(range(1, len(full) + 1))


def test_the_extra_is_named_where_it_is_missing():
    code = """
import sys
sys.modules["aws_durable_execution_sdk_python"] = None
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("aws_durable"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
del sys.modules["aws_durable_execution_sdk_python"]
sys.meta_path.insert(0, Missing())
import steprig.aws
try:
    steprig.aws.DurableFunctionTestRunner
except ImportError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'steprig[aws]'" in told
    assert "DurableFunctionTestRunner needs the package 'aws_durable_execution_sdk_python'" in told


@pytest.mark.parametrize(
    "name",
    [
        "DurableChildContextTestRunner",
        "DurableFunctionCloudTestRunner",
        "DurableFunctionsTestError",
        "ErrorObject",
        "FileSystemExecutionStore",
        "InMemoryExecutionStore",
        "InvocationStatus",
        "OperationStatus",
        "OperationType",
        "ResourceNotFoundException",
        "SQLiteExecutionStore",
        "WebRunner",
        "WebRunnerConfig",
    ],
)
def test_what_tests_import_along_with_the_runner_is_there(name):
    assert getattr(importlib.import_module("steprig.aws.runner"), name)


def test_the_runner_module_has_nothing_else():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        importlib.import_module("steprig.aws.runner").Nothing  # noqa: B018
