"""Bodies of 200 MB, both ways: they are refused, and no more of them is kept than may be taken."""

import gzip
import http.client
import json
import tracemalloc
from contextlib import contextmanager
from itertools import repeat

import pytest

from steprig.inngest.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, MIB

from ..waiting import until
from .hostile import CHUNK, Endpoint, begin, head, register
from .stage import output

COUNT = 200
"""Mebibytes, each sent as the same chunk, which costs the sender no memory."""

TOO_LARGE = "Your function's response body exceeds the maximum size limit"
IN_BETWEEN = 16 * MIB
"""What the sockets of both sides hold at most."""


@contextmanager
def memory_within(limit):
    """Whatever happens here, all of this process never holds `limit` bytes more than before."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < limit, f"{(peak - before) / MIB:.1f} MiB"


def declared(app, connection):
    app.write(connection, head(200, f"content-length: {COUNT * MIB}"))
    for chunk in repeat(CHUNK, COUNT):
        app.write(connection, chunk)


def endless(app, connection):
    app.write(connection, head(200, "transfer-encoding: chunked"))
    while True:
        app.write(connection, b"100000\r\n")
        app.write(connection, CHUNK)
        app.write(connection, b"\r\n")


def until_closed(app, connection):
    app.write(connection, head(206, "connection: close"))
    while True:
        app.write(connection, CHUNK)


def compressed(app, connection):
    body = gzip.compress(CHUNK) * COUNT
    app.write(connection, head(200, "content-encoding: gzip", f"content-length: {len(body)}") + body)


@pytest.mark.parametrize(
    ("send", "read"),
    [(declared, 0), (endless, MAX_REPLY_BYTES), (until_closed, MAX_REPLY_BYTES), (compressed, MAX_REPLY_BYTES)],
)
def test_a_reply_of_200_mb_fails_the_run_unread(one_stage, send, read):
    app = Endpoint(lambda connection, _: send(app, connection))
    with app, memory_within(3 * MAX_REPLY_BYTES):
        run = one_stage.ended(begin(one_stage, register(one_stage, app.url)))
        until(lambda: not app.connections, "the end of the connection")

    assert run.status == "failed"
    assert output(run) == {
        "error": {"error": f"output_too_large: {TOO_LARGE}", "name": "output_too_large", "message": TOO_LARGE}
    }
    assert app.written < read + IN_BETWEEN


def test_a_reply_that_is_too_large_is_tried_again(one_stage):
    app = Endpoint(lambda connection, _: declared(app, connection))
    with app:
        one_stage.ended(begin(one_stage, register(one_stage, app.url, retries=2)))

    assert [json.loads(request.partition(b"\r\n\r\n")[2])["ctx"]["attempt"] for request in app.requests] == [0, 1, 2]


# --- Requests -----------------------------------------------------------------------------------------------


def post(stage, path, *, chunked):
    """Send 200 MB. Returns the answer's status, and its body."""
    headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(COUNT * MIB)}
    connection = http.client.HTTPConnection("127.0.0.1", stage.dev.port, timeout=60)
    try:
        connection.request("POST", path, repeat(CHUNK, COUNT), headers, encode_chunked=chunked)
        response = connection.getresponse()
        return response.status, json.load(response)
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_an_event_of_200_mb_is_refused(one_stage, chunked):
    with memory_within(MAX_REQUEST_BYTES + IN_BETWEEN if chunked else IN_BETWEEN):
        status, answer = post(one_stage, "/e/key", chunked=chunked)

    assert (status, answer["ids"], answer["status"]) == (400, [""], 400)
    assert answer["error"] == f"Request body is over the max size: Max {MAX_REQUEST_BYTES} bytes"


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
@pytest.mark.parametrize(
    "path", ["/fn/register", "/v0/gql", "/v0/connect/flush", "/invoke/some-fn", "/v1/checkpoint/1/async"]
)
def test_a_body_of_200_mb_is_refused_everywhere(one_stage, path, chunked):
    with memory_within(MAX_REQUEST_BYTES + IN_BETWEEN if chunked else IN_BETWEEN):
        status, answer = post(one_stage, path, chunked=chunked)

    assert (status, answer["status"]) == (413, 413)
    assert str(MAX_REQUEST_BYTES) in answer["error"]


def test_a_body_that_is_as_large_as_allowed_is_taken(one_stage):
    event = b'{"name":"test/large","data":{}}'
    padded = event + b" " * (MAX_REQUEST_BYTES - len(event))

    assert one_stage.http.post("/e/key", content=padded).status_code == 200
    assert one_stage.http.post("/e/key", content=padded + b" ").status_code == 400
