"""A server in a child process: its readiness, its output and its end."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import httpx
import pytest

from steprig.live import HttpProbe, ProcessServer, ServerShutdownError, ServerStartupError


@pytest.fixture
def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def python(code, *args):
    return [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]


HTTP_SERVER = """
    import http.server, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()
        def do_POST(self):
            self.send_response(202)
            self.end_headers()

    server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print("listening", flush=True)
    server.serve_forever()
"""

SLEEPER = "import time; print('up'); time.sleep(60)"

IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"


def is_alive(pid):
    """Whether a process runs; a zombie that nobody has collected does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_port_is_awaited_and_the_process_is_gone_after_the_stop(free_port):
    with ProcessServer(python(HTTP_SERVER, free_port), ready_port=free_port) as server:
        assert server.is_running
        assert httpx.get(f"http://127.0.0.1:{free_port}/health").status_code == 200
        pid = server.pid

    assert not server.is_running
    assert server.returncode == -signal.SIGTERM
    assert not is_alive(pid)


def test_a_url_is_awaited(free_port, until):
    url = f"http://127.0.0.1:{free_port}/health"
    with ProcessServer(python(HTTP_SERVER, free_port), ready_url=url) as server:
        assert until(lambda: "GET /health" in server.logs)


def test_a_probe_may_use_another_method_and_status(free_port, until):
    probe = HttpProbe(f"http://127.0.0.1:{free_port}/start", method="POST", status=202)
    with ProcessServer(python(HTTP_SERVER, free_port), ready_url=probe) as server:
        assert until(lambda: "POST /start" in server.logs)


def test_a_url_that_answers_otherwise_is_reported_with_what_was_seen(free_port):
    url = f"http://127.0.0.1:{free_port}/nowhere"
    server = ProcessServer(python(HTTP_SERVER, free_port), ready_url=url, startup_timeout=0.5)

    with pytest.raises(ServerStartupError, match=r"not ready within 0\.5 s.*/nowhere; last seen: status 404"):
        server.start()
    assert not server.is_running


def test_a_log_line_is_awaited_though_python_would_buffer_it():
    with ProcessServer(python(SLEEPER), ready_log=r"^u[p]$") as server:
        assert list(server.logs) == ["up"]


def test_without_a_condition_a_process_is_ready_as_soon_as_it_runs():
    with ProcessServer(python(SLEEPER)) as server:
        assert server.is_running


def test_an_exit_before_readiness_is_reported_at_once_with_the_last_output(free_port):
    code = "import sys; print('to stdout'); print('to stderr', file=sys.stderr); sys.exit(3)"
    begun = time.monotonic()
    with pytest.raises(ServerStartupError) as caught:
        ProcessServer(python(code), ready_port=free_port, name="broken").start()

    assert time.monotonic() - begun < 5
    assert "broken exited with code 3 before it was ready" in str(caught.value)
    assert "to stdout" in str(caught.value)
    assert "to stderr" in str(caught.value)


def test_an_exit_while_a_log_line_is_awaited_is_reported():
    with pytest.raises(ServerStartupError, match="exited with code 0 before"):
        ProcessServer(python("print('bye')"), ready_log="never").start()


def test_a_death_by_signal_is_named():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    with pytest.raises(ServerStartupError, match="was ended by SIGSEGV before"):
        ProcessServer(python(code), ready_log="never").start()


def test_a_log_line_that_does_not_come_is_named_with_the_output_so_far():
    with pytest.raises(ServerStartupError, match=r"(?s)matches 'never'.*up"):
        ProcessServer(python(SLEEPER), ready_log="never", startup_timeout=0.5).start()


def test_a_program_that_does_not_exist_is_named():
    with pytest.raises(ServerStartupError, match="cannot run 'no-such-program'"):
        ProcessServer(["no-such-program"]).start()


def test_a_directory_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ServerStartupError, match="missing"):
        ProcessServer(python(SLEEPER), cwd=tmp_path / "missing").start()


def test_a_command_that_is_a_string_is_refused():
    with pytest.raises(TypeError, match="sequence of arguments"):
        ProcessServer("python -m http.server")


def test_a_port_that_someone_else_answers_is_refused_before_the_start(free_port):
    with (
        ProcessServer(python(HTTP_SERVER, free_port), ready_port=free_port),
        pytest.raises(ServerStartupError, match=f"listening on 127.0.0.1:{free_port} already"),
    ):
        ProcessServer(python(SLEEPER), ready_port=free_port).start()


def test_an_answer_does_not_count_if_the_process_has_died_meanwhile(free_port, monkeypatch, until):
    def someone_else_answers(host, port, timeout):
        os.kill(server.pid, signal.SIGKILL)
        return until(lambda: not server.is_running)

    monkeypatch.setattr("steprig.live.readiness.accepts", someone_else_answers)
    server = ProcessServer(python(SLEEPER), ready_port=free_port)

    with pytest.raises(ServerStartupError, match="was ended by SIGKILL before"):
        server.start()


