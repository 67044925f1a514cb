"""The Inngest fixtures, seen from a project that uses them."""

import os

import pytest

import steprig.inngest.default_server
import steprig.inngest.dev_server

SHOP = """
from datetime import timedelta

import fastapi
import inngest
import inngest.fast_api

client = inngest.Inngest(app_id="shop")

@client.create_function(fn_id="remind", trigger=inngest.TriggerEvent(event="shop/ordered"))
async def remind(ctx):
    order = await ctx.step.run("look-up", lambda: ctx.event.data["order"])
    await ctx.step.sleep("a-week", timedelta(days=7))
    return f"reminded of {order}"

app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, [remind])
"""

TEN_LINES = """
import inngest
from shop import client

def test_a_reminder_goes_out_after_a_week(inngest_app, dev_server_client):
    (event_id,) = client.send_sync(inngest.Event(name="shop/ordered", data={"order": 7}))
    (run_id,) = dev_server_client.sync.get_run_ids_from_event_id(event_id)
    run = dev_server_client.sync.wait_for_run_status(run_id, "COMPLETED")
    assert run.result == "reminded of 7"
"""


@pytest.fixture(autouse=True)
def project(empty_project, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("INNGEST_", "STEPRIG_", "DEV_SERVER_"))]:
        monkeypatch.delenv(name)
    empty_project.makepyfile(shop=SHOP)


def test_an_inngest_app_is_tested_in_ten_lines(ini, run):
    ini(steprig_app="shop:app", steprig_inngest_dev="true")

    run(TEN_LINES).assert_outcomes(passed=1)

    assert "INNGEST_DEV" not in os.environ


def test_each_worker_of_xdist_points_clients_at_a_dev_server_of_its_own(pytester, ini, run):
    ini(steprig_inngest_dev="true")

    run(
        """
        import os
        from pathlib import Path

        def test_it():
            Path(os.environ["INNGEST_DEV"].rpartition(":")[2]).with_suffix(".port").touch()
        """,
        "-n2",
        "--dist=each",
    ).assert_outcomes(passed=2)

    assert len(list(pytester.path.glob("*.port"))) == 2


def test_an_app_that_a_fixture_imports_finds_the_dev_server_whatever_comes_first(ini, run):
    ini(steprig_app="shop:app")

    run("""
        def test_the_app_is_imported(running_server): pass

        def test_it_is_registered(inngest_app, dev_server_client):
            from shop import client
            assert client.api_origin.rstrip("/") == dev_server_client.origin
    """).assert_outcomes(passed=2)


def test_an_app_may_be_made_in_a_fixture(run):
    run("""
        from datetime import timedelta
        import inngest
        import pytest

        @pytest.fixture
        def asgi_app(fresh_dev_server):
            import shop
            return shop.app

        def test_it(inngest_app, fresh_server, fresh_dev_server, dev_server_client, virtual_clock):
            from shop import client
            assert inngest_app is fresh_server
            assert dev_server_client.origin == fresh_dev_server.origin
            assert fresh_dev_server.clock is virtual_clock
            before = virtual_clock.now()
            (event_id,) = client.send_sync(inngest.Event(name="shop/ordered", data={"order": 7}))
            (run_id,) = dev_server_client.sync.get_run_ids_from_event_id(event_id)
            assert dev_server_client.sync.wait_for_run_status(run_id, "COMPLETED").result == "reminded of 7"
            # The SDK counts from the machine's time, which has gone on for a few milliseconds.
            assert round((virtual_clock.now() - before) / timedelta(days=1)) == 7
    """).assert_outcomes(passed=1)


