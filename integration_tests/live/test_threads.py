"""Any thread may start and stop; forks, interrupts and exits leave nothing hanging."""

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from steprig.live import ServerStartupError, UvicornTestServer


async def home(request):
    return PlainTextResponse("hello")


app = Starlette(routes=[Route("/", home)])


def outcomes(call, count):
    """What `count` simultaneous calls return or raise."""
    barrier = threading.Barrier(count)

    def at_once():
        barrier.wait(5)
        return call()

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(at_once) for _ in range(count)]
        return [future.exception(10) or future.result() for future in futures]


def test_twenty_servers_run_at_once_on_ports_of_their_own():
    servers = [UvicornTestServer(app) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(UvicornTestServer.start, servers))
        assert [r.text for r in pool.map(httpx.get, [s.url("/") for s in servers])] == ["hello"] * 20
        assert len({server.port for server in servers}) == 20
        list(pool.map(UvicornTestServer.stop, servers))


def test_of_concurrent_starts_one_wins_and_the_others_are_told():
    server = UvicornTestServer(app)

    results = outcomes(server.start, 8)

    assert results.count(server) == 1
    assert sum(isinstance(result, RuntimeError) for result in results) == 7
    assert httpx.get(server.url("/")).text == "hello"
    server.stop()


def test_concurrent_stops_all_return_with_the_server_gone():
    server = UvicornTestServer(app).start()

    def stop_and_look():
        server.stop()
        return server.is_running

    assert outcomes(stop_and_look, 8) == [False] * 8


def test_concurrent_starts_and_stops_leave_a_server_that_works():
    server = UvicornTestServer(app)

    def start_or_stop(number):
        for _ in range(5):
            with contextlib.suppress(RuntimeError, ServerStartupError):
                server.start() if number % 2 else server.stop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start_or_stop, range(4)))
    server.stop()

    with server:
        assert httpx.get(server.url("/")).text == "hello"


def test_a_stop_during_a_start_ends_the_start():
    starting = threading.Event()

    async def slow_start(scope, receive, send):
        starting.set()
        await asyncio.sleep(60)

    server = UvicornTestServer(slow_start)
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(server.start)
        assert starting.wait(5)
        server.stop()
        assert "stopped while it was starting" in str(start.exception(5))
    assert not server.is_running


def test_stop_in_the_servers_own_loop_is_refused():
    seen = []

    async def stop_myself(request):
        try:
            server.stop()
        except RuntimeError as error:
            seen.append(error)
        return PlainTextResponse("still here")

    with UvicornTestServer(Starlette(routes=[Route("/", stop_myself)])) as server:
        assert httpx.get(server.url("/")).text == "still here"

    assert "server's own loop" in str(seen[0])


def test_stop_in_a_worker_thread_of_a_request_is_bounded(until):
    async def stop_in_worker(request):
        await run_in_threadpool(server.stop)
        return PlainTextResponse("never")

    server = UvicornTestServer(Starlette(routes=[Route("/", stop_in_worker)]), shutdown_timeout=0.4).start()
    begun = time.monotonic()
    with contextlib.suppress(httpx.HTTPError):
        assert httpx.get(server.url("/")).status_code == 503

    assert until(lambda: not server.is_running)
    assert time.monotonic() - begun < 2


def test_coroutines_can_be_run_in_the_servers_loop():
    async def thread_of_loop():
        return threading.current_thread().name

    with UvicornTestServer(app) as server:
        name = asyncio.run_coroutine_threadsafe(thread_of_loop(), server.loop).result(5)

    assert name == f"UvicornTestServer 127.0.0.1:{server.port}"


def test_an_interrupt_while_starting_stops_what_was_started(monkeypatch):
    server = UvicornTestServer(app)
    real_wait, interrupted = threading.Event.wait, []

    def wait(event, timeout=None):
        if server._life is not None and event is server._life.settled and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return real_wait(event, timeout)

    monkeypatch.setattr(threading.Event, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert not server.is_running


def test_an_interrupted_stop_can_be_repeated(monkeypatch):
    server = UvicornTestServer(app).start()
    real_join, interrupted = threading.Thread.join, []

    def join(thread, timeout=None):
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return real_join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt):
        server.stop()
    server.stop()
    assert not server.is_running


def test_a_forked_child_forgets_the_server_and_leaves_the_parents_alone():
    with UvicornTestServer(app) as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0 if not server.is_running else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert httpx.get(server.url("/")).text == "hello"


def test_a_server_that_is_dropped_warns_and_ends(until):
    others = set(threading.enumerate())
    server = UvicornTestServer(app).start()
    (thread,) = set(threading.enumerate()) - others

    with pytest.warns(ResourceWarning, match="was dropped without stop"):
        del server

    assert until(lambda: not thread.is_alive())


def test_a_script_that_never_stops_its_server_exits_and_its_lifespan_ends():
    script = textwrap.dedent(
        """
        import contextlib
        from starlette.applications import Starlette
        from steprig.live import UvicornTestServer

        @contextlib.asynccontextmanager
        async def lifespan(app):
            yield
            print("lifespan has ended", flush=True)

        server = UvicornTestServer(Starlette(lifespan=lifespan)).start()
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stdout) == (0, "lifespan has ended\n"), done.stderr
