"""What one does with `UvicornTestServer`, an example each."""

import logging
import ssl
import time
from contextlib import ExitStack, asynccontextmanager

import anyio
import fastapi
import flask
import httpx
import pytest
import trustme
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from steprig import ServerStartupError, UvicornTestServer


def one_route(path, endpoint, **options):
    return Starlette(routes=[Route(path, endpoint)], **options)


def test_a_server_from_the_factory_lives_as_long_as_the_test(uvicorn_server_factory):
    async def hello(request):
        return PlainTextResponse("hello")

    server = uvicorn_server_factory(one_route("/", hello))

    assert httpx.get(server.url("/")).text == "hello"


def test_the_factory_takes_every_option_of_a_server(uvicorn_server_factory):
    server = uvicorn_server_factory(ready_path="/health", headers=[("x-rig", "yes")])

    assert httpx.get(server.url("/health")).headers["x-rig"] == "yes"


def test_several_servers_talk_to_each_other(uvicorn_server_factory):
    async def price(request):
        return JSONResponse({"price": 42})

    prices = uvicorn_server_factory(one_route("/price", price))

    async def offer(request):
        async with httpx.AsyncClient() as client:
            answer = await client.get(prices.url("/price"))
        return JSONResponse({"offer": answer.json()["price"] - 1})

    shop = uvicorn_server_factory(one_route("/offer", offer))

    assert httpx.get(shop.url("/offer")).json() == {"offer": 41}


def test_an_application_is_told_its_own_url_before_it_starts():
    async def where(request):
        return PlainTextResponse(request.app.state.url)

    app = one_route("/", where)
    server = UvicornTestServer(app)
    app.state.url = server.base_url

    with server:
        assert httpx.get(server.url("/")).text == server.base_url


def test_a_restart_keeps_the_port_and_runs_the_lifespan_again():
    starts = []

    @asynccontextmanager
    async def lifespan(app):
        starts.append("start")
        yield

    async def count(request):
        return JSONResponse(len(starts))

    with UvicornTestServer(one_route("/", count, lifespan=lifespan)) as server:
        port = server.port
        assert httpx.get(server.url("/")).json() == 1

        server.restart()

        assert server.port == port
        assert httpx.get(server.url("/")).json() == 2


def test_a_client_that_tries_again_survives_a_restart(fresh_server):
    with httpx.Client(transport=httpx.HTTPTransport(retries=3), base_url=fresh_server.base_url) as client:
        assert client.get("/health").status_code == 200
        fresh_server.restart()
        assert client.get("/health").status_code == 200


def test_tls(uvicorn_server_factory, tmp_path):
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    server = uvicorn_server_factory(host="localhost", ssl_certfile=str(tmp_path / "cert.pem"))

    assert server.base_url == f"https://localhost:{server.port}"
    assert httpx.get(server.url("/health"), verify=trusting).json() == {"message": "OK"}


def test_a_websocket(uvicorn_server_factory):
    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text.upper())

    server = uvicorn_server_factory(Starlette(routes=[WebSocketRoute("/echo", echo)]))

    with connect(f"{server.ws_url}/echo") as client:
        client.send("hello")
        assert client.recv(timeout=5) == "HELLO"


def test_a_websocket_that_is_open_does_not_hold_up_the_stop():
    async def wait(websocket):
        await websocket.accept()
        await websocket.receive_text()

    app = Starlette(routes=[WebSocketRoute("/wait", wait)])
    with ExitStack() as stack:
        server = stack.enter_context(UvicornTestServer(app))
        client = stack.enter_context(connect(f"{server.ws_url}/wait"))

        server.stop()

        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)


def test_server_sent_events_that_never_end_are_cut_off_by_the_stop():
    async def events(request):
        async def forever():
            yield "data: first\n\n"
            await anyio.sleep_forever()

        return StreamingResponse(forever(), media_type="text/event-stream")

    server = UvicornTestServer(one_route("/events", events)).start()
    with httpx.stream("GET", server.url("/events")) as response:
        parts = response.iter_text()
        assert next(parts) == "data: first\n\n"
        begun = time.perf_counter()

        server.stop()

        assert time.perf_counter() - begun < 2
        with pytest.raises((httpx.RemoteProtocolError, StopIteration)):
            next(parts)


