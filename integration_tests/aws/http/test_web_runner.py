"""The server as an object: its beginning and end, its options, and what is left of it."""

import sys
import threading
from contextlib import closing
from pathlib import Path

import boto3
import httpx
import pytest

from steprig.aws import DurableFunctionsTestError, HandlerProcess, WebRunner, WebRunnerConfig, WebServiceConfig
from steprig.kernel import MemoryJournal, RealClock, SqliteJournal, VirtualClock
from steprig.live import ServerStartupError

from .. import samples
from .stage import config, ended, payload

HERE = Path(__file__).parent


def test_it_takes_a_free_port_of_this_machine_unless_it_is_told_more():
    with WebRunner() as one, WebRunner() as two:
        assert one.endpoint_url == f"http://127.0.0.1:{one.port}"
        assert one.port != two.port
        assert isinstance(one.clock, RealClock)


def test_its_configuration_is_by_default_that_of_the_testing_sdk():
    told = WebRunnerConfig()

    assert (told.web_service.host, told.web_service.port) == ("127.0.0.1", 5000)
    assert (told.store_type, told.skip_time, told.local_runner_region) == ("memory", False, "us-west-2")
    assert (told.invocation_timeout_seconds, told.lambda_endpoint) == (900, None)


def test_a_port_in_use_is_an_error():
    with WebRunner() as one, pytest.raises(ServerStartupError):
        WebRunner(port=one.port).start()


def test_nothing_is_left_once_it_is_stopped():
    before = set(threading.enumerate())
    runner = WebRunner(skip_time=True).register_durable_function("asks", samples.asks).start()
    with closing(runner.client()) as client:
        client.invoke(FunctionName="asks", InvocationType="Event")

    assert runner.is_running
    runner.stop()
    runner.stop()

    assert not runner.is_running
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{runner.endpoint_url}/health")


def test_what_was_never_started_lets_go_of_its_store(tmp_path):
    runner = WebRunner(config(store_type="sqlite", store_path=tmp_path / "store"))

    runner.stop()

    SqliteJournal(tmp_path / "store").close()


def test_it_runs_once():
    runner = WebRunner()
    with runner, pytest.raises(RuntimeError, match="is running; it runs once"):
        runner.start()
    with pytest.raises(RuntimeError, match="is stopped; it runs once"):
        runner.start()


def test_serving_for_ever_ends_with_stop():
    runner = WebRunner().start()
    serving = threading.Thread(target=runner.serve_forever, daemon=True)
    serving.start()

    runner.stop()
    serving.join(20)

    assert not serving.is_alive()


def test_executions_stay_readable_in_the_timeline(server, client_of):
    runner = server({"sleeps": samples.sleeps})
    arn = client_of(runner).invoke(FunctionName="sleeps")["DurableExecutionArn"]

    runner.stop()

    run = runner.timeline.run(arn)
    assert run.name == "sleeps"
    assert [span.name for span in run.spans] == ["begin", "a day", "two hours", "end"]


def test_clients_elsewhere_find_it_by_its_environment(server, monkeypatch):
    runner = server({"adds": samples.adds}, local_runner_region="eu-west-1")
    for name, value in runner.environment.items():
        monkeypatch.setenv(name, value)

    with closing(boto3.client("lambda")) as client:
        answer = client.invoke(FunctionName="adds", Payload=b'{"left": 1, "right": 2}')

    assert payload(answer) == 3
    assert answer["DurableExecutionArn"].startswith("arn:aws:lambda:eu-west-1:123456789012:function:adds:$LATEST/")


def test_a_real_clock_is_not_moved(server):
    with pytest.raises(DurableFunctionsTestError, match="pass `skip_time=True`"):
        server(clock=RealClock()).advance(hours=1)


def test_what_it_is_given_stays_open(client_of):
    clock, journal = VirtualClock(), MemoryJournal()
    with WebRunner(clock=clock, store=journal).register_durable_function("adds", samples.adds) as runner:
        arn = client_of(runner).invoke(FunctionName="adds")["DurableExecutionArn"]

    assert journal.read(f"aws.execution:{arn}")
    clock.call_later(clock.now() - clock.now(), lambda: None)
    clock.close()


