"""What only version 4 of the npm SDK has: messages to channels and from them, and functions that a run defers."""

import pytest
from inngest.experimental.realtime import get_subscription_token_sync, publish_sync
from websockets.sync.client import connect

from ..waiting import until
from . import js_app
from .stage import PATIENCE, output
from .test_realtime import received

VARIANTS = [variant for variant in js_app.VARIANTS if variant.name in ("plain", "signed-checkpoints", "connect")]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.name)
def js(request, packages, few_certificates):
    """The Node app on a dev server whose sleeps take no time, for all tests here."""
    with js_app.staged(packages, request.param) as stage:
        yield stage


@pytest.fixture
def listening(js):
    """Has the npm SDK subscribe to topics of a channel. Gives what it has heard once that is so much."""

    def listening(channel, *topics):
        js.ask_app("/realtime/listen", channel=channel, topics=topics)

        def heard(count):
            until(lambda: len(js.ask_app("/realtime/heard")) >= count, f"{count} messages")
            return js.ask_app("/realtime/heard")

        return heard

    yield listening
    js.ask_app("/realtime/unlisten")


def test_the_npm_sdk_hears_what_the_python_sdk_publishes(js, listening):
    heard = listening("orders:py", "paid", "sent")

    for topic, data in [("paid", {"n": 1}), ("lost", {}), ("sent", {"ü": None})]:
        publish_sync(js.client, "orders:py", topic, data)

    messages = heard(2)
    assert [(one["channel"], one["topic"], one["kind"], one["data"]) for one in messages] == [
        ("orders:py", "paid", "data", {"n": 1}),
        ("orders:py", "sent", "data", {"ü": None}),
    ]


def test_the_npm_sdk_hears_what_its_functions_publish(js, listening):
    heard = listening("orders:js", "paid", "sent")

    run = js.run("publishes", {"id": "js"})

    assert output(run) == {"amount": 5}
    told, *more = heard(2)
    assert (told["topic"], told["data"], told["runId"]) == ("paid", {"amount": 5}, run.id)
    assert {one["topic"] for one in more} == {"sent"}


def test_the_python_sdks_subscribers_hear_what_npm_functions_publish(js):
    token = get_subscription_token_sync(js.client, "orders:both", ["paid"])["key"]
    url = js.dev.origin.replace("http://", "ws://")
    with connect(f"{url}/v1/realtime/connect?token={token}", open_timeout=PATIENCE, close_timeout=PATIENCE) as socket:
        js.run("publishes", {"id": "both"})

        assert received(socket)["data"] == {"amount": 5}


@pytest.mark.parametrize("fails", [False, True])
def test_a_deferred_function_starts_when_the_run_has_ended(js, fails):
    known = len(js.runs("later"))

    run = js.run("defers", {"number": 3, "fails": fails})

    assert run.status == ("failed" if fails else "completed")
    later = until(lambda: js.runs("later")[known:], "the deferred run")
    assert [output(js.ended(one.id)) for one in later] == [
        {"data": {"number": 3}, "parent": f"{js.app_id}-defers"},
    ]
    assert later[0].queued_at >= run.ended_at
