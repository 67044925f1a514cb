"""HTTP/2 to the letter: what a client may send, and what it may not (RFC 9113)."""

import pytest

from steprig.durabletask.grpc_server import connection, frames
from steprig.durabletask.grpc_server.frames import ErrorCode, frame

from ...waiting import until
from .serving import HEADERS, framed

SETTINGS, HEADERS_FRAME, DATA = frames.SETTINGS, frames.HEADERS, frames.DATA
END, END_HEADERS = frames.END_STREAM, frames.END_HEADERS


def setting(number, value):
    return number.to_bytes(2, "big") + value.to_bytes(4, "big")


def window(size):
    return size.to_bytes(4, "big")


def is_served(client, stream):
    client.request(stream, b"still there")
    return client.answer(stream) == (framed(b"still there"), {"grpc-status": "0"})


# --- What a client may do ---------------------------------------------------------------------------------


def test_a_plain_request(raw):
    assert is_served(raw(), 1)


def test_one_byte_at_a_time(raw):
    client = raw(preface=b"", settings=None)
    whole = frames.PREFACE + frame(SETTINGS, 0, 0)
    whole += frame(HEADERS_FRAME, END_HEADERS, 1, client.encoder.encode(HEADERS))
    whole += frame(DATA, END, 1, framed(b"slow"))
    for byte in whole:
        client.send(bytes((byte,)))

    assert client.answer(1)[0] == framed(b"slow")


def test_a_message_in_pieces_with_padding(raw):
    client = raw()
    client.headers(1)
    for byte in framed(b"pieces"):
        client.put(DATA, frames.PADDED, 1, b"\x03" + bytes((byte,)) + b"\0\0\0")
    client.put(DATA, END, 1)

    assert client.answer(1)[0] == framed(b"pieces")


def test_headers_with_padding_priority_and_continuations(raw):
    client = raw()
    block = client.encoder.encode(HEADERS)
    first = b"\x02" + b"\0\0\0\0\x10" + block[:5] + b"\0\0"
    client.put(HEADERS_FRAME, frames.PADDED | frames.HAS_PRIORITY, 1, first)
    client.put(frames.CONTINUATION, 0, 1, block[5:10])
    client.put(frames.CONTINUATION, END_HEADERS, 1, block[10:])
    client.put(DATA, END, 1, framed(b"odd"))

    assert client.answer(1)[0] == framed(b"odd")


def test_a_request_may_end_with_trailers(raw):
    client = raw()
    client.headers(1)
    client.put(DATA, 0, 1, framed(b"body"))
    client.headers(1, [("checksum", "7")], END_HEADERS | END)

    assert client.answer(1)[0] == framed(b"body")


def test_what_is_unknown_is_passed_over(raw):
    client = raw(settings=setting(0xFE03, 1) + setting(3, 100))
    client.put(0x42, 0xFF, 7, b"?")
    client.put(frames.PRIORITY, 0, 9, b"\0\0\0\0\x10")
    client.put(frames.GOAWAY, 0, 0, bytes(8))

    assert is_served(client, 1)


def test_a_ping_comes_back(raw):
    client = raw()
    client.put(frames.PING, 0, 0, b"12345678")

    got = client.until(frames.PING)
    assert (got.flags, got.payload) == (frames.ACK, b"12345678")


def test_an_answered_ping_is_not_answered(raw):
    client = raw()
    client.until(SETTINGS)
    client.until(SETTINGS)
    client.put(frames.PING, frames.ACK, 0, bytes(8))

    assert client.is_quiet()


def test_settings_are_acknowledged_and_the_windows_are_wide(raw):
    client = raw()

    ours = client.until(SETTINGS)
    assert setting(4, 2**31 - 1) in ours.payload
    assert client.until(frames.WINDOW_UPDATE, 0).payload == window(2**31 - 1 - 65_535)
    acknowledged = client.until(SETTINGS)
    assert (acknowledged.flags, acknowledged.payload) == (frames.ACK, b"")