def test_a_wsgi_application_such_as_flasks(uvicorn_server_factory):
    app = flask.Flask("shop")

    @app.post("/orders")
    def order():
        return {"ordered": flask.request.json["item"]}, 201

    server = uvicorn_server_factory(app, interface="wsgi")
    response = httpx.post(server.url("/orders"), json={"item": "tea"})

    assert (response.status_code, response.json()) == (201, {"ordered": "tea"})


def test_a_fastapi_application_with_a_dependency_replaced(uvicorn_server_factory):
    def user():
        raise RuntimeError("there are no users in a test")

    app = fastapi.FastAPI()

    @app.get("/me")
    def me(name: str = fastapi.Depends(user)):
        return {"name": name}

    app.dependency_overrides[user] = lambda: "Ada"

    assert httpx.get(uvicorn_server_factory(app).url("/me")).json() == {"name": "Ada"}


def test_the_lifespan_gives_state_to_the_requests_and_ends_at_the_stop():
    events = []

    @asynccontextmanager
    async def lifespan(app):
        events.append("open")
        yield {"pool": "a pool"}
        events.append("close")

    async def pool(request):
        return PlainTextResponse(request.state.pool)

    with UvicornTestServer(one_route("/", pool, lifespan=lifespan)) as server:
        assert httpx.get(server.url("/")).text == "a pool"
        assert events == ["open"]

    assert events == ["open", "close"]


def test_a_start_that_fails_raises_what_the_application_raised():
    @asynccontextmanager
    async def lifespan(app):
        raise ConnectionError("no database at db:5432")
        yield

    server = UvicornTestServer(Starlette(lifespan=lifespan))

    with pytest.raises(ServerStartupError, match="no database at db:5432") as caught:
        server.start()
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert not server.is_running


def test_a_start_that_hangs_is_given_up_and_says_where_it_hangs():
    @asynccontextmanager
    async def lifespan(app):
        await anyio.sleep_forever()
        yield

    server = UvicornTestServer(Starlette(lifespan=lifespan), startup_timeout=0.2)

    with pytest.raises(ServerStartupError, match="sleep_forever"):
        server.start()


def test_what_is_no_application_is_refused_at_once():
    with pytest.raises(TypeError, match="no ASGI application"):
        UvicornTestServer(42)


def test_a_request_that_fails_is_in_the_log_with_its_traceback():
    async def fail(request):
        raise ValueError("out of tea")

    with UvicornTestServer(one_route("/fail", fail)) as server:
        assert httpx.get(server.url("/fail")).status_code == 500

    # The traceback is logged after the response is sent: after the stop it is there for certain.
    assert "ValueError: out of tea" in server.logs


def test_at_level_info_the_log_has_a_line_for_each_request(uvicorn_server_factory):
    server = uvicorn_server_factory(log_level="info")

    httpx.get(server.url("/health"))

    assert any("GET /health" in line and "200" in line for line in server.logs)


def test_each_server_has_a_log_of_its_own(uvicorn_server_factory):
    one, two = uvicorn_server_factory(log_level="info"), uvicorn_server_factory(log_level="info")

    httpx.get(one.url("/health"))
    httpx.get(two.url("/test"))

    assert "/health" in one.logs
    assert "/test" not in one.logs
    assert "/test" in two.logs


def test_caplog_hears_what_a_server_logs(uvicorn_server_factory, caplog):
    async def warn(request):
        logging.getLogger("shop").warning("low on tea")
        return PlainTextResponse("")

    httpx.get(uvicorn_server_factory(one_route("/", warn)).url("/"))

    assert "low on tea" in caplog.messages


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_with_leaves_the_callers_loop_free(asgi_app, backend):
    async def use():
        async with UvicornTestServer(asgi_app) as server, httpx.AsyncClient(base_url=server.base_url) as client:
            assert (await client.get("/health")).json() == {"message": "OK"}
            return server

    assert not anyio.run(use, backend=backend).is_running
