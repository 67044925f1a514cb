"""`InngestCliServer`, with a stand-in for npx first on PATH."""

import os
import socket
import time

import httpx
import pytest

from steprig.inngest import DevServerLike, InngestCliError, InngestCliServer
from steprig.live import ServerStartupError

from .stand_in_npx import CANNOT_DOWNLOAD, CRASHES, NEVER_READY, SERVES, put_npx_into


@pytest.fixture
def npx(tmp_path, monkeypatch):
    """Puts a stand-in first on PATH."""

    def put(*parts):
        directory = put_npx_into(tmp_path / "bin", *parts)
        monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    return put


def test_it_runs_the_real_command_and_is_ready_when_connect_start_answers(npx):
    npx(SERVES)
    server: DevServerLike = InngestCliServer(version="1.2.3", startup_timeout=20)

    with server:
        assert server.is_running
        assert server.origin == f"http://127.0.0.1:{server.port}"
        assert httpx.get(f"{server.origin}/health", trust_env=False).status_code == 200
        assert f"Inngest dev server online at {server.port}" in server.logs
        assert "POST /v0/connect/start" in server.logs
    assert not server.is_running
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.origin}/health", trust_env=False)


def test_the_package_may_download_whatever_the_npmrc_says(npx):
    npx(SERVES)
    with InngestCliServer(version="1.2.3") as server:
        assert "ignore_scripts: false" in server.logs


def test_the_output_goes_to_a_file_whose_directory_is_made(npx, tmp_path):
    npx(SERVES)
    log = tmp_path / "artifacts" / "dev_server.log"
    with InngestCliServer(version="1.2.3", log_file=log) as server:
        port = server.port

    assert f"Inngest dev server online at {port}" in log.read_text()


def test_it_starts_again_after_a_stop_but_not_while_it_runs(npx):
    npx(SERVES)
    server = InngestCliServer(version="1.2.3")
    with server:
        port = server.port
        with pytest.raises(RuntimeError, match="runs already at"):
            server.start()
    with server:
        assert server.port == port
    server.stop()


def test_without_npx_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(InngestCliError) as caught:
        InngestCliServer(version="1.2.3").start()

    assert str(caught.value) == (
        f"cannot run inngest-cli@1.2.3: there is no npx on PATH ({tmp_path}). Install Node.js, which brings it, "
        "or set STEPRIG_INNGEST=embedded, which needs neither Node.js nor a download"
    )


def test_a_path_of_its_own_is_where_npx_is_looked_for(tmp_path):
    server = InngestCliServer(version="1.2.3", env={"PATH": str(tmp_path)})

    with pytest.raises(InngestCliError, match="there is no npx on PATH"):
        server.start()


def test_a_failed_download_is_one_error_with_npms_own_words(npx):
    npx(CANNOT_DOWNLOAD)
    server = InngestCliServer(version="1.2.3")
    begun = time.monotonic()
    with pytest.raises(InngestCliError) as caught:
        server.start()

    message = str(caught.value)
    assert time.monotonic() - begun < 10  # at once, and not after the two minutes that a download may take
    assert message.startswith("npm could not get inngest-cli@1.2.3: inngest-cli@1.2.3 exited with code 1 before")
    assert "npm error network request to https://registry.example/inngest-cli failed" in message
    assert message.endswith("or set STEPRIG_INNGEST=embedded, which needs neither Node.js nor a download")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert not server.is_running


def test_a_crash_is_not_called_a_failed_download(npx):
    npx(CRASHES)
    with pytest.raises(InngestCliError) as caught:
        InngestCliServer(version="1.2.3").start()

    assert str(caught.value).startswith("inngest-cli@1.2.3 did not start: inngest-cli@1.2.3 exited with code 1 before")
    assert "panic: cannot bind the gateway" in str(caught.value)


def test_one_that_is_never_ready_is_ended_and_told_with_its_output(npx):
    npx(NEVER_READY)
    server = InngestCliServer(version="1.2.3", startup_timeout=1.5)

    with pytest.raises(InngestCliError) as caught:
        server.start()

    message = str(caught.value)
    assert "inngest-cli@1.2.3 was not ready within 1.5 s" in message
    assert f"POST {server.origin}/v0/connect/start; last seen: ConnectionRefusedError" in message
    assert "still unpacking" in message
    assert "give a longer startup_timeout" in message
    assert not server.is_running


def test_a_port_that_is_taken_is_told_before_anything_is_run(npx):
    npx(SERVES)
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        server = InngestCliServer(port, version="1.2.3")
        with pytest.raises(ServerStartupError, match=rf"listening on 127\.0\.0\.1:{port} already(.|\n)*another port"):
            server.start()
    assert not server.logs
