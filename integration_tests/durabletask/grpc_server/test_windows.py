"""HTTP/2 to the letter: how much is sent before the client takes more (RFC 9113, section 5.2)."""

from steprig.durabletask.grpc_server import connection, frames

from ...waiting import until
from .serving import framed, is_served, setting, window

SETTINGS, DATA = frames.SETTINGS, frames.DATA


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


def test_the_clients_window_is_opened_again_by_what_was_read_since(raw, monkeypatch):
    monkeypatch.setattr(connection, "_WINDOW", 20_000)
    client = raw()
    client.until(frames.WINDOW_UPDATE, 0)
    client.headers(1)
    for _ in range(4):
        client.put(DATA, 0, 1, bytes(6_000))

    assert [client.until(frames.WINDOW_UPDATE, 0).payload for _ in range(2)] == [window(12_000)] * 2


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


def test_a_client_that_does_not_read_is_not_written_to_until_it_does(serving, raw):
    client = raw(settings=setting(4, 2**31 - 1))
    client.put(frames.WINDOW_UPDATE, 0, 0, window(2**31 - 1 - 65_535))
    client.request(1, b"200 100000", path="/test/count")
    until(lambda: serving.was_full, "that the buffers between the two are full")

    left = 200 * 100_005
    while left > 0:
        left -= len(client.until(DATA, 1).payload)
    assert client.answer(1) == (b"", {"grpc-status": "0"})
