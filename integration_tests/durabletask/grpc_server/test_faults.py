"""HTTP/2 to the letter: what a client may not send, and what ends with that (RFC 9113, section 5.4)."""

import pytest

from steprig.durabletask.grpc_server import frames
from steprig.durabletask.grpc_server.frames import ErrorCode, frame

from .serving import HEADERS, is_served, setting, window

SETTINGS, HEADERS_FRAME, DATA = frames.SETTINGS, frames.HEADERS, frames.DATA
END, END_HEADERS = frames.END_STREAM, frames.END_HEADERS


# --- What ends the connection -------------------------------------------------------------------------------

PROTOCOL, SIZE, FLOW = ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR, ErrorCode.FLOW_CONTROL_ERROR

FATAL = {
    "data on no stream": (frame(DATA, 0, 0, b"x"), PROTOCOL),
    "data on a stream that has not begun": (frame(DATA, 0, 1, b"x"), PROTOCOL),
    "headers on no stream": (frame(HEADERS_FRAME, END_HEADERS, 0), PROTOCOL),
    "headers on a stream of the server": (frame(HEADERS_FRAME, END_HEADERS, 2), PROTOCOL),
    "headers with a priority that is cut": (frame(HEADERS_FRAME, END_HEADERS | frames.HAS_PRIORITY, 1, b"ab"), SIZE),
    "a stream that depends on itself": (
        frame(HEADERS_FRAME, END_HEADERS | frames.HAS_PRIORITY, 1, b"\0\0\0\x01\x10"),
        PROTOCOL,
    ),
    "headers with too much padding": (frame(HEADERS_FRAME, END_HEADERS | frames.PADDED, 1, b"\x09x"), PROTOCOL),
    "headers padded with nothing": (frame(HEADERS_FRAME, END_HEADERS | frames.PADDED, 1), PROTOCOL),
    "headers that are interrupted": (frame(HEADERS_FRAME, 0, 1) + frame(frames.PING, 0, 0, bytes(8)), PROTOCOL),
    "headers continued on another stream": (
        frame(HEADERS_FRAME, 0, 1) + frame(frames.CONTINUATION, END_HEADERS, 3),
        PROTOCOL,
    ),
    "a continuation of nothing": (frame(frames.CONTINUATION, END_HEADERS, 1), PROTOCOL),
    "headers that are not compressed right": (
        frame(HEADERS_FRAME, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\x0f"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "headers without end": (
        frame(HEADERS_FRAME, 0, 1) + frame(frames.CONTINUATION, 0, 1, bytes(1000)) * 300,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "a priority of no stream": (frame(frames.PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    "an end of a stream that has not begun": (frame(frames.RST_STREAM, 0, 1, bytes(4)), PROTOCOL),
    "an end of a stream that is cut": (frame(frames.RST_STREAM, 0, 1, bytes(3)), SIZE),
    "settings of a stream": (frame(SETTINGS, 0, 1), PROTOCOL),
    "settings that are cut": (frame(SETTINGS, 0, 0, bytes(5)), SIZE),
    "an acknowledgement with settings": (frame(SETTINGS, frames.ACK, 0, setting(4, 1)), SIZE),
    "a window that is too large from the start": (frame(SETTINGS, 0, 0, setting(4, 2**31)), FLOW),
    "frames that are too small": (frame(SETTINGS, 0, 0, setting(5, 16_383)), PROTOCOL),
    "frames that are too large": (frame(SETTINGS, 0, 0, setting(5, 1 << 24)), PROTOCOL),
    "neither push nor no push": (frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL),
    "a promise": (frame(frames.PUSH_PROMISE, END_HEADERS, 1, bytes(4)), PROTOCOL),
    "a ping of a stream": (frame(frames.PING, 0, 1, bytes(8)), PROTOCOL),
    "a ping that is cut": (frame(frames.PING, 0, 0, bytes(7)), SIZE),
    "a farewell on a stream": (frame(frames.GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "a window that gets no larger": (frame(frames.WINDOW_UPDATE, 0, 0, window(0)), PROTOCOL),
    "a window that is cut": (frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "a window of a stream that has not begun": (frame(frames.WINDOW_UPDATE, 0, 1, window(1)), PROTOCOL),
    "a window that gets too large": (frame(frames.WINDOW_UPDATE, 0, 0, window(2**31 - 1)), FLOW),
    "a frame that is too large": ((frames.MAX_FRAME + 1).to_bytes(3, "big") + bytes(6), SIZE),
}


@pytest.mark.parametrize("name", FATAL)
def test_a_connection_ends_with(serving, raw, name):
    sent, code = FATAL[name]
    client = raw()
    client.send(sent)

    assert client.goaway() == code
    assert is_served(raw(), 1)


def test_headers_on_a_stream_that_is_closed(raw):
    client = raw()
    assert is_served(client, 5)
    client.headers(3)

    assert client.goaway() == ErrorCode.STREAM_CLOSED


def test_a_client_begins_with_settings(raw):
    client = raw(settings=None)
    client.put(frames.PING, 0, 0, bytes(8))

    assert client.goaway() == PROTOCOL


@pytest.mark.parametrize("preface", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX", b"\0"])
def test_what_is_no_http2_is_sent_away(raw, preface):
    assert raw(preface=preface, settings=None).goaway() == PROTOCOL


# --- What ends a stream -------------------------------------------------------------------------------------


def without(name):
    return [pair for pair in HEADERS if pair[0] != name]


MALFORMED = {
    "no method": without(":method"),
    "no scheme": without(":scheme"),
    "no path": without(":path"),
    "an empty path": [*without(":path"), (":path", "")][::-1],
    "a name in upper case": [*HEADERS, ("X-Upper", "1")],
    "an unknown pseudo header": [(":unknown", "1"), *HEADERS],
    "a pseudo header twice": [(":path", "/"), *HEADERS],
    "a pseudo header behind others": [*HEADERS, (":authority", "x")],
    "a header of connections": [*HEADERS, ("connection", "close")],
    "a coding of transfers": [*without("te"), ("te", "gzip")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_headers_end_the_stream_alone(raw, name):
    client = raw()
    client.headers(1, MALFORMED[name], END_HEADERS | END)

    assert client.until(frames.RST_STREAM, 1).payload == window(PROTOCOL)
    assert is_served(client, 3)


def test_data_after_the_end(serving, raw):
    client = raw()
    client.request(1, path="/test/hold")
    client.put(DATA, 0, 1, b"more")

    assert client.until(frames.RST_STREAM, 1).payload == window(ErrorCode.STREAM_CLOSED)
    assert is_served(client, 3)
    assert serving.cancelled == serving.held


def test_data_on_a_stream_that_is_over(raw):
    client = raw()
    assert is_served(client, 1)
    client.put(DATA, 0, 1, b"more")

    assert client.until(frames.RST_STREAM, 1).payload == window(ErrorCode.STREAM_CLOSED)
    assert is_served(client, 3)


def test_headers_after_the_end(raw):
    client = raw()
    client.request(1, path="/test/hold")
    client.headers(1)

    assert client.until(frames.RST_STREAM, 1).payload == window(ErrorCode.STREAM_CLOSED)
    assert is_served(client, 3)


def test_headers_amid_a_request(raw):
    client = raw()
    client.headers(1)
    client.headers(1)

    assert client.until(frames.RST_STREAM, 1).payload == window(PROTOCOL)
    assert is_served(client, 3)


@pytest.mark.parametrize(("size", "code"), [(0, PROTOCOL), (2**31 - 1, FLOW)])
def test_a_window_of_a_stream_that_cannot_be(raw, size, code):
    client = raw()
    client.request(1, path="/test/hold")
    client.put(frames.WINDOW_UPDATE, 0, 1, window(size))

    assert client.until(frames.RST_STREAM, 1).payload == window(code)
    assert is_served(client, 3)


def test_a_priority_that_is_cut(raw):
    client = raw()
    client.put(frames.PRIORITY, 0, 1, bytes(4))

    assert client.until(frames.RST_STREAM, 1).payload == window(SIZE)
