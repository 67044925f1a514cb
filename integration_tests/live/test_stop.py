"""What a stop does to requests, streams and connections."""

import asyncio
import contextlib
import socket
import threading
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from steprig.live import UvicornTestServer
from steprig.live.deadline import Deadline

GRACE = 0.5


def serve(*routes, lifespan=None, **options):
    app = Starlette(routes=list(routes), lifespan=contextlib.asynccontextmanager(lifespan) if lifespan else None)
    return UvicornTestServer(app, shutdown_timeout=options.pop("shutdown_timeout", GRACE), **options)


def stop_takes(server):
    begun = time.monotonic()
    server.stop()
    return time.monotonic() - begun


def send_raw(server, text):
    client = socket.create_connection((server.host, server.port), timeout=5)
    client.sendall(text.replace("\n", "\r\n").encode())
    return client


def test_a_running_request_finishes(gate, in_background):
    async def slow(request):
        await gate.hold(0.1)
        return PlainTextResponse("done")

    server = serve(Route("/", slow)).start()
    response = in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)

    assert stop_takes(server) < GRACE
    assert response.result(5).text == "done"


def test_a_request_that_outlasts_the_grace_is_cancelled_and_answered(gate, in_background, caplog):
    async def endless(request):
        await gate.hold()

    server = serve(Route("/work", endless)).start()
    response = in_background(httpx.get, server.url("/work"))
    assert gate.entered.wait(5)

    assert stop_takes(server) < GRACE + 0.3
    assert gate.cancelled.is_set()
    assert response.result(5).status_code == 503
    assert "Cancelled at shutdown: GET /work" in server.logs
    assert "Traceback" not in server.logs


def test_a_background_task_finishes(gate):
    done = threading.Event()

    async def work():
        gate.entered.set()
        await asyncio.sleep(0.1)
        done.set()

    async def home(request):
        return PlainTextResponse("hi", background=BackgroundTask(work))

    server = serve(Route("/", home)).start()
    httpx.get(server.url("/"))
    assert gate.entered.wait(5)
    server.stop()

    assert done.is_set()


def test_an_idle_kept_alive_connection_does_not_hold_the_stop():
    async def home(request):
        return PlainTextResponse("hi")

    server = serve(Route("/", home), shutdown_timeout=5).start()
    with httpx.Client() as client:
        client.get(server.url("/"))
        assert stop_takes(server) < 0.5


def test_an_endless_event_stream_does_not_hold_the_stop(in_background, gate):
    async def events():
        while True:
            yield "data: tick\n\n"
            await gate.hold(0.01)

    async def stream(request):
        return StreamingResponse(events(), media_type="text/event-stream")

    server = serve(Route("/", stream), shutdown_timeout=5).start()

    def read():
        with contextlib.suppress(httpx.HTTPError), httpx.stream("GET", server.url("/")) as response:
            for _ in response.iter_lines():
                pass

    reading = in_background(read)
    assert gate.entered.wait(5)

    assert stop_takes(server) < 1
    reading.result(5)
    assert not server.logs


def test_streams_are_cut_though_their_time_runs_out_between_two_looks_at_the_clock(in_background, gate, monkeypatch):
    class RunsOutAfterTheFirstLook(Deadline):
        looks = 0

        @property
        def passed(self):
            type(self).looks += 1
            return self.looks > 1

    async def events():
        yield "data: tick\n\n"
        await gate.hold()

    async def stream(request):
        return StreamingResponse(events(), media_type="text/event-stream")

    server = serve(Route("/", stream), shutdown_timeout=5).start()
    reading = in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)
    monkeypatch.setattr("steprig.live.serving.Deadline.after", RunsOutAfterTheFirstLook.after)
    server._life.server.stop(Deadline(time.monotonic() + 5))

    assert stop_takes(server) < 2
    assert isinstance(reading.exception(5), httpx.HTTPError)


def test_a_short_event_stream_may_finish(in_background, gate):
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"
            await gate.hold(0.02)

    async def stream(request):
        return StreamingResponse(events(), media_type="text/event-stream")

    server = serve(Route("/", stream), shutdown_timeout=5).start()
    response = in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)
    server.stop()

    assert response.result(5).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_an_endless_stream_of_another_kind_is_cut_at_the_grace(in_background, gate):
    async def numbers():
        while True:
            yield "1\n"
            await gate.hold(0.01)

    async def stream(request):
        return StreamingResponse(numbers(), media_type="application/x-ndjson")

    server = serve(Route("/", stream)).start()
    response = in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)

    assert stop_takes(server) < GRACE + 0.3
    assert isinstance(response.exception(5), httpx.HTTPError)


