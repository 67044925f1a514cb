"""Which events start which functions, and how often."""

import asyncio
from datetime import timedelta

import aiohttp
import inngest
import pytest

from .stage import Stage, output


def on(event, expression=None):
    return inngest.TriggerEvent(event=event, expression=expression)


def test_an_event_starts_every_function_that_lists_it(stage):
    for number in range(3):

        @stage.function(f"number {number}", on("test/shared"))
        def numbered(ctx, number=number):
            return number

    event_id = stage.send("test/shared")

    runs = [stage.ended(run["run_id"]) for run in stage.runs_of(event_id)]
    assert sorted(output(run) for run in runs) == [0, 1, 2]


def test_an_event_that_nobody_lists_starts_nothing(one_stage):
    assert one_stage.runs_of(one_stage.send("test/nobody")) == []


@pytest.mark.parametrize(
    ("expression", "data", "starts"),
    [
        ("event.data.x == 1", {"x": 1}, True),
        ("event.data.x == 1", {"x": 2}, False),
        ("event.data.x == 1", {}, False),
        ("event.data.missing != 1", {}, True),
        ("event.data.deep.er.still == 'a'", {"deep": {}}, False),
        ("event.name == 'test/conditional'", {}, True),
        ("event.data.text", {"text": "true"}, False),
        ("event.data.x > 0 && event.data.y in ['a', 'b']", {"x": 0.5, "y": "b"}, True),
        ("event.data.list[1] == 2", {"list": [1, 2]}, True),
        ("event.data.x == 1", {"x": 1, "large": 10**30, "negative": -(2**70), "other": {"even": [2**64]}}, True),
        ("event.data.large > 10.0", {"large": 10**30}, True),
        ("event.data.text == '☃\U0001f680'", {"text": "☃\U0001f680"}, True),
    ],
)
def test_an_expression_says_whether_an_event_starts_a_function(one_stage, expression, data, starts):
    @one_stage.function("conditional", on("test/conditional", expression))
    def conditional(ctx):
        return None

    event_id = one_stage.send("test/conditional", data)

    assert len(one_stage.runs_of(event_id)) == starts


def test_a_function_with_several_triggers_starts_once_for_an_event_that_meets_all(stage):
    @stage.function("eager", [on("test/eager", "event.data.x > 0"), on("test/eager", "event.data.x > 1"), on("test/*")])
    def eager(ctx):
        return ctx.event.data["x"]

    event_id = stage.send("test/eager", {"x": 2})

    (run,) = stage.runs_of(event_id)
    assert output(stage.ended(run["run_id"])) == 2


def test_any_of_several_triggers_starts_a_function(one_stage):
    @one_stage.function("either", [on("test/a", "event.data.x == 1"), on("test/b"), on("test/a", "event.data.x == 3")])
    def either(ctx):
        return None

    started = [
        len(one_stage.runs_of(one_stage.send(name, {"x": x})))
        for name, x in [("test/a", 1), ("test/a", 2), ("test/a", 3), ("test/b", 9)]
    ]

    assert started == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("trigger", "starts"),
    [
        ("shop/*", True),
        ("shop/order/*", True),
        ("shop/order/line.*", True),
        ("shop/order/line.item.*", True),
        ("shop/order/line.item.added", True),
        ("shop/order*", False),
        ("shop/order/li*", False),
        ("order/*", False),
        ("SHOP/*", False),
        ("shop/order/line.item.added.*", False),
    ],
)
def test_wildcards_match_at_slashes_and_dots(one_stage, trigger, starts):
    @one_stage.function("wild", on(trigger))
    def wild(ctx):
        return None

    event_id = one_stage.send("shop/order/line.item.added")

    assert len(one_stage.runs_of(event_id)) == starts


# --- Ids -----------------------------------------------------------------------------------------------


def test_an_event_id_starts_a_function_once_though_every_event_is_kept(stage):
    @stage.function("once")
    def once(ctx):
        return ctx.event.id

    first = stage.send("test/once", id="only")
    again = stage.send("test/once", id="only")

    assert [len(stage.runs_of(event_id)) for event_id in (first, again)] == [1, 0]
    assert first != again
    assert len(stage.events("test/once")) == 2
    assert output(stage.only_run("once")) == "only"


def test_an_event_id_starts_each_of_two_functions_once(one_stage):
    for name in ("a", "b"):

        @one_stage.function(name, on("test/both"))
        def either(ctx):
            return None

    assert len(one_stage.runs_of(one_stage.send("test/both", id="only"))) == 2
    assert len(one_stage.runs_of(one_stage.send("test/both", id="only"))) == 0


def test_an_event_id_starts_a_function_again_after_a_day(one_stage):
    @one_stage.function("daily")
    def daily(ctx):
        return None

    one_stage.run("daily", id="only")
    one_stage.clock.advance(hours=23)
    assert one_stage.runs_of(one_stage.send("test/daily", id="only")) == []
    one_stage.clock.advance(hours=2)

    assert len(one_stage.runs_of(one_stage.send("test/daily", id="only"))) == 1


def test_an_event_with_a_known_id_still_ends_a_wait(one_stage):
    @one_stage.function("waiter")
    def waiter(ctx):
        answer = yield ctx.step.wait_for_event("answer", event="test/answer", timeout=timedelta(hours=1))
        return answer.data["n"]

    one_stage.serve()
    one_stage.send("test/answer", {"n": 1}, id="only")
    run_id = one_stage.start("waiter")
    one_stage.waiting(run_id, "answer")
    one_stage.send("test/answer", {"n": 2}, id="only")

    assert output(one_stage.ended(run_id)) == 2


