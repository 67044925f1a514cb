"""TLS, unix sockets, IPv6, WSGI, frameworks, and the clients that people use."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import time

import aiohttp
import fastapi
import flask
import httpx
import pytest
import requests
import trustme
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.sync.client import connect

from steprig.live import UvicornTestServer


async def home(request):
    return PlainTextResponse("hello")


async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


app = Starlette(routes=[Route("/", home), WebSocketRoute("/ws", echo)])


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls_files(authority, tmp_path):
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return {"ssl_keyfile": tmp_path / "key.pem", "ssl_certfile": str(tmp_path / "cert.pem")}


@pytest.fixture
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_is_served_under_a_url_that_fits_the_certificate(host, tls_files, client_context):
    with UvicornTestServer(app, host=host, **tls_files) as server:
        assert server.base_url == f"https://{host}:{server.port}"
        assert httpx.get(server.url("/"), verify=client_context).text == "hello"
        with connect(server.ws_url + "/ws", ssl=client_context) as websocket:
            websocket.send("hi")
            assert websocket.recv(5) == "hi"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_idle_tls_connection_does_not_hold_the_stop(loop, tls_files, client_context):
    server = UvicornTestServer(app, loop=loop, **tls_files).start()
    with httpx.Client(verify=client_context) as client:
        client.get(server.url("/"))
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_large_tls_response_to_a_slow_reader_is_complete_though_the_server_stops(
    loop, tls_files, client_context, until, in_background
):
    size = 20_000_000

    async def large(request):
        return PlainTextResponse("x" * size)

    server = UvicornTestServer(Starlette(routes=[Route("/", large)]), loop=loop, **tls_files).start()
    with httpx.Client(verify=client_context) as client, client.stream("GET", server.url("/")) as response:
        chunks = response.iter_raw(65536)
        received = len(next(chunks))
        stopping = in_background(server.stop)
        assert until(lambda: not server.is_running)
        for chunk in chunks:
            received += len(chunk)
        stopping.result(10)
    assert received == size


def test_a_ready_path_is_awaited_under_tls_whoever_signed(tls_files):
    with UvicornTestServer(app, ready_path="/", **tls_files) as server:
        assert server.is_running


def test_a_unix_socket_is_served_and_its_file_removed(tmp_path):
    path = tmp_path / "server.sock"
    with UvicornTestServer(app, uds=str(path), ready_path="/") as server:
        client = httpx.Client(transport=httpx.HTTPTransport(uds=server.uds))
        assert client.get(server.url("/")).text == "hello"
        client.close()
    assert not path.exists()


def test_a_stale_socket_file_is_replaced(tmp_path):
    path = tmp_path / "server.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()

    with UvicornTestServer(app, uds=str(path), ready_path="/"):
        pass
    assert not path.exists()


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6_is_served_under_a_url_with_brackets(host):
    with UvicornTestServer(app, host=host, ready_path="/") as server:
        assert server.base_url == f"http://[::1]:{server.port}"
        assert httpx.get(server.url("/")).text == "hello"


def test_localhost_is_served_under_the_address_that_was_bound():
    with UvicornTestServer(app, host="localhost") as server:
        assert server.base_url == f"http://127.0.0.1:{server.port}"
        assert httpx.get(f"http://localhost:{server.port}").text == "hello"


@pytest.mark.parametrize("ws", ["auto", "websockets-sansio"])
def test_websockets_are_served(ws):
    with UvicornTestServer(app, ws=ws) as server, connect(server.ws_url + "/ws") as websocket:
        websocket.send("hi")
        assert websocket.recv(5) == "hi"


def test_websockets_can_be_turned_off():
    from websockets.exceptions import InvalidStatus

    with UvicornTestServer(app, ws="none") as server, pytest.raises(InvalidStatus):
        connect(server.ws_url + "/ws")


def make_flask_app():
    flask_app = flask.Flask("wsgi")

    @flask_app.get("/")
    def flask_home():
        return "from flask"

    return flask_app


@pytest.mark.parametrize("target", [make_flask_app(), make_flask_app])
def test_a_wsgi_application_and_a_factory_of_one_are_served(target):
    with UvicornTestServer(target, interface="wsgi") as server:
        assert httpx.get(server.url("/")).text == "from flask"


def test_fastapi_is_served():
    api = fastapi.FastAPI()

    @api.get("/items/{number}")
    def item(number: int):
        return {"number": number}

    with UvicornTestServer(api) as server:
        assert httpx.get(server.url("/items/3")).json() == {"number": 3}


def test_requests_is_served():
    with UvicornTestServer(app) as server:
        assert requests.get(server.url("/"), timeout=5).text == "hello"


def test_aiohttp_is_served():
    async def fetch(url):
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()

    with UvicornTestServer(app) as server:
        assert asyncio.run(fetch(server.url("/"))) == "hello"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_served():
    with UvicornTestServer(app) as server:
        done = subprocess.run(["curl", "-sS", server.url("/")], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "hello"
