"""The parts of the gRPC server, each alone."""

import asyncio

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from steprig.durabletask.grpc_server import Call, frames, headers
from steprig.durabletask.grpc_server.connection import Connection
from steprig.durabletask.grpc_server.frames import PREFACE, ConnectionFaultError, Frame, FrameReader, frame
from steprig.durabletask.grpc_server.sending import Sender

FRAMES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=40)))


@given(FRAMES, st.lists(st.integers(1, 30), min_size=1))
def test_frames_are_the_same_however_they_come(sent, sizes):
    data = PREFACE + b"".join(frame(*each) for each in sent)
    reader, got, at, turn = FrameReader(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        got += reader.feed(data[at : at + size])
        at, turn = at + size, turn + 1

    assert got == [Frame(*each) for each in sent]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.1", b"\0"])
def test_what_is_no_http2_is_told_from_its_first_bytes(data):
    with pytest.raises(ConnectionFaultError):
        list(FrameReader().feed(data))


@given(st.text("abc-", min_size=1, max_size=300), st.binary(max_size=20_000))
def test_headers_are_read_as_they_were_written(name, value):
    assert Decoder().decode(headers.literal(name.encode(), value), raw=True) == [(name.encode(), value)]


def test_the_headers_of_answers():
    assert Decoder().decode(headers.RESPONSE) == [(":status", "200"), ("content-type", "application/grpc")]
    assert Decoder().decode(headers.OK) == [("grpc-status", "0")]
    assert Decoder().decode(headers.no_grpc(415)) == [(":status", "415")]
    assert dict(Decoder().decode(headers.refusal(5, "50 % of ü"))) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "5",
        "grpc-message": "50 %25 of %C3%BC",
    }


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and a loop that runs what is due when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = FrameReader()
        self.got: list[Frame] = list(self.reader.feed(PREFACE))
        self.due: list = []

    def write(self, data: bytes) -> None:
        self.got += self.reader.feed(data)

    def call_soon(self, callback) -> None:
        self.due.append(callback)

    def run(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


class Stream:
    """A stream that sends."""

    is_over = False

    def __init__(self, number: int, window: int) -> None:
        self.number = number
        self.window = window
        self.sent = b""
        self.times_drained = 0

    def drained(self) -> None:
        self.times_drained += 1


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 2), st.integers(0, 40_000)),
        st.tuples(st.just("open stream"), st.integers(0, 2), st.integers(-20_000, 50_000)),
        st.tuples(st.just("open connection"), st.just(0), st.integers(1, 60_000)),
        st.tuples(st.just("frames"), st.just(0), st.integers(16_384, 40_000)),
        st.tuples(st.just("run"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(MOVES)
def test_no_window_is_overdrawn_and_nothing_is_lost_or_overtaken(moves):
    wire = Wire()
    sender = Sender(wire, wire)
    streams = [Stream(number, 10_000) for number in (1, 3, 5)]
    windows = {stream.number: 10_000 for stream in streams}
    connection, largest, checked, value = 65_535, 16_384, 0, 0

    def check() -> None:
        nonlocal connection, checked
        for got in wire.got[checked:]:
            assert len(got.payload) <= largest
            assert len(got.payload) <= connection
            assert not got.payload or len(got.payload) <= windows[got.stream]
            connection -= len(got.payload)
            windows[got.stream] -= len(got.payload)
        checked = len(wire.got)

    for move, which, number in moves:
        stream = streams[which]
        if move == "send":
            value += 1
            data = bytes((value,)) * number
            stream.sent += data
            sender.send(stream, data)
        elif move == "open stream":
            windows[stream.number] += number
            sender.open_stream(stream, number)
        elif move == "open connection":
            connection += number
            sender.open_connection(number)
        elif move == "frames":
            largest = max(largest, number)
            sender.limit_frames(number)
        wire.run()
        check()
    sender.open_connection(10_000_000)
    for stream in streams:
        sender.open_stream(stream, 10_000_000)
    wire.run()

    assert not any(sender.is_waiting(stream) for stream in streams)
    for stream in streams:
        assert b"".join(got.payload for got in wire.got if got.stream == stream.number) == stream.sent


def test_a_stream_is_told_once_all_is_on_its_way():
    wire = Wire()
    sender, stream = Sender(wire, wire), Stream(1, 10)
    sender.send(stream, b"a" * 25)
    assert stream.times_drained == 0
    sender.open_stream(stream, 10)
    assert stream.times_drained == 0
    sender.open_stream(stream, 10)

    assert stream.times_drained == 1


def test_a_stream_is_told_nothing_when_nothing_had_to_wait():
    wire = Wire()
    sender, stream = Sender(wire, wire), Stream(1, 60_000)
    sender.send(stream, b"a" * 50_000)  # in several frames

    assert not sender.is_waiting(stream)
    assert stream.times_drained == 0


def test_what_a_stream_sends_does_not_overtake_what_it_has_waiting():
    wire = Wire()
    sender, first, second = Sender(wire, wire), Stream(1, 100_000), Stream(3, 100_000)
    sender.send(first, b"a" * 65_540)
    sender.send(second, b"b" * 10)
    first.drained = lambda: sender.send(second, b"c" * 10)
    sender.open_connection(1_000)
    wire.run()

    assert b"".join(got.payload for got in wire.got if got.stream == second.number) == b"b" * 10 + b"c" * 10


def test_what_comes_together_goes_out_in_one_write():
    wire = Wire()
    writes = []
    wire.write = writes.append
    sender, stream = Sender(wire, wire), Stream(1, 10_000)
    for _ in range(3):
        sender.send(stream, b"abc")
    sender.put(frame(frames.PING, 0, 0, bytes(8)))
    assert not writes
    wire.run()

    assert len(writes) == 1
    assert len(list(FrameReader().feed(PREFACE + writes[0]))) == 4


def test_what_is_put_while_it_is_held_waits_for_the_flush_and_for_nothing_else():
    wire = Wire()
    sender, ping = Sender(wire, wire), frame(frames.PING, 0, 0, bytes(8))
    sender.hold()
    sender.put(ping)
    assert not wire.due
    assert not wire.got
    sender.flush()
    assert len(wire.got) == 1

    sender.put(ping)
    wire.run()
    assert len(wire.got) == 2


class Owner:
    """What a connection belongs to, that keeps its calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def find(self, path: str):
        return lambda call, message: self.calls.append(call)

    def opened(self, connection: Connection) -> None:
        pass

    closed = opened


def request(encoder: Encoder, stream: int) -> bytes:
    names = [":method", ":scheme", ":path", "te", "content-type"]
    head = encoder.encode(zip(names, ["POST", "http", "/a", "trailers", "application/grpc"], strict=True))
    return frame(frames.HEADERS, frames.END_HEADERS, stream, head) + frame(
        frames.DATA, frames.END_STREAM, stream, bytes(5)
    )


def test_calls_that_may_send_again_are_told_once_the_client_reads_again():
    async def body() -> None:
        owner, encoder = Owner(), Encoder()
        connection = Connection(owner)
        connection.connection_made(Wire())
        small = b"\0\x04" + (10).to_bytes(4, "big")
        connection.data_received(PREFACE + frame(frames.SETTINGS, 0, 0, small))
        for stream in (1, 3):
            connection.data_received(request(encoder, stream))
        told = []
        for call in owner.calls:
            call.on_ready = lambda call=call: told.append(call.number)
        owner.calls[0].send(b"more than its window takes")

        connection.pause_writing()
        assert not owner.calls[1].is_ready
        connection.resume_writing()
        assert owner.calls[1].is_ready
        assert told == [3]

    asyncio.run(body())
