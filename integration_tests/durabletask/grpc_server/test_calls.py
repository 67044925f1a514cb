"""Calls by the real client."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from ...waiting import until
from .serving import PATIENCE

ANY_SIZE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@pytest.fixture
def channel(serving):
    with grpc.insecure_channel(f"127.0.0.1:{serving.port}", ANY_SIZE) as channel:
        yield channel


def unary(channel, name):
    return channel.unary_unary(f"/test/{name}")


@pytest.mark.parametrize("size", [0, 1, 16_378, 16_379, 16_380, 65_535, 70_000, 1 << 20, 9_000_000])
def test_messages_of_any_size_go_both_ways(channel, size):
    message = bytes(range(251)) * (size // 251 + 1)

    assert unary(channel, "echo")(message[:size], timeout=PATIENCE) == message[:size]


def test_many_calls_at_once_get_each_its_own_answer(channel):
    echo = unary(channel, "echo")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: echo(str(n).encode() * (n % 97 * 50), timeout=PATIENCE), range(2_000)))

    assert answers == [str(n).encode() * (n % 97 * 50) for n in range(2_000)]


def test_one_connection_bears_many_large_messages_at_once(channel):
    echo = unary(channel, "echo")
    messages = [bytes((n,)) * 700_000 for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda message: echo(message, timeout=PATIENCE), messages)) == messages


def test_a_stream_waits_for_a_client_that_reads_slowly(serving, channel):
    stream = channel.unary_stream("/test/count")(b"2000 20000", timeout=60)
    until(lambda: serving.was_full, "a full window")

    assert [int(message) for message in stream] == list(range(2_000))


def test_a_stream_of_small_messages_keeps_their_order(channel):
    stream = channel.unary_stream("/test/count")(b"5000 5", timeout=60)

    assert [int(message) for message in stream] == list(range(5_000))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_understood(channel, compression):
    assert unary(channel, "echo")(b"a" * 10_000, compression=compression, timeout=PATIENCE) == b"a" * 10_000


def error_of(call, message=b""):
    with pytest.raises(grpc.RpcError) as raised:
        call(message, timeout=PATIENCE)
    return raised.value.code(), raised.value.details()


def test_an_unknown_method_is_not_implemented(channel):
    assert error_of(unary(channel, "nothing")) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "there is no method /test/nothing",
    )


@pytest.mark.parametrize("message", ["plain", "100 % größer\n→ ende", "x" * 500, " "])
def test_an_error_arrives_as_it_is(channel, message):
    assert error_of(unary(channel, "fail"), message.encode()) == (grpc.StatusCode.FAILED_PRECONDITION, message)


def test_a_method_that_raises_ends_no_other_call(channel):
    assert error_of(unary(channel, "boom")) == (grpc.StatusCode.UNKNOWN, "ValueError: boom")
    assert unary(channel, "echo")(b"on", timeout=PATIENCE) == b"on"


def test_a_deadline_passes_and_the_call_is_forgotten(serving, channel):
    for seconds in (0.05, 0.5, 5):
        with pytest.raises(grpc.RpcError) as raised:
            unary(channel, "hold")(b"", timeout=seconds)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if serving.held:  # a machine that is busy may not have sent it in time
            break

    assert serving.held
    until(lambda: serving.cancelled == serving.held, "the cancellation")


def test_a_client_that_cancels_is_heard(serving, channel):
    future = unary(channel, "hold").future(b"")
    until(lambda: serving.held, "the call")
    future.cancel()

    until(lambda: serving.cancelled == serving.held, "the cancellation")
    assert unary(channel, "echo")(b"on", timeout=PATIENCE) == b"on"


def test_all_calls_of_a_client_that_is_gone_are_cancelled(serving):
    with grpc.insecure_channel(f"127.0.0.1:{serving.port}") as channel:
        futures = [unary(channel, "hold").future(b"") for _ in range(20)]
        until(lambda: len(serving.held) == 20, "the calls")

    until(lambda: len(serving.cancelled) == 20, "the cancellations")
    assert all(future.cancelled() or future.exception() for future in futures)


def test_answers_come_later_and_in_any_order(serving, channel):
    futures = [unary(channel, "hold").future(b"") for _ in range(200)]
    until(lambda: len(serving.held) == 200, "the calls")
    for number, call in reversed(list(enumerate(serving.held))):
        serving.do(call.reply, str(number).encode())

    assert sorted(int(future.result(PATIENCE)) for future in futures) == list(range(200))
    assert not serving.cancelled


def test_what_is_answered_twice_is_answered_once(serving, channel):
    future = unary(channel, "hold").future(b"")
    until(lambda: serving.held, "the call")
    serving.do(serving.held[0].reply, b"first")
    serving.do(serving.held[0].reply, b"second")
    serving.do(serving.held[0].fail, 13, "third")

    assert future.result(PATIENCE) == b"first"


def test_a_stop_lets_calls_end(serving, channel):
    future = unary(channel, "hold").future(b"")
    until(lambda: serving.held, "the call")
    stopping = threading.Thread(target=serving.stop, args=(PATIENCE,))
    stopping.start()
    until(lambda: _is_refused(serving.port), "the end of listening")
    serving.do(serving.held[0].reply, b"in time")

    assert future.result(PATIENCE) == b"in time"
    stopping.join()


def test_a_stop_ends_calls_when_their_time_is_up(serving, channel):
    future = unary(channel, "hold").future(b"")
    until(lambda: serving.held, "the call")
    serving.stop(0.01)

    assert future.exception(PATIENCE).code() is grpc.StatusCode.UNAVAILABLE
    assert serving.cancelled == serving.held


def _is_refused(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)) as channel:
        try:
            unary(channel, "echo")(b"", timeout=1)
        except grpc.RpcError:
            return True
        return False
