"""A server as a session has it, as a test has it for itself, and started by hand; asked by four clients."""

import asyncio
import json
import shutil
import subprocess
from typing import ClassVar, NamedTuple

import aiohttp
import httpx
import pytest
import requests

from steprig import UvicornTestServer


class Answer(NamedTuple):
    status: int
    body: object


def ask_with_aiohttp(url, body=None):
    async def ask():
        async with (
            aiohttp.ClientSession() as session,
            session.request("GET" if body is None else "POST", url, data=body) as response,
        ):
            return Answer(response.status, await response.json())

    return asyncio.run(ask())


def ask_with_httpx(url, body=None):
    response = httpx.request("GET" if body is None else "POST", url, content=body)
    return Answer(response.status_code, response.json())


def ask_with_requests(url, body=None):
    with requests.request("GET" if body is None else "POST", url, data=body, timeout=5) as response:
        return Answer(response.status_code, response.json())


def ask_with_curl(url, body=None):
    post = [] if body is None else ["--data-binary", body]
    command = ["curl", "--silent", "--show-error", "--max-time", "5", "--write-out", "\n%{http_code}", *post, url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    text, _, status = output.rpartition("\n")
    return Answer(int(status), json.loads(text))


CLIENTS = {
    "aiohttp": ask_with_aiohttp,
    "httpx": ask_with_httpx,
    "requests": ask_with_requests,
    "curl": ask_with_curl,
}


@pytest.fixture(params=CLIENTS)
def ask(request):
    """Ask for a URL: `ask(url)` gets, `ask(url, body)` posts."""
    if request.param == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return CLIENTS[request.param]


@pytest.fixture
def manual_server(asgi_app):
    server = UvicornTestServer(asgi_app)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["running_server", "fresh_server", "manual_server"])
def server(request):
    return request.getfixturevalue(request.param)


def test_health(server, ask):
    assert ask(server.url("/health")) == (200, {"message": "OK"})


def test_get_with_a_query(server, ask):
    assert ask(server.url("/test?name=value")) == (200, {"message": "test", "query": {"name": "value"}})


@pytest.mark.parametrize("data", [{"key": "value", "nested": {"list": [1, 2.5, None, True]}}, [], "ünïcødé", 0, None])
def test_post_sends_json_back(server, ask, data):
    assert ask(server.url("/api/data"), json.dumps(data)) == (200, {"received": data})


@pytest.mark.parametrize("body", ["{", "", "key=value"])
def test_post_of_what_is_no_json_is_refused_with_a_reason(server, ask, body):
    status, answer = ask(server.url("/api/data"), body)

    assert status == 400
    assert answer["error"].startswith("the body has to be JSON: ")


def test_the_wrong_method_and_path_are_told_apart(running_server):
    assert httpx.get(running_server.url("/api/data")).status_code == 405
    assert httpx.get(running_server.url("/nowhere")).status_code == 404


def test_clients_with_a_base_url_are_served(running_server):
    with httpx.Client(base_url=running_server.base_url) as client:
        assert client.get("/health").json() == {"message": "OK"}


def test_requests_at_the_same_time_are_all_answered(running_server):
    async def ask_fifty_times():
        async with httpx.AsyncClient(base_url=running_server.base_url) as client:
            posts = [client.post("/api/data", json=number) for number in range(50)]
            return [response.json()["received"] for response in await asyncio.gather(*posts)]

    assert asyncio.run(ask_fifty_times()) == list(range(50))


class TestSessionServer:
    servers: ClassVar[set[UvicornTestServer]] = set()

    @pytest.mark.parametrize("turn", range(3))
    def test_is_the_same_in_every_test(self, running_server, turn):
        self.servers.add(running_server)

        assert len(self.servers) == 1
        assert running_server.is_running


class TestFreshServer:
    servers: ClassVar[set[UvicornTestServer]] = set()

    @pytest.mark.parametrize("turn", range(3))
    def test_is_another_in_every_test(self, fresh_server, turn):
        assert fresh_server not in self.servers
        assert not any(server.is_running for server in self.servers)
        self.servers.add(fresh_server)

    def test_is_not_the_one_of_the_session(self, fresh_server, running_server):
        assert fresh_server is not running_server
        assert fresh_server.port != running_server.port


class TestManualServer:
    def test_runs_between_start_and_stop(self, asgi_app):
        server = UvicornTestServer(asgi_app)
        assert not server.is_running

        server.start()
        assert httpx.get(server.url("/health")).status_code == 200

        server.stop()
        assert not server.is_running
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url("/health"))

    def test_runs_inside_a_with_block(self, asgi_app):
        with UvicornTestServer(asgi_app) as server:
            assert httpx.get(server.url("/health")).status_code == 200

        assert not server.is_running

    def test_stops_when_the_block_raises(self, asgi_app):
        with pytest.raises(ZeroDivisionError), UvicornTestServer(asgi_app) as server:
            _ = 1 / 0

        assert not server.is_running

    def test_takes_the_port_that_it_is_given(self, asgi_app):
        with UvicornTestServer(asgi_app) as first:
            port = first.port

        with UvicornTestServer(asgi_app, port=port, strict_port=True) as second:
            assert second.port == port
            assert second.base_url == f"http://127.0.0.1:{port}"
