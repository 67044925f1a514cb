"""Realtime channels: the SDK publishes and gets tokens, clients subscribe."""

import json
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from inngest.experimental.realtime import get_subscription_token_sync, publish, publish_sync
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from steprig.inngest.dev_server import DevServer
from steprig.inngest.realtime import Tokens, Topic
from steprig.inngest.tokens import Signer, TokenError
from steprig.kernel import VirtualClock

from ..waiting import until
from .stacks import STACKS
from .stage import PATIENCE, Stage, output


def token(stage, channel="orders", topics=("paid",)):
    return get_subscription_token_sync(stage.client, channel, list(topics))["key"]


@pytest.fixture
def signed_stage():
    """An app and a dev server that know a signing key."""
    key = "signkey-test-12345678"
    with VirtualClock() as clock, DevServer(clock=clock, kind="cloud", signing_key=key) as dev:
        stage = Stage(STACKS[0], dev, is_production=True, signing_key=key, event_key="key")
        yield stage
        stage.close()


def socket_to(stage, key):
    url = stage.dev.origin.replace("http://", "ws://")
    return connect(f"{url}/v1/realtime/connect?token={key}", open_timeout=PATIENCE, close_timeout=PATIENCE)


def received(socket):
    return json.loads(socket.recv(timeout=PATIENCE))


@contextmanager
def following(stage, key):
    """A subscription by server-sent events, and its lines."""
    params = {"token": key}
    with stage.http.stream("GET", "/v1/realtime/sse", params=params, timeout=PATIENCE) as response:
        assert response.status_code == 200
        yield response, response.iter_lines()


def post(stage, topic, body, content_type="application/json", **params):
    headers = {"content-type": content_type}
    params |= {"channel": "orders", "topic": topic}
    stage.http.post("/v1/realtime/publish", params=params, content=body, headers=headers).raise_for_status()


def stream_from(socket):
    """The messages of a stream, from the first to the last."""
    messages = [received(socket)]
    while messages[-1]["kind"] != "datastream-end":
        messages.append(received(socket))
    return messages


def told(stage, socket, *, topic):
    """The socket gets a topic that it has just asked for: until it does, its asking was not read yet."""

    def is_told():
        publish_sync(stage.client, "orders", topic, {})
        with suppress(TimeoutError):
            return json.loads(socket.recv(timeout=0.01))["topic"] == topic

    until(is_told)
    publish_sync(stage.client, "orders", topic, {"last": True})
    while received(socket)["data"] != {"last": True}:
        pass


def test_a_subscriber_gets_what_is_published(one_stage):
    with socket_to(one_stage, token(one_stage)) as socket:
        publish_sync(one_stage.client, "orders", "paid", {"n": 1})

        message = received(socket)

    assert (message["channel"], message["topic"], message["data"]) == ("orders", "paid", {"n": 1})
    assert message["kind"] == "data"


def test_a_subscriber_gets_what_a_function_publishes(one_stage):
    @one_stage.function("tells")
    def tells(ctx):
        yield ctx.step.run("tell", lambda: publish(one_stage.client, "orders", "paid", {"run": ctx.run_id}))
        return "told"

    with socket_to(one_stage, token(one_stage)) as socket:
        run = one_stage.run("tells")

        assert (output(run), received(socket)["data"]) == ("told", {"run": run.id})


def test_a_subscriber_gets_only_the_topics_of_its_token(one_stage):
    with socket_to(one_stage, token(one_stage, topics=["paid", "sent"])) as socket:
        for channel, topic in [("orders", "lost"), ("others", "paid"), ("orders", "sent"), ("orders", "paid")]:
            publish_sync(one_stage.client, channel, topic, {})

        assert [received(socket)["topic"] for _ in range(2)] == ["sent", "paid"]


def test_every_subscriber_gets_every_message(one_stage):
    with socket_to(one_stage, token(one_stage)) as one, socket_to(one_stage, token(one_stage)) as other:
        publish_sync(one_stage.client, "orders", "paid", {"n": 1})

        assert received(one) == received(other)


def test_a_subscriber_by_server_sent_events(one_stage):
    with following(one_stage, token(one_stage)) as (response, lines):
        publish_sync(one_stage.client, "orders", "paid", {"n": 1})
        line = next(lines)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert json.loads(line.removeprefix("data: "))["data"] == {"n": 1}


def test_a_subscriber_may_ask_for_more_and_for_less(one_stage):
    with socket_to(one_stage, token(one_stage)) as socket:
        socket.send(json.dumps({"kind": "sub", "data": token(one_stage, topics=["sent", "paid"])}))
        told(one_stage, socket, topic="sent")
        socket.send(json.dumps({"kind": "unsub", "data": [{"channel": "orders", "name": "paid", "kind": "run"}]}))
        socket.send(json.dumps({"kind": "sub", "data": token(one_stage, topics=["gone"])}))
        told(one_stage, socket, topic="gone")

        for topic in ("paid", "sent"):
            publish_sync(one_stage.client, "orders", topic, {})

        assert received(socket)["topic"] == "sent"


@pytest.mark.parametrize("said", ["", "[]", '{"kind":"sub","data":"forged"}', '{"kind":"unsub","data":1}', "{"])
def test_what_a_subscriber_says_and_nobody_understands_changes_nothing(one_stage, said):
    with socket_to(one_stage, token(one_stage)) as socket:
        socket.send(said)
        publish_sync(one_stage.client, "orders", "paid", {"n": 1})

        assert received(socket)["data"] == {"n": 1}


