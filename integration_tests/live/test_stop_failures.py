"""What a stop does to the lifespan, tasks and threads, and what it says of those that fail."""

import asyncio
import contextlib
import socket
import sys
import threading
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from steprig.live import ServerShutdownError, UvicornTestServer

GRACE = 0.5


def serve(*routes, lifespan=None, **options):
    app = Starlette(routes=list(routes), lifespan=contextlib.asynccontextmanager(lifespan) if lifespan else None)
    return UvicornTestServer(app, shutdown_timeout=options.pop("shutdown_timeout", GRACE), **options)


def send_raw(server, text):
    client = socket.create_connection((server.host, server.port), timeout=5)
    client.sendall(text.replace("\n", "\r\n").encode())
    return client


def test_an_application_that_swallows_its_cancellation_is_named_and_left():
    release, entered = threading.Event(), threading.Event()

    async def stubborn(request):
        entered.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)

    server = serve(Route("/", stubborn)).start()
    with send_raw(server, "GET / HTTP/1.1\nhost: x\n\n"):
        assert entered.wait(5)
        begun = time.monotonic()
        with pytest.raises(ServerShutdownError, match=r"(?s)does not let itself be cancelled.*stubborn"):
            server.stop()
    assert time.monotonic() - begun < GRACE + 0.6
    assert not server.is_running
    release.set()


def test_a_stop_with_a_blocked_loop_shows_the_threads_stack_and_is_bounded():
    release, entered = threading.Event(), threading.Event()

    async def block(request):
        entered.set()
        release.wait(30)

    server = serve(Route("/", block), shutdown_timeout=0.2).start()
    with send_raw(server, "GET / HTTP/1.1\nhost: x\n\n"):
        assert entered.wait(5)
        with pytest.raises(ServerShutdownError, match=r"(?s)has not ended within 0\.2 s.*in block"):
            server.stop()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((server.host, server.port), timeout=1)
        release.set()


def test_a_lifespan_shutdown_that_raises_is_an_error_with_its_exception_as_cause():
    async def lifespan(app):
        yield
        raise ValueError("half written")

    server = serve(lifespan=lifespan).start()

    with pytest.raises(ServerShutdownError, match="ValueError: half written") as caught:
        server.stop()
    assert isinstance(caught.value.__cause__, ValueError)
    server.stop()


def test_a_plain_lifespan_that_raises_at_shutdown_is_an_error():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("half written")

    with pytest.raises(ServerShutdownError, match="half written"):
        UvicornTestServer(app).start().stop()


def test_a_lifespan_that_declares_its_shutdown_failed_is_quoted():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "disk full"})

    with pytest.raises(ServerShutdownError, match=r"(?s)reported that.*disk full"):
        UvicornTestServer(app).start().stop()


def test_a_lifespan_shutdown_that_hangs_is_an_error_that_shows_where():
    async def flush_forever():
        await asyncio.sleep(60)

    async def lifespan(app):
        yield
        await flush_forever()

    server = serve(lifespan=lifespan, shutdown_timeout=0.2).start()
    begun = time.monotonic()
    with pytest.raises(ServerShutdownError, match=r"(?s)shutdown has not ended within 0\.2 s.*flush_forever"):
        server.stop()
    assert time.monotonic() - begun < 0.5


def test_requests_and_lifespan_share_one_deadline(gate, in_background):
    async def endless(request):
        await gate.hold()

    async def lifespan(app):
        yield
        await asyncio.sleep(60)

    server = serve(Route("/", endless), lifespan=lifespan).start()
    in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)
    begun = time.monotonic()
    with pytest.raises(ServerShutdownError):
        server.stop()
    assert time.monotonic() - begun < GRACE + 0.3


def test_a_failing_test_keeps_its_own_error_when_the_stop_fails_too():
    async def lifespan(app):
        yield
        raise ValueError("half written")

    with pytest.raises(AssertionError, match="the test's own") as caught, serve(lifespan=lifespan):
        raise AssertionError("the test's own")
    assert any("half written" in note for note in caught.value.__notes__)


def test_background_tasks_of_the_application_are_cancelled():
    cancelled = threading.Event()

    async def forever():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def lifespan(app):
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        yield {"task": task}

    with serve(lifespan=lifespan):
        pass
    assert cancelled.is_set()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_background_task_that_exits_ends_the_server_and_stop_reports_it(until, loop):
    shut_down = threading.Event()

    async def exit_now():
        sys.exit(9)

    async def trigger(request):
        request.app.state.task = asyncio.create_task(exit_now())
        return PlainTextResponse("ok")

    async def lifespan(app):
        yield
        shut_down.set()

    server = serve(Route("/", trigger), lifespan=lifespan, loop=loop).start()
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(server.url("/"))

    assert until(lambda: not server.is_running)
    with pytest.raises(ServerShutdownError, match="ended before by SystemExit: 9"):
        server.stop()
    assert shut_down.is_set()


def test_an_endpoint_that_exits_is_a_500_and_the_server_goes_on():
    async def leave(request):
        sys.exit(9)

    with serve(Route("/", leave)) as server:
        assert httpx.get(server.url("/")).status_code == 500
        assert server.is_running


def test_worker_threads_of_sync_endpoints_and_the_default_executor_are_gone():
    def in_anyio_thread(request):
        return PlainTextResponse(threading.current_thread().name)

    async def in_executor(request):
        name = await asyncio.get_running_loop().run_in_executor(None, lambda: threading.current_thread().name)
        return PlainTextResponse(name)

    before = threading.active_count()
    with serve(Route("/a", in_anyio_thread), Route("/b", in_executor)) as server:
        assert "AnyIO" in httpx.get(server.url("/a")).text
        assert "worker" in httpx.get(server.url("/b")).text
    assert threading.active_count() == before


def test_a_busy_worker_thread_is_named_and_does_not_hold_the_stop_for_ever():
    release, entered = threading.Event(), threading.Event()

    def busy():
        entered.set()
        release.wait(30)

    async def start_work(request):
        request.app.state.future = asyncio.get_running_loop().run_in_executor(None, busy)
        return PlainTextResponse("started")

    server = serve(Route("/", start_work), shutdown_timeout=0.3).start()
    httpx.get(server.url("/"))
    assert entered.wait(5)

    begun = time.monotonic()
    with pytest.raises(ServerShutdownError, match="worker thread that is still busy"):
        server.stop()
    assert time.monotonic() - begun < 1
    release.set()