def test_a_websocket_is_told_and_does_not_hold_the_stop():
    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    server = serve(WebSocketRoute("/ws", echo), shutdown_timeout=5).start()
    with connect(server.ws_url + "/ws") as client:
        client.send("hi")
        assert client.recv(5) == "hi"

        assert stop_takes(server) < 0.5
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(5)
    assert closed.value.rcvd.code == 1012
    assert not server.logs


def test_a_websocket_that_only_sends_is_cut(gate):
    async def shout(websocket):
        await websocket.accept()
        while True:
            with contextlib.suppress(Exception):
                await websocket.send_text("!")
            await gate.hold(0.01)

    server = serve(WebSocketRoute("/ws", shout), shutdown_timeout=5).start()
    with connect(server.ws_url + "/ws"):
        assert gate.entered.wait(5)

        assert stop_takes(server) < 1
    assert gate.cancelled.is_set()
    assert not server.logs


def test_a_client_that_does_not_read_does_not_hold_the_stop_beyond_the_grace(gate):
    async def flood():
        while True:
            gate.entered.set()
            yield b"x" * 1_000_000

    async def stream(request):
        return StreamingResponse(flood())

    server = serve(Route("/", stream)).start()
    with send_raw(server, "GET / HTTP/1.1\nhost: x\n\n"):
        assert gate.entered.wait(5)

        assert stop_takes(server) < GRACE + 0.3


def test_half_an_upload_does_not_hold_the_stop_beyond_the_grace(gate):
    async def receive(request):
        gate.entered.set()
        await request.body()
        return PlainTextResponse("never")

    server = serve(Route("/", receive, methods=["POST"])).start()
    with send_raw(server, "POST / HTTP/1.1\nhost: x\ncontent-length: 1000\n\nhalf") as client:
        assert gate.entered.wait(5)

        assert stop_takes(server) < GRACE + 0.3
        assert client.recv(1000).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize("text", ["", "GET / HT"])
def test_a_silent_or_halting_client_does_not_hold_the_stop(text, until):
    server = serve(shutdown_timeout=5).start()
    with send_raw(server, text):
        assert stop_takes(server) < 0.5


def test_stop_before_start_and_after_stop_does_nothing():
    server = serve()
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_new_connections_are_refused_after_the_stop():
    server = serve().start()
    server.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=1)


def test_new_connections_are_refused_while_requests_finish(gate, in_background, until):
    async def slow(request):
        await gate.hold(0.3)
        return PlainTextResponse("done")

    server = serve(Route("/", slow), shutdown_timeout=5).start()
    response = in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)
    stopping = in_background(server.stop)

    def is_refused():
        try:
            socket.create_connection((server.host, server.port), timeout=1).close()
        except ConnectionError:
            return True
        return False

    assert until(is_refused, seconds=0.25)
    assert response.result(5).text == "done"
    stopping.result(5)


def test_uvicorns_own_grace_is_kept_if_it_is_shorter(gate, in_background):
    async def endless(request):
        await gate.hold()

    server = serve(Route("/", endless), shutdown_timeout=5, timeout_graceful_shutdown=0).start()
    response = in_background(httpx.get, server.url("/"))
    assert gate.entered.wait(5)

    assert stop_takes(server) < 1
    assert response.result(5).status_code == 503


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_connection_that_comes_at_the_moment_of_the_stop_is_closed_with_the_others(loop):
    for number in range(100):
        server = serve(loop=loop).start()
        stopping = threading.Thread(target=server.stop)
        clients = []
        stopping.start()
        with contextlib.suppress(ConnectionError):
            clients.extend(socket.create_connection((server.host, server.port)) for _ in range(1 + number % 5))
        stopping.join(10)
        assert not stopping.is_alive()
        for client in clients:
            client.settimeout(5)
            with contextlib.suppress(ConnectionError):
                client.sendall(b"G")  # or one that was never accepted would not notice
                assert client.recv(1) == b""
            client.close()