def test_a_stream_is_passed_on_piece_by_piece(one_stage):
    text = "snow ☃ " * 20_000  # longer than what is read at once, so that reading cuts characters
    with socket_to(one_stage, token(one_stage)) as socket:
        post(one_stage, "paid", iter([text.encode()]), "text/stream")
        start, *chunks = stream_from(socket)
        end = chunks.pop()

    assert (start["kind"], end["kind"]) == ("datastream-start", "datastream-end")
    assert start["data"] == end["data"] == chunks[0]["stream_id"]
    assert {(one["kind"], one["channel"], one["topic"]) for one in chunks} == {("chunk", "orders", "paid")}
    assert "".join(one["data"] for one in chunks) == text
    assert max(len(one["data"]) for one in chunks) == 1024


@pytest.mark.parametrize(("body", "data"), [(b"{", "{"), ("ü".encode(), "ü"), (b"[1]", [1]), (b"null", None)])
def test_what_is_no_json_is_published_as_a_text(one_stage, body, data):
    with socket_to(one_stage, token(one_stage)) as socket:
        post(one_stage, "paid", body)

        assert received(socket)["data"] == data


def test_a_message_may_be_for_several_topics_and_tell_of_its_run(one_stage):
    with socket_to(one_stage, token(one_stage, topics=["paid", "sent"])) as socket:
        post(one_stage, ["paid", "sent"], b"1", run_id="run", metadata='{"a":1}')
        messages = [received(socket), received(socket)]

    assert [one["topic"] for one in messages] == ["paid", "sent"]
    assert {one["run_id"] for one in messages} == {"run"}
    assert messages[0]["metadata"] == {"a": 1}


def test_what_an_endpoint_streams_is_passed_on_as_it_is(one_stage):
    piece = b"event: inngest.stream\ndata: {}\n\n"
    with following(one_stage, token(one_stage, topics=["$stream"])) as (_, lines):
        one_stage.http.post("/v1/realtime/publish/tee", params={"channel": "orders"}, content=piece).raise_for_status()

        assert [next(lines) for _ in range(2)] == ["event: inngest.stream", "data: {}"]


def test_a_server_with_subscribers_stops_in_time(one_stage):
    with following(one_stage, token(one_stage)), socket_to(one_stage, token(one_stage)):
        begin = time.monotonic()
        one_stage.dev.stop()

        assert time.monotonic() - begin < PATIENCE


def test_publishing_is_for_those_with_the_signing_key(signed_stage):
    key = token(signed_stage)
    for authorization in ("", "Bearer signkey-test-00", f"Bearer {key}"):
        headers = {"authorization": authorization}
        for path in ("publish?channel=orders&topic=paid", "publish/tee?channel=orders", "token"):
            response = signed_stage.http.post(f"/v1/realtime/{path}", content=b"[]", headers=headers)
            assert (response.status_code, "Not authenticated" in response.json()["error"]) == (401, True)

    with socket_to(signed_stage, key) as socket:
        publish_sync(signed_stage.client, "orders", "paid", {"n": 1})
        assert received(socket)["data"] == {"n": 1}


def test_a_subscription_token_does_not_publish(one_stage):
    headers = {"authorization": f"Bearer {token(one_stage)}"}

    assert one_stage.http.post("/v1/realtime/publish?channel=c&topic=t", json=1, headers=headers).status_code == 401


def test_a_token_lasts_for_a_minute():
    now = datetime.now(UTC)
    tokens = Tokens(Signer(), lambda: now)
    issued = tokens.issue([Topic("orders", "paid")])
    now += timedelta(seconds=59)
    assert tokens.read(issued) == [Topic("orders", "paid")]

    now += timedelta(seconds=1)
    with pytest.raises(TokenError, match="expired"):
        tokens.read(issued)


def test_a_virtual_clock_that_jumps_on_spoils_no_token(one_stage):
    key = token(one_stage)
    one_stage.clock.advance(timedelta(days=1))

    with socket_to(one_stage, key) as socket:
        publish_sync(one_stage.client, "orders", "paid", {"n": 1})
        assert received(socket)["data"] == {"n": 1}


def test_what_was_streamed_before_anybody_follows_is_there_for_the_first_who_does(one_stage):
    for piece in (b"data: 1\n\n", b"data: 2\n\n"):
        one_stage.http.post("/v1/realtime/publish/tee", params={"channel": "orders"}, content=piece).raise_for_status()

    with following(one_stage, token(one_stage, topics=["$stream"])) as (_, lines):
        assert [next(lines) for _ in range(3)] == ["data: 1", "", "data: 2"]


@pytest.mark.parametrize("forge", [lambda key: "", lambda key: "a.b.c", lambda key: key[:-4] + "AAAA"])
def test_a_forged_token_is_refused(one_stage, forge):
    key = forge(token(one_stage))

    assert one_stage.http.get("/v1/realtime/sse", params={"token": key}).status_code == 401
    with pytest.raises(InvalidStatus, match="403"), socket_to(one_stage, key):
        pass


def test_publishing_to_nobody_is_no_error(one_stage):
    response = one_stage.http.post("/v1/realtime/publish", params={"channel": "c", "topic": "t"}, json=[1])

    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "body"),
    [("publish?channel=c", b"1"), ("publish?topic=t", b"1"), ("publish/tee", b"1"), ("token", b"{}"), ("token", b"")],
)
def test_requests_that_cannot_be_read_are_refused(one_stage, path, body):
    response: httpx.Response = one_stage.http.post(f"/v1/realtime/{path}", content=body)

    assert response.status_code == 400
