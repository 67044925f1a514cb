"""`async with` serves asyncio and trio, and does not block their loops."""

import threading

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from steprig.live import ServerStartupError, UvicornTestServer

pytestmark = pytest.mark.anyio


async def home(request):
    return PlainTextResponse("hello")


app = Starlette(routes=[Route("/", home)])


async def test_async_with_starts_and_stops():
    server = UvicornTestServer(app)
    async with server as entered, httpx.AsyncClient() as client:
        assert entered is server
        assert (await client.get(server.url("/"))).text == "hello"
    assert not server.is_running


async def test_the_callers_loop_runs_on_while_a_server_starts():
    loop_ran = threading.Event()

    async def wait_for_caller(scope, receive, send):
        if scope["type"] == "lifespan":
            # The server starts only if the caller's loop is free to do something.
            await anyio.to_thread.run_sync(loop_ran.wait)
        await app(scope, receive, send)

    async def run():
        await anyio.sleep(0.01)
        loop_ran.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        async with UvicornTestServer(wait_for_caller, startup_timeout=5) as server:
            assert server.is_running


async def test_a_failed_start_is_raised():
    async def broken(scope, receive, send):
        raise ValueError("no")

    with pytest.raises(ServerStartupError):
        async with UvicornTestServer(broken, lifespan="on"):
            pass


async def test_a_caller_that_is_cancelled_while_starting_leaves_no_server():
    async def never(scope, receive, send):
        await anyio.sleep(60)

    server = UvicornTestServer(never)
    with anyio.fail_after(5), anyio.move_on_after(0.05) as scope:
        async with server:
            pass
    assert scope.cancelled_caught
    assert not server.is_running


async def test_a_caller_that_is_cancelled_while_serving_leaves_no_server():
    server = UvicornTestServer(app)
    with anyio.move_on_after(0.05):
        async with server:
            await anyio.sleep(60)
    assert not server.is_running


async def test_many_servers_at_once_do_not_wait_for_anyios_thread_limit():
    limiter = anyio.to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 1
    release = threading.Event()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, release.wait)
            await anyio.lowlevel.checkpoint()
            async with UvicornTestServer(app) as server:
                assert server.is_running
            release.set()
    finally:
        limiter.total_tokens = before
