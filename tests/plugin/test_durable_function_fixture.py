"""The fixture of AWS durable functions, seen from a project that uses it."""

import pytest

from steprig.aws import WebRunner

ORDERS = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

@durable_execution
def remind(event, context):
    context.wait(Duration.from_days(30), name="a month")
    return context.step(lambda _: f"sent to {event}", name="mail")

@durable_execution
def ask(event, context):
    return context.create_callback(name="approval").result()

@durable_execution
def breaks(event, context):
    return context.step(lambda _: 1 / 0, name="divide", config=NEVER_AGAIN)

from aws_durable_execution_sdk_python.config import StepConfig
from aws_durable_execution_sdk_python.retries import RetryDecision
NEVER_AGAIN = StepConfig(retry_strategy=lambda error, attempt: RetryDecision.no_retry())
"""

USE = """
from orders import ask, remind

def test_a_reminder_goes_out(durable_function_runner):
    result = durable_function_runner(remind).run("you")
    assert result.result == '"sent to you"'
    assert result.get_wait("a month").name == "a month"

def test_an_answer_is_waited_for(durable_function_runner):
    runner = durable_function_runner(ask)
    arn = runner.run_async()
    runner.send_callback_success(runner.wait_for_callback(arn, "approval"), b"yes")
    assert runner.wait_for_result(arn).result == '"yes"'
"""


@pytest.fixture(autouse=True)
def project(empty_project):
    empty_project.makepyfile(orders=ORDERS)


@pytest.fixture
def deployed(pytester, monkeypatch):
    """A Lambda API with the project's functions, as the environment tells boto3."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("deployed_orders", pytester.path / "orders.py")
    orders = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(orders)
    runner = WebRunner(skip_time=True)
    runner.register_durable_function("shop-remind", orders.remind).register_durable_function("asking", orders.ask)
    with runner:
        for name, value in runner.environment.items():
            monkeypatch.setenv(name, value)
        yield runner


@pytest.mark.parametrize("mode", [(), ("--steprig-aws=local",), ("--steprig-aws=web",)])
def test_functions_run_in_the_process_or_on_a_server(run, mode):
    run(USE, *mode).assert_outcomes(passed=2)


def test_functions_run_where_they_are_deployed(run, deployed):
    chosen = ("--steprig-aws-function=ask=asking", "--steprig-aws-function=shop-{handler}")

    run(USE, "--steprig-aws=cloud", *chosen).assert_outcomes(passed=2)

    names = sorted(run.name for run in deployed.timeline.runs())
    assert names == ["asking", "shop-remind"]


def test_the_ini_file_says_where_and_the_command_line_goes_before(pytester, run, deployed):
    pytester.makeini("""
        [pytest]
        steprig_aws = cloud
        steprig_aws_functions =
            ask = nobody
            remind = shop-remind
    """)

    run(USE, "--steprig-aws-function=ask=asking").assert_outcomes(passed=2)
    assert len(deployed.timeline.runs()) == 2
    run(USE, "--steprig-aws=local").assert_outcomes(passed=2)
    assert len(deployed.timeline.runs()) == 2


def test_a_test_may_say_what_is_deployed(run, deployed):
    run(
        """
        def test_it(durable_function_runner):
            assert durable_function_runner.mode == "cloud"
            runner = durable_function_runner(None, deployed_as="shop-remind", poll_interval=0.1)
            assert runner.run("you").result == '"sent to you"'
        """,
        "--steprig-aws=cloud",
    ).assert_outcomes(passed=1)


def test_without_a_name_of_what_is_deployed_the_error_says_how_to_give_one(run):
    result = run(USE, "--steprig-aws=cloud", "--steprig-aws-function=other=x")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*UsageError: --steprig-aws=cloud: as what is remind deployed?*"])
    result.stdout.fnmatch_lines(["*--steprig-aws-function=remind=NAME*steprig_aws_functions*deployed_as=NAME*"])


def test_a_mode_that_there_is_not_is_a_usage_error(run):
    result = run(USE, "--steprig-aws=moon")

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*UsageError: --steprig-aws=moon: expected local, web or cloud*"])