SEED = "1743130137367,AAECAwQFBgcICQ=="


def post(stage, events, **headers):
    return stage.http.post("/e/key", json=events, headers=headers)


def test_a_seed_decides_the_internal_ids(one_stage):
    events = [{"name": "test/seeded"}, {"name": "test/seeded"}]

    ids = post(one_stage, events, **{"x-inngest-event-id-seed": SEED}).json()["ids"]

    assert ids == ["01JQDAE4RQ000G40R40M30E20A", "01JQDAE4RQ000G40R40M30E20B"]


def test_a_repeated_request_is_kept_twice_and_starts_its_functions_once(one_stage):
    @one_stage.function("seeded")
    def seeded(ctx):
        return None

    one_stage.serve()
    events = [{"name": "test/seeded"}, {"name": "test/seeded"}]
    first, second = (post(one_stage, events, **{"x-inngest-event-id-seed": SEED}).json()["ids"] for _ in range(2))

    kept = one_stage.events("test/seeded")
    assert first == second
    assert len(kept) == 4
    assert {event["internal_id"] for event in kept} == set(first)
    assert [len(one_stage.runs_of(event_id)) for event_id in first] == [1, 1]
    assert len(one_stage.runs("seeded")) == 2


@pytest.mark.parametrize("seed", ["", "x", "1,", "1,AAAA", "-1,AAECAwQFBgcICQ==", "9" * 30 + ",AAECAwQFBgcICQ=="])
def test_a_seed_that_cannot_be_read_is_ignored(one_stage, seed):
    answer = post(one_stage, {"name": "test/seeded"}, **{"x-inngest-event-id-seed": seed})

    assert answer.status_code == 200
    assert len(answer.json()["ids"][0]) == 26


def test_the_sdk_is_told_of_internal_ids_whatever_ids_it_sends(one_stage):
    event_id = one_stage.send("test/named", id="mine")

    assert one_stage.get(f"/v1/events/{event_id}") | {"received_at": ...} == {
        "internal_id": event_id,
        "account_id": "00000000-0000-4000-a000-000000000000",
        "environment_id": "00000000-0000-4000-b000-000000000000",
        "source": one_stage.get(f"/v1/events/{event_id}")["source"],
        "source_id": None,
        "received_at": ...,
        "id": "mine",
        "name": "test/named",
        "data": {},
        "ts": one_stage.get(f"/v1/events/{event_id}")["ts"],
    }


# --- Changing apps ----------------------------------------------------------------------------------------


def test_a_function_that_is_not_registered_any_more_is_not_started(stage):
    @stage.function("old")
    def old(ctx):
        return None

    @stage.function("new")
    def new(ctx):
        return None

    stage.run("old")
    stage.forget("old")
    stage.serve()

    assert stage.runs_of(stage.send("test/old")) == []
    assert stage.run("new").status == "completed"


def test_a_run_goes_on_after_its_function_was_left_out(one_stage):
    """By the configuration that was registered last."""

    @one_stage.function("leaving")
    def leaving(ctx):
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(hours=1))
        return "finished"

    @one_stage.function("staying")
    def staying(ctx):
        return None

    run_id = one_stage.start("leaving")
    one_stage.waiting(run_id, "wait")
    one_stage.forget("leaving")
    one_stage.serve()
    one_stage.send("test/go")

    assert output(one_stage.ended(run_id)) == "finished"


def test_a_run_goes_on_at_the_url_that_was_registered_last(stage):
    @stage.function("moving")
    def moving(ctx):
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(hours=1))
        return "arrived"

    first = stage.serve()
    run_id = stage.start("moving")
    stage.waiting(run_id, "wait")
    stage.serve()
    first.stop()
    stage.send("test/go")

    assert output(stage.ended(run_id)) == "arrived"


def test_a_removed_app_is_not_called(one_stage):
    @one_stage.function("gone")
    def gone(ctx):
        return None

    url = one_stage.serve().url("/api/inngest")

    assert one_stage.http.delete("/fn/remove", params={"url": url}).status_code == 200
    assert one_stage.runs_of(one_stage.send("test/gone")) == []
    assert one_stage.http.delete("/fn/remove", params={"url": url}).status_code == 404


# --- Many -------------------------------------------------------------------------------------------------


@pytest.fixture
def counter(one_stage: Stage):
    @one_stage.function("count")
    def count(ctx):
        return ctx.event.data["n"]

    one_stage.serve()
    return one_stage


def all_ended(stage, number):
    runs = stage.runs("count")
    assert len(runs) == number
    return sorted(output(stage.ended(run.id)) for run in runs)


def test_five_hundred_events_in_one_request_all_start_a_run(counter):
    events = [inngest.Event(name="test/count", data={"n": number}) for number in range(500)]

    ids = counter.client.send_sync(events)

    assert len(set(ids)) == 500
    assert all_ended(counter, 500) == list(range(500))


def test_two_hundred_requests_at_once_are_all_accepted(counter):
    async def send(http, number):
        async with http.post("/e/key", json={"name": "test/count", "data": {"n": number}}) as answer:
            return answer.status, (await answer.json(content_type=None))["ids"][0]

    async def send_all():
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(counter.dev.origin, connector=connector) as http:
            return await asyncio.gather(*(send(http, number) for number in range(200)))

    answers = asyncio.run(send_all())

    assert {status for status, _ in answers} == {200}
    assert len({event_id for _, event_id in answers}) == 200
    assert all_ended(counter, 200) == list(range(200))
