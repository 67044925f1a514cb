"""What the report of a failing test shows of the servers that were up meanwhile."""

import pytest

import steprig.live.uvicorn  # noqa: F401 - pytester forgets what the inner runs import, and would import it anew

HELPERS = '''
"""An application that logs what it is asked for, and a dev server without its routes."""
import logging
import urllib.request
from datetime import UTC, datetime

from steprig.kernel import Entry, Failure, MemoryJournal, Run, Status, Timeline, stream_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("it does not end well")
    logging.getLogger("uvicorn.error").warning("asked for %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

def get(server, path):
    urllib.request.urlopen(server.url(path)).close()

class Began(Entry):
    name: str

class Platform:
    """Has a log and a timeline, as platforms have."""

    def __init__(self):
        self.journal = MemoryJournal()
        self.timeline = Timeline(self.journal, {"run": self.project})

    @property
    def logs(self):
        return []

    def run(self, name):
        self.journal.append(NOW, (stream_of("run", name), Began(name)))

    @staticmethod
    def project(run, record):
        failure = Failure("Broken", "it broke")
        return Run(record.stream, "test", record.entry.name, Status.FAILED, NOW, NOW, NOW, failure=failure)

Platform.__module__ = "steprig.test"
'''


@pytest.fixture
def failed(pytester, monkeypatch):
    """Run a test module, and give its output line by line."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p no:hypothesispytest -p no:anyio")
    pytester.makepyfile(helpers=HELPERS)
    pytester.syspathinsert()
    pytester.makeini("[pytest]\nsteprig_app = helpers:app")
    pytester.makeconftest("""
        import pytest
        from helpers import Platform

        @pytest.fixture(scope="session")
        def uvicorn_options(uvicorn_options):
            return {**uvicorn_options, "lifespan": "off"}

        @pytest.fixture(scope="session")
        def platform():
            return Platform()
    """)

    def run(source, *arguments, **outcomes):
        pytester.makepyfile(source)
        result = pytester.runpytest(*arguments)
        result.assert_outcomes(**outcomes)
        return result.stdout

    return run


def test_a_failing_test_shows_what_its_servers_have_logged(failed):
    output = failed(
        """
        from helpers import app, get

        def test_it(running_server, fresh_server, uvicorn_server_factory):
            get(running_server, "/running")
            get(fresh_server, "/fresh")
            get(uvicorn_server_factory(), "/one")
            get(uvicorn_server_factory(app, lifespan="off"), "/two")
            assert 0
        """,
        failed=1,
    )

    output.fnmatch_lines(
        [
            "* steprig server log: running_server *",
            "WARNING  asked for /running",
            "* steprig server log: fresh_server *",
            "WARNING  asked for /fresh",
            "* steprig server log: uvicorn_server_factory, server 1 *",
            "WARNING  asked for /one",
            "* steprig server log: uvicorn_server_factory, server 2 *",
            "WARNING  asked for /two",
        ]
    )


def test_what_was_logged_before_the_test_is_left_out(failed):
    output = failed(
        """
        from helpers import get

        def test_before(running_server):
            get(running_server, "/before")

        def test_it(running_server):
            get(running_server, "/meanwhile")
            assert 0

        def test_quiet(running_server):
            assert 0, "nothing was logged"
        """,
        passed=1,
        failed=2,
    )

    assert output.str().count("steprig server log") == 1
    output.fnmatch_lines(["WARNING  asked for /meanwhile"])
    output.no_fnmatch_line("WARNING  asked for /before")


def test_a_full_log_that_has_moved_is_shown_from_where_it_starts(failed):
    output = failed(
        """
        import pytest
        from helpers import get

        @pytest.fixture(scope="session", autouse=True)
        def short_logs():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("steprig.live.log_lines._KEPT_ENTRIES", 3)
                yield

        def test_before(running_server):
            for number in range(3):
                get(running_server, f"/before/{number}")

        def test_it(running_server):
            get(running_server, "/meanwhile")
            assert 0
        """,
        passed=1,
        failed=1,
    )

    output.fnmatch_lines(["WARNING  asked for /meanwhile"])


def test_a_long_log_is_cut_to_its_end(failed):
    output = failed(
        """
        import logging
        from helpers import app, get

        async def talkative(scope, receive, send):
            for number in range(250):
                logging.getLogger("uvicorn.error").warning("line %s", number)
            await app(scope, receive, send)

        def test_it(uvicorn_server_factory):
            get(uvicorn_server_factory(talkative, lifespan="off"), "/")
            assert 0
        """,
        "--show-capture=all",
        failed=1,
    )

    output.fnmatch_lines(["* steprig server log*", "... 51 lines before these", "WARNING  line 51"])


def test_the_traceback_of_a_request_that_failed_is_waited_for(failed):
    output = failed(
        """
        import urllib.error
        import urllib.request

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body"})
            raise ValueError("out of tea")

        def test_it(uvicorn_server_factory):
            urllib.request.urlopen(uvicorn_server_factory(app, lifespan="off").url())
        """,
        failed=1,
    )

    output.fnmatch_lines(["* steprig server log: *", "ValueError: out of tea"])


def test_a_test_that_passes_or_is_expected_to_fail_shows_nothing(failed):
    output = failed(
        """
        import pytest
        from helpers import get

        def test_passes(running_server):
            get(running_server, "/")

        @pytest.mark.xfail
        def test_xfails(running_server):
            get(running_server, "/")
            assert 0
        """,
        "-rA",
        passed=1,
        xfailed=1,
    )

    output.no_fnmatch_line("*steprig server log*")


def test_a_failing_setup_shows_the_servers_that_were_up(failed):
    output = failed(
        """
        import pytest
        from helpers import get

        @pytest.fixture
        def client(running_server):
            get(running_server, "/setup")
            raise ValueError("no client")

        def test_it(client): pass
        """,
        errors=1,
    )

    output.fnmatch_lines(["* steprig server log: running_server *", "WARNING  asked for /setup"])


def test_a_failing_teardown_shows_the_server_that_it_stopped(failed):
    output = failed(
        """
        import pytest
        from helpers import app, get

        @pytest.fixture(scope="session")
        def uvicorn_options():
            return {"lifespan": "on"}

        def test_it(fresh_server):
            get(fresh_server, "/call")
        """,
        passed=1,
        errors=1,
    )

    output.fnmatch_lines(["* steprig server log: fresh_server *", "WARNING  asked for /call", "*ValueError*end well*"])


def test_a_teardown_after_a_failing_test_does_not_repeat_what_was_shown(failed):
    output = failed(
        """
        import pytest
        from helpers import get

        @pytest.fixture
        def broken(running_server):
            yield
            get(running_server, "/teardown")
            raise ValueError("broken")

        def test_it(broken, running_server):
            get(running_server, "/call")
            assert 0
        """,
        "--show-capture=log",
        failed=1,
        errors=1,
    )

    for path in "/call", "/teardown":
        assert output.str().count(f"\nWARNING  asked for {path}\n") == 1


def test_the_sections_are_left_out_with_show_capture_no(failed):
    output = failed(
        """
        from helpers import get

        def test_it(running_server):
            get(running_server, "/call")
            assert 0
        """,
        "--show-capture=no",
        failed=1,
    )

    output.no_fnmatch_line("*steprig server log*")


def test_a_server_of_the_projects_own_fixture_is_shown_under_its_name(failed):
    output = failed(
        """
        import sys
        import pytest
        from steprig.live import ProcessServer

        @pytest.fixture(scope="module")
        def worker():
            code = "import time; print('ready'); time.sleep(60)"
            with ProcessServer([sys.executable, "-c", code], ready_log="ready") as server:
                yield server

        def test_it(worker):
            assert 0
        """,
        failed=1,
    )

    output.fnmatch_lines(["* steprig server log: worker *", "ready"])


def test_a_failing_test_shows_the_runs_that_it_caused_and_no_others(failed):
    output = failed(
        """
        def test_before(platform):
            platform.run("before")

        def test_it(platform):
            platform.run("meanwhile")
            assert 0

        def test_after(platform):
            platform.run("after")
        """,
        passed=2,
        failed=1,
    )

    output.fnmatch_lines(["* steprig runs: platform *", "meanwhile  failed *", "*Broken: it broke"])
    output.no_fnmatch_line("before  failed*")
    output.no_fnmatch_line("after  failed*")


def test_a_platform_that_cannot_be_read_does_not_end_the_session(failed):
    output = failed(
        """
        import pytest
        from helpers import Platform

        @pytest.fixture
        def platform():
            platform = Platform()
            platform.timeline = None
            return platform

        def test_it(platform):
            assert 0
        """,
        failed=1,
    )

    output.fnmatch_lines(["* steprig runs: platform *", "it cannot be read: AttributeError*"])


def test_the_sections_come_back_from_the_workers_of_xdist(failed):
    output = failed(
        """
        import pytest
        from helpers import get

        @pytest.mark.parametrize("turn", range(2))
        def test_it(running_server, platform, turn):
            get(running_server, f"/turn/{turn}")
            platform.run(f"turn-{turn}")
            assert 0
        """,
        "-n2",
        failed=2,
    )

    for turn in range(2):
        output.fnmatch_lines([f"WARNING  asked for /turn/{turn}"])
        output.fnmatch_lines([f"turn-{turn}  failed*"])


def test_values_that_merely_look_like_servers_are_left_alone(failed):
    output = failed(
        """
        import pytest
        from unittest.mock import MagicMock

        @pytest.fixture
        def server():
            return MagicMock(logs=["line"])

        def test_it(server):
            assert 0
        """,
        failed=1,
    )

    output.no_fnmatch_line("*steprig*log*")