def test_other_variables_do_not_lead_clients_astray_and_are_there_again_afterwards(ini, run, monkeypatch):
    monkeypatch.setenv("INNGEST_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("INNGEST_DEV", "1")
    ini(steprig_app="shop:app", steprig_inngest_dev="true")

    run(TEN_LINES).assert_outcomes(passed=1)

    assert os.environ["INNGEST_BASE_URL"] == "http://127.0.0.1:1"
    assert os.environ["INNGEST_DEV"] == "1"


def test_the_environment_is_left_alone_where_no_test_uses_a_dev_server(run):
    run("""
        import os

        def test_it(virtual_clock):
            assert "INNGEST_DEV" not in os.environ
    """).assert_outcomes(passed=1)


def test_an_app_that_is_not_found_says_what_may_be_the_matter(ini, run):
    ini(steprig_app="shop:app", steprig_inngest_path="/elsewhere")

    result = run("def test_it(inngest_app): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*SyncError*/elsewhere*", "*steprig_inngest_dev = true*steprig_inngest_path*"])


def test_an_app_whose_client_was_made_too_early_says_what_to_do(ini, run, monkeypatch):
    monkeypatch.setenv("INNGEST_DEV", "1")
    ini(steprig_app="shop:app")

    result = run("import shop\ndef test_it(inngest_app): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*SyncError*", "*steprig_inngest_dev = true*"])


@pytest.mark.parametrize(
    "variables", [{"STEPRIG_INNGEST": "{0.origin}"}, {"DEV_SERVER_ENABLED": "0", "DEV_SERVER_PORT": "{0.port}"}]
)
def test_a_server_that_runs_already_is_used_and_left_running(ini, run, monkeypatch, variables):
    with steprig.inngest.dev_server.DevServer() as server:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(server))
        ini(steprig_app="shop:app", steprig_inngest_dev="true")

        run(f"""
            def test_it(inngest_app, dev_server, dev_server_client):
                assert dev_server.origin == dev_server_client.origin == "{server.origin}"
        """).assert_outcomes(passed=1)

        assert server.is_running


def test_a_server_that_is_said_to_run_and_does_not_is_reported(ini, run, monkeypatch):
    monkeypatch.setenv("STEPRIG_INNGEST", "http://127.0.0.1:1")

    result = run("def test_it(dev_server): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*expected an Inngest dev server at http://127.0.0.1:1*"])


def test_an_environment_that_makes_no_sense_is_a_usage_error(run, monkeypatch):
    monkeypatch.setenv("STEPRIG_INNGEST", "somewhere")

    result = run("def test_it(dev_server): pass")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: STEPRIG_INNGEST='somewhere' in the environment; expected embedded, cli*"])


def test_the_real_server_is_run_at_the_address_that_clients_were_told(ini, run, monkeypatch):
    monkeypatch.setenv("STEPRIG_INNGEST", "cli")
    monkeypatch.setenv("DEV_SERVER_VERSION", "1.2.3")

    run("""
        import os
        import pytest
        import steprig.inngest.default_server
        from steprig.inngest import RunningDevServer

        class Cli(RunningDevServer):
            def __init__(self, port, *, version, log_file):
                super().__init__(f"http://127.0.0.1:{port}")
                self.version = version

            def start(self):
                return self

        @pytest.fixture(scope="session", autouse=True)
        def no_download():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(steprig.inngest.default_server, "InngestCliServer", Cli)
                yield

        def test_it(dev_server):
            assert dev_server.version == "1.2.3"
            assert dev_server.origin == os.environ["INNGEST_DEV"]
    """).assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["dev_server", "fresh_dev_server"])
def test_without_the_extra_the_error_names_it(pytester, name):
    pytester.makeconftest("import sys; sys.modules['ariadne'] = None")
    pytester.makepyfile(f"def test_it({name}): pass")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ImportError: *ariadne*pip install *steprig[[]inngest]*"])


def test_a_failing_test_shows_the_steps_of_its_runs(ini, run):
    ini(steprig_app="shop:app", steprig_inngest_dev="true")

    result = run(TEN_LINES.replace('"reminded of 7"', '"nothing"'))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "* steprig runs: dev_server *",
            'shop-remind  completed  7 d*"reminded of 7"*',
            "├─ look-up *completed*7",
            "├─ a-week *completed  7 d",
        ]
    )
