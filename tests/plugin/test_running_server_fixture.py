"""The fixtures that serve an application, seen from a project that uses them."""

import sys
import threading

import pytest

APP = '''
"""An ASGI application that answers with a greeting, and logs what it is asked for."""
import logging

class App:
    def __init__(self, greeting="hello"):
        self.greeting = greeting

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        logging.getLogger("uvicorn.error").warning("asked for %s", scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.greeting.encode()})

app = App()

def create():
    return App("made")

number = 7
'''

GET = """
import urllib.request

def get(server, path="/"):
    with urllib.request.urlopen(server.url(path)) as response:
        return response.read().decode()
"""


@pytest.fixture(autouse=True)
def project(empty_project):
    empty_project.makepyfile(hello=APP, talk=GET)


def test_without_an_application_the_error_says_both_ways_to_give_one(run):
    result = run("def test_it(running_server): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*UsageError: there is no application to serve*",
            "*override the fixture `asgi_app`*",
            "*def asgi_app():*",
            '*steprig_app = "package.module:app"*',
        ]
    )


def test_the_ini_option_names_the_application(ini, run):
    ini(steprig_app="hello:app")

    run("""
        from hello import app
        from talk import get

        def test_it(running_server, fresh_server, asgi_app):
            assert asgi_app is app
            assert get(running_server) == get(fresh_server) == "hello"
    """).assert_outcomes(passed=1)


def test_a_factory_in_the_ini_option_makes_an_application_for_each_server(ini, run):
    ini(steprig_app="hello:create()")

    run("""
        from talk import get

        def test_it(running_server, fresh_server, asgi_app):
            assert get(running_server) == get(fresh_server) == "made"
            assert asgi_app() is not asgi_app()
    """).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("hello", "*steprig_app = 'hello' cannot be used: expected 'module:attribute', or 'module:factory()'"),
        ("nowhere.app:app", "*there is no module 'nowhere'; *`pythonpath`*"),
        ("hello:ap", "*module 'hello' has no 'ap'; did you mean 'app'*"),
        ("hello:number", "*'hello:number' cannot be used: it is no application but of type int"),
    ],
)
def test_an_ini_option_that_leads_nowhere_says_why(ini, run, option, problem):
    ini(steprig_app=option)

    result = run("def test_it(fresh_server): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*UsageError{problem}"])


def test_an_import_that_the_application_itself_misses_is_not_blamed_on_the_option(ini, pytester, run):
    pytester.makepyfile(broken="import not_installed")
    ini(steprig_app="broken:app")

    run("def test_it(fresh_server): pass").stdout.fnmatch_lines(["*ModuleNotFoundError: *'not_installed'*"])


def test_an_override_of_asgi_app_wins_over_the_ini_option(ini, run):
    ini(steprig_app="hello:app")

    run("""
        import pytest
        from hello import App
        from talk import get

        @pytest.fixture(scope="session")
        def asgi_app():
            return App("overridden")

        def test_it(running_server):
            assert get(running_server) == "overridden"
    """).assert_outcomes(passed=1)


def test_tests_share_running_server_and_have_a_fresh_one_each(ini, run):
    ini(steprig_app="hello:app")

    run("""
        import pytest

        servers = {"running_server": set(), "fresh_server": set()}

        @pytest.mark.parametrize("turn", range(3))
        @pytest.mark.parametrize("name", servers)
        def test_each(name, turn, request):
            server = request.getfixturevalue(name)
            assert server.is_running
            servers[name].add(server)

        def test_all():
            assert len(servers["running_server"]) == 1
            assert len(servers["fresh_server"]) == 3
            assert not any(server.is_running for server in servers["fresh_server"])
    """).assert_outcomes(passed=7)


def test_nothing_is_left_when_the_session_ends(ini, run):
    ini(steprig_app="hello:app")
    before = set(threading.enumerate())

    run("def test_it(running_server, fresh_server, uvicorn_server_factory): uvicorn_server_factory()")

    assert set(threading.enumerate()) == before


def test_an_asgi_app_of_one_test_is_served_by_fresh_server_and_the_factory(run):
    run("""
        import pytest
        from hello import App
        from talk import get

        @pytest.fixture(params=["one", "two"])
        def asgi_app(request):
            return App(request.param)

        def test_it(asgi_app, fresh_server, uvicorn_server_factory):
            assert get(fresh_server) == get(uvicorn_server_factory()) == asgi_app.greeting
    """).assert_outcomes(passed=2)


@pytest.mark.parametrize("name", ["asgi_app", "uvicorn_options"])
def test_an_override_too_narrow_for_running_server_is_explained(ini, run, name):
    ini(steprig_app="hello:app")

    result = run(f"""
        import pytest

        @pytest.fixture
        def {name}():
            return None

        def test_it(running_server): pass
    """)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            f"*UsageError: `running_server` serves one application*`{name}`*has the scope 'function'*",
            "*scope=*session*",
            "*`fresh_server`*",
        ]
    )


def test_running_server_serves_what_each_module_overrides(ini, pytester, run):
    ini(steprig_app="hello:app")
    overriding = """
        import pytest
        from hello import App
        from talk import get

        @pytest.fixture(scope="session")
        def asgi_app():
            return App("{0}")

        @pytest.fixture(scope="session")
        def greeting(running_server):
            return get(running_server)

        def test_first(running_server):
            assert get(running_server) == "{0}"

        def test_second(greeting):
            assert greeting == "{0}"
    """
    plain = """
        from talk import get

        def test_it(running_server):
            assert get(running_server) == "hello"
    """
    pytester.makepyfile(test_a=plain, test_b=overriding.format("b"), test_c=overriding.format("c"), test_d=plain)

    pytester.runpytest().assert_outcomes(passed=6)