@pytest.mark.parametrize(
    ("mode", "option", "others"),
    [
        ("web", "callbacks={}", "local"),
        ("cloud", "skip_time=True", "local or web"),
        ("local", "visible_within=1", "cloud"),
    ],
)
def test_an_option_that_a_mode_does_not_have_is_told_of(run, mode, option, others):
    result = run(
        f"def test_it(durable_function_runner): durable_function_runner(print, {option})", f"--steprig-aws={mode}"
    )

    result.assert_outcomes(failed=1)
    name = option.partition("=")[0]
    result.stdout.fnmatch_lines(
        [f"*with --steprig-aws={mode} there is no option '{name}'; with --steprig-aws={others} there is. There are *"]
    )


def test_an_option_that_no_mode_has_is_told_of(run):
    result = run("def test_it(durable_function_runner): durable_function_runner(print, colour=1)")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*with --steprig-aws=local there is no option 'colour'. There are callbacks, clock,*"])


def test_what_cannot_be_done_in_the_cloud_is_said(run, deployed):
    result = run(
        """
        import pytest

        @pytest.mark.parametrize("ask", [
            lambda runner: runner.clock,
            lambda runner: runner.advance(hours=1),
            lambda runner: runner.register_function("f", print),
        ])
        def test_it(durable_function_runner, ask):
            ask(durable_function_runner(print, deployed_as="asking"))
        """,
        "--steprig-aws=cloud",
    )

    result.assert_outcomes(failed=3)
    for what in ("show a clock", "move the clock", "register 'f'"):
        result.stdout.fnmatch_lines(
            [f"*DurableFunctionsTestError: a runner of functions that are deployed cannot {what};*"]
        )


@pytest.mark.parametrize("mode", ["local", "web"])
def test_runners_are_on_the_clock_of_a_test_that_has_one(run, mode):
    run(
        """
        from orders import remind

        def test_on_its_clock(durable_function_runner, virtual_clock):
            before = virtual_clock.now()
            runner = durable_function_runner(remind)
            assert runner.clock is virtual_clock
            runner.run("you")
            assert (virtual_clock.now() - before).days >= 30

        def test_in_real_time(durable_function_runner, virtual_clock):
            assert durable_function_runner(remind, skip_time=False).clock is not virtual_clock

        def test_without_one(durable_function_runner):
            one, other = durable_function_runner(remind), durable_function_runner(remind)
            assert one.clock is not other.clock
        """,
        f"--steprig-aws={mode}",
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["local", "web"])
def test_nothing_is_left_when_a_test_ends(run, mode):
    run(
        """
        import threading
        from orders import ask

        def test_first(durable_function_runner):
            runner = durable_function_runner(ask)
            runner.wait_for_callback(runner.run_async())

        def test_second():
            names = [thread.name for thread in threading.enumerate()]
            assert not [name for name in names if name.startswith(("steprig", "dex"))], names
        """,
        f"--steprig-aws={mode}",
    ).assert_outcomes(passed=2)


@pytest.mark.parametrize("mode", ["local", "web"])
def test_a_failing_test_shows_its_executions(run, mode):
    result = run(
        """
        from orders import breaks

        def test_it(durable_function_runner):
            assert durable_function_runner(breaks).run().error is None
        """,
        f"--steprig-aws={mode}",
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["* steprig runs: durable_function_runner, runner 1 *", "test-function  failed *", "*divide *failed*"]
    )


def test_without_the_extra_the_error_names_it(pytester):
    pytester.makeconftest("""
        import sys

        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("aws_durable"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Missing())
    """)
    pytester.makepyfile("def test_it(durable_function_runner): pass")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ImportError: *aws_durable*pip install 'steprig[[]aws]'*"])


def test_nothing_of_the_sdk_is_imported_where_no_test_uses_it(pytester):
    pytester.makepyfile("""
        import sys

        def test_it(virtual_clock):
            assert not {"boto3", "botocore", "aws_durable_execution_sdk_python", "steprig.aws"} & set(sys.modules)
    """)

    pytester.runpytest_subprocess().assert_outcomes(passed=1)