def test_a_stream_that_was_reset_is_forgotten(serving, raw):
    client = raw()
    client.request(1, path="/test/hold")
    client.put(frames.RST_STREAM, 0, 1, window(8))
    client.put(frames.RST_STREAM, 0, 1, window(8))
    client.put(frames.WINDOW_UPDATE, 0, 1, window(5))

    assert is_served(client, 3)
    assert serving.cancelled == serving.held


@pytest.mark.parametrize(("method", "last"), [("POST", {"grpc-status": "0"}), ("GET", {":status": "405"})])
def test_a_client_may_keep_no_table_of_headers(raw, method, last):
    client = raw(settings=setting(1, 0))
    client._decoder.max_allowed_table_size = 0  # it refuses headers that do not say that they need none
    client.headers(1, [(":method", method), *HEADERS[1:]])
    client.put(DATA, END, 1, framed(b"hi"))

    assert client.answer(1)[1] == last


# --- Windows ------------------------------------------------------------------------------------------------


def test_no_more_is_sent_than_a_streams_window_takes(raw):
    client = raw(settings=setting(4, 10))
    client.request(1, b"a" * 20)

    assert client.until(DATA, 1).payload == framed(b"a" * 20)[:10]
    assert client.is_quiet()
    client.put(frames.WINDOW_UPDATE, 0, 1, window(7))
    assert len(client.until(DATA, 1).payload) == 7
    assert client.is_quiet()
    client.put(frames.WINDOW_UPDATE, 0, 1, window(100))
    assert client.answer(1) == (b"a" * 8, {"grpc-status": "0"})


def test_no_more_is_sent_than_the_connections_window_takes(raw):
    client = raw(settings=setting(4, 1 << 20))
    client.request(1, b"a" * 65_000)
    client.request(3, b"b" * 65_000)
    first, _ = client.answer(1)
    sent = len(first)
    while sent < 65_535:
        sent += len(client.until(DATA, 3).payload)
    assert sent == 65_535
    assert client.is_quiet()
    client.put(frames.WINDOW_UPDATE, 0, 0, window(1 << 20))

    body, _ = client.answer(3)
    assert sent + len(body) == 2 * 65_005


def test_small_answers_count_for_the_connections_window_too(raw):
    client = raw(settings=setting(4, 1 << 20))
    for stream in range(1, 15, 2):
        client.request(stream, b"a" * 10_000)
    for stream in range(1, 13, 2):
        assert len(client.answer(stream)[0]) == 10_005

    assert len(client.until(DATA, 13).payload) == 65_535 - 6 * 10_005
    assert client.is_quiet()


def test_a_window_may_become_smaller_than_what_was_sent(raw):
    client = raw(settings=setting(4, 10))
    client.request(1, b"a" * 20)
    client.until(DATA, 1)
    client.put(SETTINGS, 0, 0, setting(4, 4))
    client.put(frames.WINDOW_UPDATE, 0, 1, window(6))  # it stands at 0 again
    client.until(SETTINGS)

    assert client.is_quiet()
    client.put(SETTINGS, 0, 0, setting(4, 100))
    assert client.answer(1)[0] == b"a" * 15


def test_frames_are_no_larger_than_the_client_takes(raw):
    client = raw(settings=setting(4, 1 << 20))
    client.request(1, b"a" * 40_000)
    assert [len(client.until(DATA, 1).payload) for _ in range(3)] == [16_384, 16_384, 40_005 - 2 * 16_384]

    client.put(SETTINGS, 0, 0, setting(5, 20_000))
    client.request(3, b"a" * 22_000)
    assert [len(client.until(DATA, 3).payload) for _ in range(2)] == [20_000, 2_005]


def test_the_clients_window_is_opened_again(raw, monkeypatch):
    monkeypatch.setattr(connection, "_WINDOW", 20_000)
    client = raw()
    client.until(frames.WINDOW_UPDATE, 0)
    client.headers(1)
    for _ in range(3):
        client.put(DATA, 0, 1, bytes(6_000))

    assert client.until(frames.WINDOW_UPDATE, 0).payload == window(12_000)


def test_a_stream_that_waits_does_not_hold_up_another(raw):
    client = raw(settings=setting(4, 0))
    client.request(1, b"a" * 20)
    client.request(3, b"b")
    client.put(frames.WINDOW_UPDATE, 0, 3, window(100))

    assert client.answer(3)[0] == framed(b"b")


