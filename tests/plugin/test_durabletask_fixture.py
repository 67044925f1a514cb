"""The Durable Task fixture, seen from a project that uses it."""

import pytest

from steprig.durabletask import create_test_backend

ORDERS = """
from datetime import timedelta

def charge(_, order):
    return f"charged for {order}"

def remind(ctx, order):
    yield ctx.create_timer(timedelta(days=30))
    return (yield ctx.call_activity(charge, input=order))

class Counter:
    pass
"""

USE = """
from orders import charge, remind

def test_a_reminder_goes_out_after_a_month(durable_task_backend):
    durable_task_backend.worker(orchestrators=[remind], activities=[charge])
    client = durable_task_backend.client()
    instance_id = client.schedule_new_orchestration(remind, input=7)
    state = client.wait_for_orchestration_completion(instance_id, timeout=20)
    assert state.get_output() == "charged for 7"
"""

NO_TIMER = """
import threading

def echo(_, value):
    return value

def test_it_runs(durable_task_backend):
    durable_task_backend.worker(orchestrators=[echo])
    client = durable_task_backend.client()
    state = client.wait_for_orchestration_completion(client.schedule_new_orchestration(echo, input=7), timeout=20)
    assert state.get_output() == 7
"""


@pytest.fixture(autouse=True)
def project(empty_project):
    empty_project.makepyfile(orders=ORDERS)


def test_an_orchestration_is_tested_in_a_few_lines(run):
    run(USE).assert_outcomes(passed=1)


def test_the_clock_of_the_backend_is_that_of_the_test(run):
    run("""
        def test_it(durable_task_backend, virtual_clock):
            assert durable_task_backend.clock is virtual_clock
    """).assert_outcomes(passed=1)


def test_each_test_has_a_backend_of_its_own_and_nothing_is_left_of_it(run):
    run("""
        import socket, threading

        seen = []

        def test_first(durable_task_backend):
            seen.append(durable_task_backend)
            client = durable_task_backend.client()
            durable_task_backend.worker()
            client.schedule_new_orchestration("any", instance_id="one")

        def test_second(durable_task_backend):
            assert durable_task_backend is not seen[0]
            assert durable_task_backend.client().get_orchestration_state("one") is None

        def test_third():
            names = [thread.name for thread in threading.enumerate()]
            assert not [name for name in names if name.startswith(("steprig", "DurableTask", "Thread-"))], names
            host, port = seen[0].address.split(":")
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", int(port)))
    """).assert_outcomes(passed=3)


def test_a_worker_may_get_more_before_it_starts(run):
    run("""
        def entity(ctx, value):
            ctx.set_state(value)

        def echo(ctx, value):
            return value

        def test_it(durable_task_backend):
            worker = durable_task_backend.worker(entities=[entity], start=False, maximum_timer_interval=None)
            worker.add_orchestrator(echo)
            worker.start()
    """).assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_same_tests_run_on_a_backend_elsewhere(run, name):
    with create_test_backend(0) as elsewhere:
        result = run(NO_TIMER, f"--steprig-durabletask={name}:{elsewhere.port}")

        result.assert_outcomes(passed=1)
        assert [run.name for run in elsewhere.timeline.runs()] == ["echo"]


def test_a_task_hub_is_named_to_a_scheduler_that_has_several(run):
    run(
        """
        from concurrent.futures import ThreadPoolExecutor
        import grpc

        def test_it(durable_task_backend):
            hubs = []

            def answer(request, context):
                hubs.append(dict(context.invocation_metadata()).get("taskhub"))
                return b""

            server = grpc.server(ThreadPoolExecutor(1))
            handler = grpc.unary_unary_rpc_method_handler(answer)
            service = grpc.method_handlers_generic_handler("TaskHubSidecarService", {"GetInstance": handler})
            server.add_generic_rpc_handlers((service,))
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            durable_task_backend.address = f"127.0.0.1:{port}"
            assert durable_task_backend.client().get_orchestration_state("any") is None
            server.stop(None).wait()
            assert hubs == ["orders"]
        """,
        "--steprig-durabletask=127.0.0.1:9/orders",
    ).assert_outcomes(passed=1)


def test_a_backend_elsewhere_has_no_clock_and_says_so(run):
    result = run(
        "def test_it(durable_task_backend): durable_task_backend.clock.advance(1)",
        "--steprig-durabletask=127.0.0.1:9",
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NoClockError: the task hub at 127.0.0.1:9 runs in another process*"])


@pytest.mark.parametrize("target", ["elsewhere", "host:", ":123", "host:port"])
def test_an_option_that_makes_no_sense_is_a_usage_error(run, target):
    result = run("def test_it(durable_task_backend): pass", f"--steprig-durabletask={target}")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*--steprig-durabletask={target}: expected 'embedded', HOST:PORT*"])


def test_a_failing_test_shows_its_orchestrations(run):
    result = run(USE.replace('"charged for 7"', '"nothing"'))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["* steprig runs: durable_task_backend *", "remind  completed *", "├─ timer *", "└─ charge *"]
    )


def test_without_the_extra_the_error_names_it(pytester):
    pytester.makeconftest("import sys; sys.modules['durabletask'] = None")
    pytester.makepyfile("def test_it(durable_task_backend): pass")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ImportError: *durabletask*pip install *steprig[[]durabletask]*"])


def test_nothing_of_the_sdk_is_imported_where_no_test_uses_it(pytester):
    pytester.makepyfile("""
        import sys

        def test_it(virtual_clock):
            assert not {"grpc", "durabletask", "hpack"} & set(sys.modules)
    """)

    pytester.runpytest_subprocess().assert_outcomes(passed=1)
