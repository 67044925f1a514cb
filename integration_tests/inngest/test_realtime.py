"""Realtime channels: the SDK publishes and gets tokens, clients subscribe."""

import json
from datetime import timedelta

import httpx
import pytest
from inngest.experimental.realtime import get_subscription_token_sync, publish, publish_sync
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .stage import PATIENCE, output


def token(stage, channel="orders", topics=("paid",)):
    return get_subscription_token_sync(stage.client, channel, list(topics))["key"]


def socket_to(stage, key):
    url = stage.dev.origin.replace("http://", "ws://")
    return connect(f"{url}/v1/realtime/connect?token={key}", open_timeout=PATIENCE, close_timeout=PATIENCE)


def received(socket):
    return json.loads(socket.recv(timeout=PATIENCE))


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
    params = {"token": token(one_stage)}
    with one_stage.http.stream("GET", "/v1/realtime/sse", params=params, timeout=PATIENCE) as response:
        lines = response.iter_lines()
        assert next(lines) == ": subscribed"
        publish_sync(one_stage.client, "orders", "paid", {"n": 1})
        line = next(line for line in lines if line.startswith("data: "))

    assert response.headers["content-type"].startswith("text/event-stream")
    assert json.loads(line.removeprefix("data: "))["data"] == {"n": 1}


def test_a_token_lasts_for_a_minute(one_stage):
    key = token(one_stage)
    one_stage.clock.advance(timedelta(seconds=61))

    response = one_stage.http.get("/v1/realtime/sse", params={"token": key})

    assert (response.status_code, "expired" in response.json()["error"]) == (401, True)


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
    [("publish?channel=c", b"1"), ("publish?channel=c&topic=t", b"{"), ("token", b"{}"), ("token", b"")],
)
def test_requests_that_cannot_be_read_are_refused(one_stage, path, body):
    response: httpx.Response = one_stage.http.post(f"/v1/realtime/{path}", content=body)

    assert response.status_code == 400