@pytest.mark.parametrize("kind", ["sqlite", "filesystem"])
def test_a_store_in_a_file_is_gone_on_from(tmp_path, kind, client_of):
    def make():
        told = config(store_type=kind, store_path=tmp_path / "store", skip_time=True)
        return WebRunner(told).register_durable_function("asks", samples.asks)

    with make() as runner, closing(runner.client()) as client:
        arn = client.invoke(FunctionName="asks", InvocationType="Event", Payload=b"7")["DurableExecutionArn"]
    with make() as runner, closing(runner.client()) as client:
        assert client.get_durable_execution(DurableExecutionArn=arn)["InputPayload"] == "7"
        client.stop_durable_execution(DurableExecutionArn=arn)
        assert ended(client, arn)["Status"] == "STOPPED"


def test_a_store_in_use_is_an_error(tmp_path):
    from steprig.kernel import JournalFileError

    with closing(SqliteJournal(tmp_path / "store")), pytest.raises(JournalFileError, match="has it open"):
        WebRunner(config(store_type="sqlite", store_path=tmp_path / "store"))


def test_a_lazy_import_costs_nothing():
    import subprocess
    import sys

    code = (
        "import sys, steprig.aws; print([m for m in sys.modules if m.startswith(('steprig.aws.', 'boto', 'uvicorn'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert shown.stdout == "[]\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"store_type": "paper"}, "store_type must be one of memory, filesystem, sqlite, not 'paper'"),
        ({"function_configs": {"f": {"DurableConfig": {"ExecutionTimeout": "long"}}}}, "Expected `int"),
        ({"function_configs": {"f": 5}}, "function configs"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_told_of(options, told):
    with pytest.raises(DurableFunctionsTestError, match=told):
        WebRunner(WebRunnerConfig(web_service=WebServiceConfig(port=0), **options))


def test_requests_are_logged_where_that_is_wanted(raw_of, opened):
    told = WebRunnerConfig(web_service=WebServiceConfig(port=0, log_level="INFO"))
    runner = opened.enter_context(WebRunner(told))

    raw_of(runner).get("/health")

    assert "GET /health" in runner.logs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_runner_mode": "remote"}, "local_runner_mode can be 'local' alone, not 'remote'"),
        ({"local_runner_endpoint": "localhost:5000"}, "local_runner_endpoint has to be a URL"),
        ({"execution_timeout_seconds": 0}, "execution_timeout_seconds has to be from 1 to 31622400, not 0"),
        ({"store_path": "somewhere"}, "store_path='somewhere' is of no use in memory"),
    ],
)
def test_what_would_have_no_effect_is_refused(options, message):
    with pytest.raises(DurableFunctionsTestError, match=message):
        WebRunner(config(**options))


def test_functions_elsewhere_are_told_the_endpoint_that_they_find_it_by(server, client_of):
    told = "http://127.0.0.1:9/behind/a/proxy"
    runner = server(plain={"describe": HandlerProcess("mortal.describe", cwd=HERE)}, local_runner_endpoint=told)

    assert runner.environment["AWS_ENDPOINT_URL_LAMBDA"] == told
    if sys.platform == "linux":
        assert payload(client_of(runner).invoke(FunctionName="describe"))["endpoint"] == told


def test_an_execution_may_take_as_long_as_it_is_told_unless_its_function_says_otherwise(server, client_of):
    configs = {"far": {"DurableConfig": {}}, "own": {"DurableConfig": {"ExecutionTimeout": 40}}}
    runner = server({"sleeps": samples.sleeps}, execution_timeout_seconds=3600, function_configs=configs)
    client = client_of(runner)

    def timeout_of(name):
        arn = client.invoke(FunctionName=name, InvocationType="Event")["DurableExecutionArn"]
        return client.get_durable_execution(DurableExecutionArn=arn)["DurableConfig"]["ExecutionTimeout"]

    assert [timeout_of(name) for name in ("sleeps", "far", "own")] == [3600, 3600, 40]


def test_an_execution_that_takes_longer_than_it_is_told_times_out(server, client_of):
    runner = server({"asks": samples.asks}, execution_timeout_seconds=1800)
    client = client_of(runner)
    arn = client.invoke(FunctionName="asks", InvocationType="Event")["DurableExecutionArn"]

    runner.advance(minutes=29)
    before = client.get_durable_execution(DurableExecutionArn=arn)["Status"]
    runner.advance(minutes=2)

    assert before == "RUNNING"
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "TIMED_OUT"