def test_the_children_of_the_process_are_ended_too(until):
    code = f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
        print("child", child.pid)
        time.sleep(60)
    """
    with ProcessServer(python(code), ready_log=r"child \d+") as server:
        child = int(next(line for line in server.logs if "child" in line).split()[1])
        assert is_alive(child)

    assert until(lambda: not is_alive(child))


def test_children_that_outlive_an_exit_are_ended(until):
    code = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {IGNORES_SIGTERM!r}])
        print("child", child.pid)
        sys.stdin.read()
    """
    server = ProcessServer(python(code), ready_log=r"child \d+").start()
    child = int(next(line for line in server.logs if "child" in line).split()[1])

    assert until(lambda: not is_alive(child))
    server.stop()
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("number", "returncode"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGUSR1, 3)], ids=["killed", "exited"]
)
def test_how_a_process_ended_is_known_as_soon_as_it_is_known_to_have_ended(number, returncode):
    for _ in range(20):
        with ProcessServer(["sh", "-c", "trap 'exit 3' USR1; echo up; while :; do :; done"], ready_log="up") as server:
            os.kill(server.pid, number)
            end = time.monotonic() + 10
            while server.is_running:
                assert time.monotonic() < end

            assert server.returncode == returncode


def test_a_process_that_ignores_the_request_to_end_is_killed_after_the_grace():
    server = ProcessServer(python(IGNORES_SIGTERM), ready_log="up", shutdown_timeout=0.2).start()
    begun = time.monotonic()
    server.stop()

    assert 0.2 <= time.monotonic() - begun < 2
    assert server.returncode == -signal.SIGKILL


def test_a_process_may_end_in_its_own_way_and_its_last_words_are_kept():
    code = """
        import signal, sys, time
        def leave(number, frame):
            print("goodbye")
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print("up")
        time.sleep(60)
    """
    with ProcessServer(python(code), ready_log="up") as server:
        pass

    assert server.returncode == 0
    assert list(server.logs) == ["up", "goodbye"]


def test_a_process_that_has_left_the_group_is_reported(tmp_path):
    file = tmp_path / "pid"
    code = f"""
        import subprocess, sys, pathlib, time
        child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True)
        pathlib.Path({str(file)!r}).write_text(str(child.pid))
        print("ready")
        time.sleep(60)
    """
    server = ProcessServer(python(code), ready_log="ready", shutdown_timeout=0.5).start()
    try:
        with pytest.raises(ServerShutdownError, match="has left its process group"):
            server.stop()
    finally:
        os.kill(int(file.read_text()), signal.SIGKILL)


def test_output_goes_to_a_file_as_it_comes(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("before\n")
    with ProcessServer(python(SLEEPER), ready_log="up", log_file=log):
        assert log.read_text() == "before\nup\n"


def test_the_environment_is_added_to_and_taken_from(monkeypatch):
    monkeypatch.setenv("RIG_KEPT", "kept")
    monkeypatch.setenv("RIG_DROPPED", "dropped")
    code = "import os; print(sorted(k + '=' + v for k, v in os.environ.items() if k.startswith('RIG_')))"
    server = ProcessServer(python(code), env={"RIG_NEW": "1", "RIG_DROPPED": None}, ready_log="RIG")
    with server:
        pass

    assert "['RIG_KEPT=kept', 'RIG_NEW=1']" in server.logs


def test_the_working_directory_is_used(tmp_path):
    with ProcessServer(python("import os; print(os.getcwd())"), cwd=tmp_path, ready_log="/") as server:
        assert str(tmp_path) in server.logs


def test_a_process_that_has_ended_by_itself_can_be_stopped_and_started_again(until):
    server = ProcessServer(python("print('one line')"), ready_log="one")
    for _ in range(2):
        server.start()
        assert until(lambda: not server.is_running)
        server.stop()
    assert list(server.logs) == ["one line", "one line"]


def test_a_second_start_is_refused_and_a_restart_is_not():
    with ProcessServer(python(SLEEPER), ready_log="up") as server:
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        pid = server.pid
        assert server.restart().pid != pid


def test_stop_may_be_called_from_any_thread_and_again():
    server = ProcessServer(python(SLEEPER), ready_log="up").start()
    threads = [threading.Thread(target=server.stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    server.stop()

    assert not server.is_running


def test_a_script_that_never_stops_its_process_leaves_none_behind(tmp_path, until):
    code = f"""
        from steprig.live import ProcessServer
        import sys
        server = ProcessServer([sys.executable, "-c", {SLEEPER!r}], ready_log="up").start()
        print(server.pid)
    """
    done = subprocess.run(python(code), capture_output=True, text=True, timeout=20, check=True)

    assert until(lambda: not is_alive(int(done.stdout)))


@pytest.mark.anyio
async def test_async_with_starts_and_stops():
    async with ProcessServer(python(SLEEPER), ready_log="up") as server:
        assert server.is_running
    assert not server.is_running


def test_wait_returns_once_the_process_has_ended_by_itself():
    server = ProcessServer(python("print('up')"), ready_log="up").start()

    assert server.wait(20)
    assert server.returncode == 0
    server.stop()


def test_wait_gives_up_on_a_process_that_goes_on():
    with ProcessServer(python(SLEEPER), ready_log="up") as server:
        assert not server.wait(0.05)
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait(20)


def test_wait_is_over_for_a_process_that_never_ran():
    assert ProcessServer(python(SLEEPER)).wait(0)
