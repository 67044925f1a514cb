"""Each server's log is its own, and caplog hears what matters."""

import logging

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from steprig.live import UvicornTestServer


async def home(request):
    return PlainTextResponse("hello")


async def fail(request):
    raise RuntimeError("out of paper")


app = Starlette(routes=[Route("/", home), Route("/fail", fail)])


def test_info_gives_access_lines():
    with UvicornTestServer(app, log_level="info") as server:
        httpx.get(server.url("/?a=1"))

    assert '"GET /?a=1 HTTP/1.1" 200' in server.logs
    assert any("Application startup complete" in line for line in server.logs)


def test_access_lines_can_be_left_out():
    with UvicornTestServer(app, log_level="info", access_log=False) as server:
        httpx.get(server.url("/"))

    assert "GET /" not in server.logs
    assert "Application startup complete" in server.logs


def test_the_log_of_a_failing_application_is_there_after_the_stop():
    with UvicornTestServer(app) as server:
        assert httpx.get(server.url("/fail")).status_code == 500

    assert "RuntimeError: out of paper" in server.logs


def test_caplog_sees_application_errors_and_no_access_lines_at_level_warning(caplog):
    caplog.set_level(logging.INFO)
    with UvicornTestServer(app) as server:
        httpx.get(server.url("/"))
        httpx.get(server.url("/fail"))

    ours = [record for record in caplog.records if record.name.startswith("uvicorn")]
    assert [record.levelname for record in ours] == ["ERROR"]
    assert "out of paper" in caplog.text


def test_two_servers_do_not_see_each_others_records():
    with UvicornTestServer(app) as first, UvicornTestServer(app, log_level="info") as second:
        httpx.get(first.url("/fail?first"))
        httpx.get(second.url("/fail?second"))

    assert "out of paper" in first.logs
    assert "GET /" not in first.logs
    assert "second" in second.logs
    assert "?first" not in second.logs


def test_an_empty_context_for_each_request_does_not_lose_the_log():
    with UvicornTestServer(app, reset_contextvars=True) as server:
        httpx.get(server.url("/fail"))

    assert "out of paper" in server.logs


def test_trace_shows_messages():
    with UvicornTestServer(app, log_level="trace") as server:
        httpx.get(server.url("/"))

    assert "http.response.start" in server.logs


def test_the_log_goes_on_over_a_restart():
    with UvicornTestServer(app) as server:
        httpx.get(server.url("/fail"))
        server.restart()
        httpx.get(server.url("/fail"))

    assert str(server.logs).count("RuntimeError: out of paper") == 2
