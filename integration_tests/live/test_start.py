"""What holds once `start` has returned."""

import contextlib
import http.client
import signal
import statistics
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from steprig.live import UvicornTestServer


async def home(request):
    return PlainTextResponse("hello")


app = Starlette(routes=[Route("/", home, methods=["GET", "POST"])])


def make_app():
    return app


def test_a_started_server_answers_and_says_that_it_runs():
    server = UvicornTestServer(app)

    assert server.start() is server
    assert server.is_running
    assert httpx.get(server.url("/")).text == "hello"

    server.stop()
    assert not server.is_running


def test_the_first_response_has_the_default_headers_and_the_servers_own():
    with UvicornTestServer(app, headers=[("x-rig", "1")]) as server:
        headers = httpx.get(server.url("/")).headers

    assert headers["server"] == "uvicorn"
    assert headers["x-rig"] == "1"
    assert headers["date"].endswith("GMT")


def test_the_date_header_moves_on(until):
    with UvicornTestServer(app) as server, httpx.Client() as client:
        first = client.get(server.url("/")).headers["date"]
        assert until(lambda: client.get(server.url("/")).headers["date"] != first, seconds=3)


@pytest.mark.parametrize(
    ("target", "options"),
    [(make_app, {}), (make_app, {"factory": True}), ("starlette.applications:Starlette", {"factory": True})],
)
def test_factories_and_import_strings_are_served_without_a_warning(target, options):
    with UvicornTestServer(target, log_level="info", **options) as server:
        assert httpx.get(server.url("/")).status_code in (200, 404)

    assert "WARNING" not in server.logs


def test_a_plain_function_that_returns_an_awaitable_is_served():
    def plain(scope, receive, send):
        return app(scope, receive, send)

    with UvicornTestServer(plain) as server:
        assert httpx.get(server.url("/")).text == "hello"


def test_an_application_with_any_number_of_arguments_is_served():
    async def variadic(*args):
        await app(*args)

    with UvicornTestServer(variadic) as server:
        assert httpx.get(server.url("/")).text == "hello"


def test_asgi_2_is_served():
    class Asgi2:
        def __init__(self, scope):
            self.scope = scope

        async def __call__(self, receive, send):
            await app(self.scope, receive, send)

    with UvicornTestServer(Asgi2) as server:
        assert httpx.get(server.url("/")).text == "hello"


def test_an_application_without_a_lifespan_is_served_and_stopped_without_complaint():
    async def no_lifespan(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with UvicornTestServer(no_lifespan) as server:
        assert httpx.get(server.url("/")).status_code == 204

    assert not server.logs


def test_the_lifespan_has_started_before_the_first_request():
    async def lifespan(app):
        yield {"ready": True}

    async def ready(request):
        return JSONResponse(request.state.ready)

    stateful = Starlette(routes=[Route("/", ready)], lifespan=contextlib.asynccontextmanager(lifespan))
    with UvicornTestServer(stateful) as server:
        assert httpx.get(server.url("/")).json() is True


def test_kept_alive_requests_on_asyncio_are_not_delayed_by_nagle():
    with UvicornTestServer(app, loop="asyncio") as server:
        client = http.client.HTTPConnection(server.host, server.port)
        took = []
        for _ in range(30):
            begun = time.perf_counter()
            client.request("GET", "/")
            client.getresponse().read()
            took.append(time.perf_counter() - begun)
        client.close()

    assert statistics.median(took) < 0.010


@pytest.mark.parametrize("loop", ["auto", "asyncio", "uvloop", "none"])
def test_every_loop_serves(loop):
    with UvicornTestServer(app, loop=loop) as server:
        assert httpx.get(server.url("/")).text == "hello"
        assert server.loop.is_running()


@pytest.mark.parametrize("http_protocol", ["auto", "h11"])
def test_every_http_protocol_serves(http_protocol):
    with UvicornTestServer(app, http=http_protocol) as server:
        assert httpx.get(server.url("/")).text == "hello"


def test_the_handlers_of_signals_stay_the_callers():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with UvicornTestServer(app):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_ready_path_is_awaited(until):
    answers = iter([503, 503, 200])

    async def health(request):
        return PlainTextResponse(status_code=next(answers))

    with UvicornTestServer(Starlette(routes=[Route("/health", health)]), ready_path="/health"):
        assert next(answers, None) is None


def test_a_server_that_reaches_its_request_limit_ends_by_itself_and_can_be_started_again(until):
    server = UvicornTestServer(app, limit_max_requests=1).start()

    httpx.get(server.url("/"))

    assert until(lambda: not server.is_running)
    server.start()
    assert httpx.get(server.url("/")).text == "hello"
    server.stop()


def test_a_second_start_is_refused_and_harmless():
    with UvicornTestServer(app) as server:
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        assert httpx.get(server.url("/")).text == "hello"


def test_a_stopped_server_starts_again():
    server = UvicornTestServer(app)
    for _ in range(2):
        with server:
            assert httpx.get(server.url("/")).text == "hello"


def test_a_restart_keeps_the_port():
    with UvicornTestServer(app) as server, httpx.Client() as client:
        port = server.port
        for _ in range(20):
            assert client.get(server.url("/")).text == "hello"
            assert server.restart() is server
            assert server.port == port


def test_a_wildcard_host_is_reached_by_loopback():
    with UvicornTestServer(app, host="0.0.0.0") as server:
        assert server.host == "0.0.0.0"
        assert server.base_url == f"http://127.0.0.1:{server.port}"
        assert httpx.get(server.url("/")).text == "hello"
