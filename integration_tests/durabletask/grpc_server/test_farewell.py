"""HTTP/2 to the letter: how a server has its clients leave (RFC 9113, section 6.8)."""

import pytest

from steprig.durabletask.grpc_server import frames
from steprig.durabletask.grpc_server.frames import ErrorCode

from ...waiting import until
from .serving import framed, is_served, window


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
