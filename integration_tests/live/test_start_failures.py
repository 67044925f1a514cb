"""A start that fails says why, soon, and leaves nothing."""

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

from steprig.live import ServerStartupError, UvicornTestServer


class BoomError(Exception):
    pass


def app_with_lifespan(lifespan):
    return Starlette(lifespan=contextlib.asynccontextmanager(lifespan))


async def raising_lifespan(app):
    raise BoomError("no database")
    yield


async def raising_asgi(scope, receive, send):
    await receive()
    raise BoomError("no database")


async def declining_asgi(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the licence has expired"})


def assert_fails(server):
    begun = time.monotonic()
    with pytest.raises(ServerStartupError) as caught:
        server.start()
    assert time.monotonic() - begun < 2
    assert not server.is_running
    return caught.value


def test_the_exception_of_a_lifespan_is_the_cause_and_the_log_is_in_the_message():
    error = assert_fails(UvicornTestServer(app_with_lifespan(raising_lifespan)))

    assert isinstance(error.__cause__, BoomError)
    assert "did not start: BoomError: no database" in str(error)
    assert "raising_lifespan" in str(error)
    assert "Application startup failed" in str(error)


def test_with_lifespan_on_the_exception_of_a_plain_application_is_the_cause():
    error = assert_fails(UvicornTestServer(raising_asgi, lifespan="on"))

    assert isinstance(error.__cause__, BoomError)


def test_with_lifespan_auto_a_plain_application_that_fails_is_served_with_a_warning():
    with UvicornTestServer(raising_asgi) as server:
        assert "lifespan raised BoomError('no database') before it had started" in server.logs


def test_an_application_that_declares_its_start_failed_is_quoted():
    error = assert_fails(UvicornTestServer(declining_asgi))

    assert error.__cause__ is None
    assert "the licence has expired" in str(error)


@pytest.mark.parametrize(
    ("target", "cause", "text"),
    [
        ("no_such_module:app", Exception, "no_such_module"),
        ("json:no_such_name", Exception, "no_such_name"),
        ("json", Exception, "must be in format"),
        ("json:dumps", TypeError, "is no ASGI application"),
    ],
)
def test_a_wrong_import_string_is_named(target, cause, text):
    error = assert_fails(UvicornTestServer(target))

    assert isinstance(error.__cause__, cause)
    assert text in str(error)


@pytest.mark.parametrize("exception", [BoomError("no"), TypeError("no"), SystemExit(3), KeyboardInterrupt()])
def test_the_exception_of_a_factory_is_the_cause(exception):
    def factory():
        raise exception

    assert assert_fails(UvicornTestServer(factory)).__cause__ is exception


def test_a_factory_that_makes_no_application_is_named():
    def factory():
        return {"not": "an app"}

    error = assert_fails(UvicornTestServer(factory))

    assert isinstance(error.__cause__, TypeError)
    assert "factory returned what is no ASGI application" in str(error).replace(
        test_a_factory_that_makes_no_application_is_named.__name__ + ".<locals>.", ""
    )


def test_a_lifespan_that_exits_is_a_failure_with_the_exit_as_its_cause():
    async def lifespan(app):
        sys.exit(7)
        yield

    error = assert_fails(UvicornTestServer(app_with_lifespan(lifespan)))

    assert isinstance(error.__cause__, SystemExit)
    assert error.__cause__.code == 7


def test_a_background_task_that_exits_during_the_start_is_a_failure():
    async def exit_at_once():
        sys.exit(7)

    async def lifespan(app):
        task = asyncio.create_task(exit_at_once())
        await asyncio.sleep(60)
        yield task

    assert isinstance(assert_fails(UvicornTestServer(app_with_lifespan(lifespan))).__cause__, SystemExit)


def test_a_start_that_waits_for_ever_fails_at_the_timeout_and_shows_where_it_waits():
    cancelled = threading.Event()

    async def connect_to_database():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def lifespan(app):
        await connect_to_database()
        yield

    error = assert_fails(UvicornTestServer(app_with_lifespan(lifespan), startup_timeout=0.2))

    assert "not ready within 0.2 s" in str(error)
    assert "connect_to_database" in str(error)
    assert cancelled.is_set()


def test_a_start_that_blocks_its_loop_fails_at_the_timeout_and_shows_the_threads_stack():
    release = threading.Event()

    def read_forever():
        release.wait(30)

    async def lifespan(app):
        read_forever()
        yield

    server = UvicornTestServer(app_with_lifespan(lifespan), startup_timeout=0.2)
    try:
        error = assert_fails(server)
        assert "not ready within 0.2 s" in str(error)
        assert "in read_forever" in str(error)
    finally:
        release.set()


def test_a_start_that_refuses_to_be_cancelled_fails_all_the_same():
    release = threading.Event()

    async def lifespan(app):
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)
        yield

    try:
        assert "not ready within" in str(
            assert_fails(UvicornTestServer(app_with_lifespan(lifespan), startup_timeout=0.1))
        )
    finally:
        release.set()


def test_a_ready_path_that_never_answers_well_is_reported_with_what_was_seen():
    error = assert_fails(UvicornTestServer(Starlette(), ready_path="/health", startup_timeout=0.2))

    assert "/health was to answer with a status below 400; last seen: status 404 Not Found" in str(error)


def test_an_application_that_is_up_but_never_ready_ends_in_the_usual_way():
    ended = threading.Event()

    async def lifespan(app):
        yield
        ended.set()

    assert_fails(UvicornTestServer(app_with_lifespan(lifespan), ready_path="/health", startup_timeout=0.1))

    assert ended.is_set()


def test_a_bad_certificate_is_a_failure(tmp_path):
    pem = tmp_path / "cert.pem"
    pem.write_text("nonsense")

    error = assert_fails(UvicornTestServer(Starlette(), ssl_certfile=str(pem)))

    assert error.__cause__ is not None


def test_a_failed_server_may_start_later_and_gives_its_port_back():
    broken = True

    async def lifespan(app):
        if broken:
            raise BoomError
        yield

    server = UvicornTestServer(app_with_lifespan(lifespan))
    assert_fails(server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)

    broken = False
    with server:
        assert httpx.get(server.url("/")).status_code == 404


def test_a_busy_port_is_no_failure_unless_it_is_strict():
    async def home(request):
        return PlainTextResponse("mine")

    mine = Starlette(routes=[Route("/", home)])
    with UvicornTestServer(Starlette()) as other:
        with UvicornTestServer(mine, port=other.port) as server:
            assert server.port_fell_back
            assert httpx.get(server.url("/")).text == "mine"
        with pytest.raises(ServerStartupError, match=f"port {other.port}"):
            UvicornTestServer(mine, port=other.port, strict_port=True).start()


def test_a_unix_socket_in_use_is_not_stolen(tmp_path):
    path = str(tmp_path / "s")
    with UvicornTestServer(Starlette(), uds=path) as first:
        with pytest.raises(ServerStartupError, match="already listening on the unix socket"):
            UvicornTestServer(Starlette(), uds=path).start()
        assert first.is_running


def test_a_unix_socket_that_cannot_be_made_is_a_failure(tmp_path):
    error = assert_fails(UvicornTestServer(Starlette(), uds=str(tmp_path / "missing" / "s")))

    assert isinstance(error.__cause__, OSError)
