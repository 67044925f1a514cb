"""The command line: what options mean, what is said, and with which code it ends. Nothing here starts a server."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steprig import cli
from steprig.commands import doctor
from steprig.commands.dev import ClockName, LogLevel
from steprig.commands.doctor import Finding, State
from steprig.commands.foreground import Foreground
from steprig.commands.news import News
from steprig.inngest.functions import App, AppName
from steprig.inngest.records import AppRemoved, AppSynced, RunEnded
from steprig.kernel import MemoryJournal, RealClock, Status, Timeline
from steprig.live import ServerStartupError

URL = "http://localhost:8000/api/inngest"


@pytest.fixture
def run(monkeypatch):
    """Run the command line without the environment's own settings."""
    for name in list(os.environ):
        if name.startswith("INNGEST_"):
            monkeypatch.delenv(name)
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def served(monkeypatch):
    """The options that `steprig dev` would serve with."""
    options = []
    monkeypatch.setattr(cli, "serve", options.append)
    return options


# --- steprig dev --------------------------------------------------------------------------------------


def test_dev_is_by_default_what_inngest_cli_dev_is(run, served):
    assert run("dev").exit_code == 0

    (options,) = served
    assert (options.host, options.port) == ("127.0.0.1", 8288)
    assert (options.sdk_urls, options.discovery, options.poll_interval) == ((), True, 5.0)
    assert (options.clock, options.retry_interval) == (ClockName.REAL, None)
    assert (options.event_keys, options.signing_key, options.signing_key_fallback) == ((), None, None)
    assert (options.log_level, options.show_runs) == (LogLevel.WARN, False)
    assert (options.connect_port, options.kept_in) == (8289, None)


def test_dev_passes_on_every_option(run, served):
    result = run(
        *("dev", "-p", "9000", "--host", "0.0.0.0", "-u", URL, "--sdk-url", "https://other.test/x"),
        *("--no-discovery", "--poll-interval", "0.5", "--retry-interval", "2", "--clock", "skip"),
        *("--event-key", "one", "--event-key", "two", "--signing-key", "signkey-test-00", "-l", "info", "-v"),
        *("--signing-key-fallback", "signkey-test-01", "--connect-gateway-port", "9001", "--sqlite-dir", "kept"),
    )

    assert result.exit_code == 0, result.output
    (options,) = served
    assert (options.host, options.port) == ("0.0.0.0", 9000)
    assert options.sdk_urls == (URL, "https://other.test/x")
    assert (options.discovery, options.poll_interval, options.retry_interval) == (False, 0.5, 2.0)
    assert options.clock is ClockName.SKIP
    assert (options.event_keys, options.signing_key) == (("one", "two"), "signkey-test-00")
    assert (options.signing_key_fallback, options.connect_port) == ("signkey-test-01", 9001)
    assert options.kept_in == Path("kept")
    assert (options.log_level, options.show_runs) == (LogLevel.INFO, True)


def test_no_poll_is_stronger_than_an_interval(run, served):
    run("dev", "--no-poll", "--poll-interval", "1")

    assert served[0].poll_interval is None