def test_uvicorn_options_are_given_to_the_servers_of_asgi_app(ini, run):
    ini(steprig_app="hello:app")

    run("""
        import urllib.request
        import pytest

        @pytest.fixture(scope="session")
        def uvicorn_options(uvicorn_options):
            return {**uvicorn_options, "headers": [("x-rig", "yes")]}

        def test_it(running_server, fresh_server, uvicorn_server_factory):
            for server in running_server, fresh_server, uvicorn_server_factory():
                with urllib.request.urlopen(server.url()) as response:
                    assert response.headers["x-rig"] == "yes"
    """).assert_outcomes(passed=1)


def test_the_log_level_is_an_ini_option(ini, run):
    ini(steprig_app="hello:app", steprig_log_level="info")

    run("""
        from talk import get

        def test_it(running_server, uvicorn_server_factory):
            for server in running_server, uvicorn_server_factory():
                get(server, "/somewhere")
                assert "GET /somewhere" in server.logs
    """).assert_outcomes(passed=1)


def test_the_factory_starts_any_number_of_any_applications(ini, run):
    ini(steprig_app="hello:app")

    run("""
        from hello import App
        from talk import get

        def test_it(uvicorn_server_factory):
            servers = [uvicorn_server_factory(), uvicorn_server_factory(App("other"), shutdown_timeout=1)]
            assert [get(server) for server in servers] == ["hello", "other"]
            assert servers[0].port != servers[1].port
    """).assert_outcomes(passed=1)


def test_the_factory_needs_no_configured_application_when_it_is_given_one(run):
    run("""
        from hello import app

        def test_it(uvicorn_server_factory):
            assert uvicorn_server_factory(app).is_running
    """).assert_outcomes(passed=1)


def test_the_factory_stops_in_reverse_order_and_all_even_when_one_fails(run):
    result = run("""
        stopped, servers = [], []

        def app_named(name):
            async def app(scope, receive, send):
                assert scope["type"] == "lifespan"
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                stopped.append(name)
                if name == "two":
                    raise ValueError("two does not end well")
                await send({"type": "lifespan.shutdown.complete"})
            return app

        def test_start(uvicorn_server_factory):
            servers.extend(uvicorn_server_factory(app_named(name)) for name in ["one", "two", "three"])

        def test_stopped():
            assert stopped == ["three", "two", "one"]
            assert not any(server.is_running for server in servers)
    """)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*two does not end well*"])


def test_workers_of_xdist_have_servers_of_their_own(ini, run):
    ini(steprig_app="hello:app")

    run(
        """
        import pytest
        from talk import get

        @pytest.mark.parametrize("turn", range(6))
        def test_it(running_server, fresh_server, turn):
            assert get(running_server) == get(fresh_server) == "hello"
        """,
        "-n2",
    ).assert_outcomes(passed=6)


def test_the_virtual_clock_is_closed_with_its_test(run):
    run("""
        from datetime import timedelta
        import pytest

        clocks = []

        def test_open(virtual_clock):
            fired = []
            virtual_clock.call_at(virtual_clock.now() + timedelta(days=30), lambda: fired.append(1))
            assert fired
            clocks.append(virtual_clock)

        def test_closed():
            with pytest.raises(RuntimeError, match="closed"):
                clocks[0].call_at(clocks[0].now(), print)
    """).assert_outcomes(passed=2)


def test_fixtures_and_options_are_described(pytester):
    fixtures = pytester.runpytest("--fixtures").stdout.str()

    for name in (
        "asgi_app",
        "uvicorn_options",
        "running_server",
        "fresh_server",
        "uvicorn_server_factory",
        "virtual_clock",
        "dev_server",
        "fresh_dev_server",
        "dev_server_client",
        "inngest_app",
    ):
        assert f"\n{name}" in fixtures
    assert "no docstring available" not in fixtures.partition("steprig.pytest_plugin")[2].partition("-----")[0]
    help_text = pytester.runpytest("--help").stdout.str()
    assert all(f"steprig_{option}" in help_text for option in ("app", "log_level", "inngest_dev", "inngest_path"))


def test_the_plugin_imports_nothing_of_weight_before_a_fixture_is_used(pytester):
    pytester.makeconftest("""
        import sys

        def pytest_unconfigure():
            heavy = {"aiohttp", "anyio", "ariadne", "asyncio", "httpx", "inngest", "msgspec", "starlette", "uvicorn"}
            print("imported:", sorted(heavy & sys.modules.keys()))
            print("of steprig:", sorted(name for name in sys.modules if name.startswith("steprig.")))
    """)
    pytester.makepyfile("def test_it(): pass")

    result = pytester.runpytest_subprocess("--co", "-p", "no:xdist")

    parts = ["", ".application", ".dev_address", ".overrides", ".reports"]
    ours = ["steprig.lazy", *(f"steprig.plugin{part}" for part in parts), "steprig.pytest_plugin"]
    result.stdout.fnmatch_lines(["imported: [[]]", f"of steprig: [[]{str(ours)[1:]}"])


def test_the_outer_run_uses_the_plugin_that_is_tested(request):
    assert request.config.pluginmanager.get_plugin("steprig") is sys.modules["steprig.pytest_plugin"]