def test_a_stream_that_waits_may_be_reset(serving, raw):
    client = raw(settings=setting(4, 0))
    client.request(1, b"a" * 20)
    client.put(frames.RST_STREAM, 0, 1, window(8))
    client.put(SETTINGS, 0, 0, setting(4, 100))

    assert is_served(client, 3)


def test_nothing_more_of_a_stream_that_was_reset_is_sent_when_the_connections_window_opens(raw):
    client = raw(settings=setting(4, 1 << 20))
    client.request(1, b"a" * 70_000)
    sent = 0
    while sent < 65_535:
        sent += len(client.until(DATA, 1).payload)
    client.put(frames.RST_STREAM, 0, 1, window(8))
    client.put(frames.WINDOW_UPDATE, 0, 0, window(1 << 20))

    assert client.is_quiet()
    assert is_served(client, 3)


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


def go_away(serving):
    for each in serving.do(lambda: list(serving._server._connections)):
        serving.do(each.go_away)


def farewell(client):
    """The last stream that the server says it takes, and why it ends the connection."""
    payload = client.until(frames.GOAWAY).payload
    return int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")


def test_a_farewell_is_said_twice_and_the_second_time_when_the_client_has_heard_the_first(serving, raw):
    client = raw()
    assert is_served(client, 1)
    go_away(serving)
    go_away(serving)

    assert farewell(client) == (2**31 - 1, ErrorCode.NO_ERROR)
    ping = client.until(frames.PING)
    assert ping.flags == 0
    client.request(3, b"on its way")
    assert client.answer(3) == (framed(b"on its way"), {"grpc-status": "0"})
    client.put(frames.PING, frames.ACK, 0, ping.payload)
    assert farewell(client) == (3, ErrorCode.NO_ERROR)
    assert client.next() is None


@pytest.fixture
def lingering(serving, raw):
    """A client that knows that the server takes no new calls, and has one that goes on."""
    client = raw()
    client.request(1, path="/test/hold")
    until(lambda: serving.held, "the call")
    go_away(serving)
    client.put(frames.PING, frames.ACK, 0, client.until(frames.PING).payload)
    return client


def test_a_call_outlives_the_farewell_and_a_later_one_is_refused(serving, lingering):
    client = lingering
    client.request(3)

    assert client.until(frames.RST_STREAM, 3).payload == window(ErrorCode.REFUSED_STREAM)
    serving.do(serving.held[0].reply, b"late")
    assert client.answer(1) == (framed(b"late"), {"grpc-status": "0"})
    assert client.next() is None


def test_a_connection_ends_with_the_last_call_that_is_cancelled(lingering):
    assert farewell(lingering)[0] == 1
    lingering.put(frames.RST_STREAM, 0, 1, window(ErrorCode.CANCEL))

    assert lingering.next() is None


# --- What is no call ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [(":method", "GET", "405"), ("content-type", "application/json", "415"), ("content-type", None, "415")],
)
def test_what_is_no_call_of_grpc(raw, name, value, status):
    client = raw()
    headers = [(key, value if key == name else old) for key, old in HEADERS if key != name or value is not None]
    client.headers(1, headers, END_HEADERS | END)

    assert client.answer(1) == (b"", {":status": status})


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"", "identity", "12"),
        (b"\0\0", "identity", "13"),
        (framed(b"hi") + b"x", "identity", "13"),
        (framed(b"hi")[:-1], "identity", "13"),
        (framed(b"a") * 2, "identity", "13"),
        (framed(b"hi", flag=1), "identity", "12"),
        (framed(b"hi", flag=1), "snappy", "12"),
        (framed(b"hi", flag=1), "gzip", "13"),
    ],
)
def test_a_body_that_is_not_one_message(raw, body, encoding, status):
    client = raw()
    client.headers(1, [*HEADERS, ("grpc-encoding", encoding)])
    client.put(DATA, END, 1, body)

    assert client.answer(1)[1]["grpc-status"] == status
    assert is_served(client, 3)