@pytest.mark.parametrize(
    ("name", "value", "option", "expected"),
    [
        ("INNGEST_PORT", "9001", "port", 9001),
        ("INNGEST_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("INNGEST_SDK_URL", URL, "sdk_urls", (URL,)),
        ("INNGEST_SDK_URL", f"{URL},localhost:1/x", "sdk_urls", (URL, "http://localhost:1/x")),
        ("INNGEST_NO_DISCOVERY", "true", "discovery", False),
        ("INNGEST_NO_DISCOVERY", "0", "discovery", True),
        ("INNGEST_NO_POLL", "1", "poll_interval", None),
        ("INNGEST_POLL_INTERVAL", "2", "poll_interval", 2.0),
        ("INNGEST_RETRY_INTERVAL", "1", "retry_interval", 1.0),
        ("INNGEST_CONNECT_GATEWAY_PORT", "9002", "connect_port", 9002),
        ("INNGEST_PERSIST", "1", "kept_in", Path(".inngest")),
        ("INNGEST_SQLITE_DIR", "kept", "kept_in", Path("kept")),
        ("INNGEST_EVENT_KEY", "a, b", "event_keys", ("a", "b")),
        ("INNGEST_SIGNING_KEY", "signkey-test-00", "signing_key", "signkey-test-00"),
        ("INNGEST_SIGNING_KEY_FALLBACK", "signkey-test-01", "signing_key_fallback", "signkey-test-01"),
    ],
)
def test_dev_reads_the_variables_that_inngest_cli_reads(run, served, monkeypatch, name, value, option, expected):
    monkeypatch.setenv(name, value)

    result = run("dev")

    assert result.exit_code == 0, result.output
    assert getattr(served[0], option) == expected


def test_the_command_line_is_stronger_than_a_variable(run, served, monkeypatch):
    monkeypatch.setenv("INNGEST_PORT", "9001")

    run("dev", "--port", "9002")

    assert served[0].port == 9002


def test_several_urls_and_keys_may_be_given_in_one(run, served):
    run("dev", "-u", f"{URL},localhost:1/x", "--event-key", "a,b")

    assert (served[0].sdk_urls, served[0].event_keys) == ((URL, "http://localhost:1/x"), ("a", "b"))


def test_there_is_a_usual_port_for_workers_beside_the_usual_port_alone(run, served):
    run("dev", "--port", "9000")
    run("dev", "--port", "8288")
    run("dev", "--connect-gateway-port", "0")

    assert [options.connect_port for options in served] == [None, 8289, 0]


def test_a_retry_interval_of_0_is_the_usual_backoff(run, served):
    run("dev", "--retry-interval", "0")

    assert served[0].retry_interval is None


# --- Configuration files ------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch, tmp_path):
    """The directory in which commands run, far below the root of everything; and a home."""
    directory = tmp_path / "project" / "deep"
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return directory


SAID = {"sdk-url": [URL], "no-discovery": True, "port": "9000", "retry-interval": 3, "event-key": "key"}


@pytest.mark.parametrize("place", [".", "..", "../../home/.config/inngest"])
def test_a_configuration_file_is_found(run, served, here, place):
    file = here / place / "inngest.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(SAID))

    result = run("dev")

    assert result.exit_code == 0, result.output
    assert "inngest.json" in result.stdout
    (options,) = served
    assert (options.sdk_urls, options.event_keys, options.port) == ((URL,), ("key",), 9000)
    assert (options.discovery, options.retry_interval) == (False, 3.0)


def test_everything_else_is_stronger_than_a_configuration_file(run, served, here, monkeypatch):
    (here / "other.json").write_text(json.dumps(SAID))
    (here / "inngest.json").write_text(json.dumps({"port": 1}))
    monkeypatch.setenv("INNGEST_RETRY_INTERVAL", "5")

    run("dev", "--config", "other.json", "--port", "9002")

    assert (served[0].port, served[0].retry_interval, served[0].sdk_urls) == (9002, 5.0, (URL,))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("c.json", "{", "cannot be read"),
        ("c.json", "[]", "expected an object"),
        ("c.yaml", "port: 1", "is YAML, which steprig does not read"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_a_configuration_file_that_is_of_no_use(run, served, here, name, content, why):
    if content is not None:
        (here / name).write_text(content)

    result = run("dev", "--config", name)

    assert result.exit_code == 2
    assert why in " ".join(result.stderr.replace("\u2502", " ").split())
    assert not served


def test_one_that_was_only_found_is_left_out_and_told(run, served, here):
    (here / "inngest.yml").write_text("port: 1")

    result = run("dev")

    assert "is YAML" in result.stderr
    assert served[0].port == 8288


def test_a_value_of_a_configuration_file_that_makes_no_sense_is_named(run, served, here):
    (here / "inngest.json").write_text(json.dumps({"port": "many"}))

    result = run("dev")

    assert result.exit_code == 2
    assert "--port" in result.stderr


def test_a_url_may_leave_out_its_scheme(run, served):
    run("dev", "-u", "localhost:8000/api/inngest")

    assert served[0].sdk_urls == (URL,)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-u", "ftp://localhost/x"),
        ("-u", "http://"),
        ("-u", "http://localhost:notaport/x"),
        ("--port", "65536"),
        ("--port", "-1"),
        ("--port", "x"),
        ("--poll-interval", "0"),
        ("--clock", "fast"),
        ("--no-discvery",),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_option(run, served, arguments):
    result = run("dev", *arguments)

    assert result.exit_code == 2
    assert arguments[0] in result.stderr
    assert not served


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-ui",),
        ("--tick", "150"),
        ("--queue-workers", "100"),
        ("--in-memory",),
        ("--connect-gateway-grpc-port", "50052"),
        ("--connect-executor-grpc-port", "50053"),
        ("--debug-api-port", "7777"),
        ("--postgres-max-idle-conns", "1"),
        ("--postgres-max-open-conns", "1"),
        ("--postgres-conn-max-idle-time", "1"),
        ("--postgres-conn-max-lifetime", "1"),
    ],
)
def test_options_that_need_no_doing_are_taken_in_silence(run, served, arguments):
    result = run("dev", *arguments)

    assert (result.exit_code, result.output, len(served)) == (0, "", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--postgres-uri", "postgres://x"),
        ("--redis-uri", "redis://x"),
        ("--system-trace-endpoint", "x"),
        ("--system-trace-url-path", "/x"),
        ("--json",),
    ],
)
def test_options_that_are_not_heeded_are_named_with_the_reason(run, served, arguments):
    result = run("dev", *arguments)

    assert result.exit_code == 0
    assert f"{arguments[0]} has no effect: " in result.stderr
    assert len(served) == 1


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (OSError(98, "Address already in use"), "Perhaps another dev server runs there"),
        (OSError(13, "Permission denied"), "Choose another --port or --host"),
        (RuntimeError("the app's own"), None),
    ],
)
def test_a_failed_start_ends_with_1_and_says_what_to_try(run, monkeypatch, cause, advice):
    def fail(options):
        raise ServerStartupError("cannot listen") from cause

    monkeypatch.setattr(cli, "serve", fail)
    result = run("dev")

    assert result.exit_code == 1
    first, *rest = result.stderr.splitlines()
    assert first == "steprig dev: cannot listen"
    assert " ".join(rest).startswith(advice) if advice else not rest


