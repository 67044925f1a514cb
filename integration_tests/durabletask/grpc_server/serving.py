"""A server with methods for tests, and a client that speaks HTTP/2 as badly as it is told to."""

import asyncio
import gc
import socket
import threading
from collections.abc import Iterable

from hpack import Decoder, Encoder

from steprig.durabletask.grpc_server import Call, GrpcServer, frames
from steprig.durabletask.grpc_server.frames import PREFACE, Frame, FrameReader, frame
from steprig.live.sockets import listen

PATIENCE = 20.0
"""Real seconds for what takes milliseconds."""

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test/echo"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


class Serving:
    """A server on a thread of its own."""

    def __init__(self) -> None:
        self.held: list[Call] = []
        self.cancelled: list[Call] = []
        self.was_full = False
        methods = {f"/test/{name}": getattr(self, name) for name in ("echo", "hold", "count", "fail", "boom")}
        self._server = GrpcServer(methods)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._socket = listen("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.run(self._server.listen(self._socket))

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def do(self, function, *arguments):
        async def call():
            return function(*arguments)

        return self.run(call())

    def stop(self, grace: float = 0.0) -> None:
        self.run(self._server.stop(grace))

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        gc.collect()  # so that a warning of what was left open is this test's

    # --- Methods --------------------------------------------------------------------------------------

    def echo(self, call: Call, message: bytes) -> None:
        call.reply(message)

    def hold(self, call: Call, message: bytes) -> None:
        call.on_cancel = lambda: self.cancelled.append(call)
        self.held.append(call)

    def count(self, call: Call, message: bytes) -> None:
        """Send so many messages, of so many bytes each, as the client takes them."""
        number, size = map(int, message.split())
        left = iter(range(number))

        def go_on() -> None:
            for _ in range(16):
                if not call.is_ready:
                    self.was_full = True
                    return
                value = next(left, None)
                if value is None:
                    call.on_ready = None
                    call.end()
                    return
                call.send(str(value).encode().rjust(size))
            self.loop.call_soon(go_on)  # what was sent is written meanwhile

        call.on_ready = go_on
        call.begin()
        go_on()

    def fail(self, call: Call, message: bytes) -> None:
        call.fail(9, message.decode())

    def boom(self, call: Call, message: bytes) -> None:
        raise ValueError("boom")


class RawClient:
    """A connection whose frames are made by hand."""

    def __init__(self, port: int, preface: bytes = PREFACE, settings: bytes | None = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.encoder, self._decoder = Encoder(), Decoder()
        self._reader = FrameReader()
        self._reader._has_begun = True  # a server has no preface
        self._frames: list[Frame] = []
        self.send(preface)
        if settings is not None:
            self.put(frames.SETTINGS, 0, 0, settings)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def put(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        self.send(frame(kind, flags, stream, payload))

    def headers(self, stream: int, headers: Iterable[tuple[str, str]] = HEADERS, flags: int = 0x4) -> None:
        self.put(frames.HEADERS, flags, stream, self.encoder.encode(headers))

    def request(self, stream: int, message: bytes = b"hi", path: str = "/test/echo") -> None:
        self.headers(stream, [(name, path if name == ":path" else value) for name, value in HEADERS])
        self.put(frames.DATA, frames.END_STREAM, stream, framed(message))

    def next(self) -> Frame | None:
        """The next frame; None at the end of the connection."""
        while not self._frames:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def until(self, kind: int, stream: int | None = None) -> Frame:
        """The next frame of a kind, and of a stream; the others are passed over."""
        while (got := self.next()) is not None:
            if got.kind == kind and stream in (None, got.stream):
                return got
        raise AssertionError(f"the connection was closed before a frame of type {kind}")

    def decoded(self, got: Frame) -> dict[str, str]:
        return dict(self._decoder.decode(got.payload))

    def answer(self, stream: int) -> tuple[bytes, dict[str, str]]:
        """The body of an answer, and its last headers."""
        body, last = b"", {}
        while (got := self.next()) is not None:
            assert got.kind != frames.GOAWAY, got
            assert got.kind != frames.RST_STREAM or got.stream != stream, got
            if got.stream == stream and got.kind == frames.DATA:
                body += got.payload
            elif got.stream == stream and got.kind == frames.HEADERS:
                last = self.decoded(got)
                if got.flags & frames.END_STREAM:
                    return body, last
        raise AssertionError("the connection was closed before the answer was complete")

    def goaway(self) -> int:
        """The code with which the server ends the connection."""
        while (got := self.next()) is not None:
            if got.kind == frames.GOAWAY:
                code = int.from_bytes(got.payload[4:8], "big")
                assert self.next() is None
                return code
        raise AssertionError("the connection was closed without a word")

    def is_quiet(self) -> bool:
        """Whether nothing but what answers a ping is sent before that."""
        self.put(frames.PING, 0, 0, b"is quiet")
        got = self.next()
        return got is not None and got.kind == frames.PING and got.payload == b"is quiet"

    def close(self) -> None:
        self.socket.close()


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def setting(number: int, value: int) -> bytes:
    """A setting, as it is in a frame of them."""
    return number.to_bytes(2, "big") + value.to_bytes(4, "big")


def window(size: int) -> bytes:
    """The payload of a frame that opens a window, or says why a stream ends."""
    return size.to_bytes(4, "big")


def is_served(client: RawClient, stream: int) -> bool:
    """Whether a call is answered as it should be."""
    client.request(stream, b"still there")
    return client.answer(stream) == (framed(b"still there"), {"grpc-status": "0"})
