"""HTTP/2 to the letter: what a client may send (RFC 9113), and what is no call."""

import pytest

from steprig.durabletask.grpc_server import frames
from steprig.durabletask.grpc_server.frames import frame

from .serving import HEADERS, framed, is_served, setting, window

SETTINGS, HEADERS_FRAME, DATA = frames.SETTINGS, frames.HEADERS, frames.DATA
END, END_HEADERS = frames.END_STREAM, frames.END_HEADERS


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