def test_a_missing_extra_is_one_line_that_names_it():
    # In an interpreter of its own: what is imported here already cannot be missing any more.
    code = "import sys; sys.modules['ariadne'] = None; sys.argv[1:] = ['dev', '--port', '0']; from steprig import cli"
    done = subprocess.run([sys.executable, "-c", f"{code}; cli.main()"], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install 'steprig[inngest]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_version_is_shown(run):
    assert run("--version").output.startswith("steprig ")


def test_without_a_command_there_is_help(run):
    output = run().output

    assert "dev" in output
    assert "doctor" in output


# --- The foreground -----------------------------------------------------------------------------------


def test_texts_are_written_in_order_until_a_signal_comes(capsys):
    with Foreground() as foreground:
        foreground.say("first")
        foreground.say(lambda: "made " + "later")
        threading.Thread(target=lambda: (foreground.say("from a thread"), os.kill(os.getpid(), signal.SIGINT))).start()
        foreground.run()

    assert capsys.readouterr().out.splitlines() == ["first", "made later", "from a thread"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_run_ends_it_at_once_and_a_second_one_does_nothing(number):
    with Foreground() as foreground:
        signal.raise_signal(number)
        foreground.run()
        signal.raise_signal(number)


def test_signals_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with Foreground():
        assert signal.getsignal(signal.SIGINT) != before[0]

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_signals_do_nothing_afterwards_in_a_program_that_ends_then(number):
    code = f"""
import atexit, signal
from steprig.commands.foreground import Foreground

def interrupt():
    signal.raise_signal(signal.{number})

Foreground.ends_process = True
atexit.register(interrupt)
with Foreground() as foreground:
    interrupt()
    foreground.run()
interrupt()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


# --- News ---------------------------------------------------------------------------------------------


@pytest.fixture
def app():
    return App(name=AppName("shop"), url=URL, functions=())


def say_all(journal, *entries, runs=None):
    said = []
    journal.listen(News(said.append, runs))
    with RealClock() as clock:
        journal.append(clock.now(), *entries)
    return [text if isinstance(text, str) else text() for text in said]


def test_apps_that_come_and_go_are_news(app):
    said = say_all(
        MemoryJournal(), ("inngest.app:shop", AppSynced(app)), ("inngest.app:shop", AppRemoved(AppName("shop")))
    )

    assert said == [f"synced shop: 0 functions at {URL}", "removed shop"]


def test_runs_that_end_are_news_only_where_they_are_asked_for():
    ended = ("inngest.run:1", RunEnded(Status.COMPLETED))

    assert say_all(MemoryJournal(), ended) == []


def test_a_run_that_is_forgotten_before_it_is_shown_is_no_error():
    journal = MemoryJournal()

    assert say_all(journal, ("inngest.run:1", RunEnded(Status.COMPLETED)), runs=Timeline(journal)) == [""]


# --- steprig doctor -----------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program on an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(name, script):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    return write


def test_a_program_is_found_with_its_version(program):
    file = program("uv", "echo uv 1.2.3 and more")

    assert doctor.tool("uv", "hint") == (State.OK, "uv", f"1.2.3 at {file}")


def test_a_program_that_is_missing_is_only_worth_a_note(program):
    assert doctor.tool("npx", "comes with Node.js") == (State.NOTE, "npx", "not on PATH: comes with Node.js")


def test_a_program_that_fails_is_shown_with_its_last_word(program):
    program("npx", "echo broken >&2; exit 3")

    state, _, detail = doctor.tool("npx", "hint")
    assert state is State.NOTE
    assert detail.endswith("fails: broken")


def test_a_program_that_hangs_is_given_up(program, monkeypatch):
    program("npx", "exec /bin/sleep 60")
    monkeypatch.setattr(doctor, "_TOOL_TIMEOUT", 0.05)

    state, _, detail = doctor.tool("npx", "hint")
    assert state is State.NOTE
    assert "timed out" in detail


def test_a_port_in_use_is_only_worth_a_note(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        monkeypatch.setitem(doctor._PORTS, number, "the dev server")
        found = doctor.port(number)
    assert found.state is State.NOTE
    assert "the dev server would need another" in found.detail

    assert doctor.port(number) == (State.OK, f"port {number}", "free for the dev server")


def versions(monkeypatch, **changed):
    """Have packages look as if other versions of them were installed; None for not at all."""
    real = doctor.version

    def version(name):
        if name not in changed:
            return real(name)
        if changed[name] is None:
            raise PackageNotFoundError(name)
        return changed[name]

    monkeypatch.setattr(doctor, "version", version)


def test_an_sdk_of_an_extra_that_exists_comes_with_the_way_to_install_it(monkeypatch):
    versions(monkeypatch, inngest=None)

    assert doctor.sdk("inngest") == (State.NOTE, "inngest", "not installed: pip install 'steprig[inngest]'")


def test_an_sdk_of_an_extra_that_does_not_exist_comes_without(monkeypatch):
    versions(monkeypatch, kailash=None)
    monkeypatch.setitem(doctor._SDKS, "kailash", "no-such-extra")

    assert doctor.sdk("kailash") == (State.NOTE, "kailash", "not installed; steprig has no support for it yet")


def test_an_sdk_that_is_too_old_is_broken(monkeypatch):
    versions(monkeypatch, inngest="0.1.0")

    found = doctor.sdk("inngest")
    assert found.is_broken
    assert "0.1.0 is installed, >=" in found.detail


def test_dependencies_that_are_missing_or_too_old_are_broken(monkeypatch):
    versions(monkeypatch, uvicorn="0.1.0", httpx=None)

    steprig, *broken = sorted(doctor.dependencies(), key=lambda finding: finding.is_broken)
    assert steprig.state is State.OK
    assert {finding.subject for finding in broken} == {"uvicorn", "httpx"}


def test_a_dev_server_that_nobody_has_asked_for_may_be_missing(monkeypatch):
    def start():
        raise ImportError("pip install 'steprig[inngest]'")

    assert doctor.trial("dev server", start, extra="inngest").is_broken

    versions(monkeypatch, ariadne=None)
    assert doctor.trial("dev server", start, extra="inngest").state is State.NOTE


def test_a_server_that_does_not_start_or_answer_is_broken():
    def start():
        raise ServerStartupError("no")

    assert doctor.trial("test server", start) == (State.BROKEN, "test server", "does not work: no")
    assert doctor.trial("test server", lambda: "status 500") == (
        State.BROKEN,
        "test server",
        "does not work: status 500",
    )


@pytest.mark.parametrize(("state", "code"), [(State.OK, 0), (State.NOTE, 0), (State.BROKEN, 1)])
def test_the_doctors_code_tells_whether_something_is_broken(run, monkeypatch, state, code):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding(state, "subject", "detail")])

    result = run("doctor")

    assert result.exit_code == code
    assert result.output == f"{state.value:<5} subject  detail\n"
