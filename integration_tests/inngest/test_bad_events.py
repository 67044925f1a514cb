"""Events that cannot be taken, and what is taken all the same."""

import json

import pytest


@pytest.fixture
def post(one_stage):
    def post(content, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return one_stage.http.post("/e/key", content=body, headers=headers)

    return post


GOOD = {"name": "test/good"}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({}, "event name is empty"),
        ({"name": ""}, "event name is empty"),
        ({"name": "inngest/function.finished"}, "event name is reserved for internal use: inngest/function.finished"),
        ({"name": "INNGEST/x"}, "event name is reserved for internal use: INNGEST/x"),
        ({"name": "a", "ts": 1}, "timestamp is before Jan 1, 1980"),
        ({"name": "a", "ts": -5}, "timestamp is before Jan 1, 1980"),
        ({"name": "a", "ts": 315_532_799_999}, "timestamp is before Jan 1, 1980"),
        ({"name": "a", "ts": 4_102_444_800_001}, "timestamp is after Jan 1, 2100"),
    ],
)
def test_a_bad_event_is_refused_with_the_dev_servers_text(post, event, text):
    answer = post(event)

    assert answer.status_code == 400
    assert answer.json() == {"ids": [""], "status": 400, "error": text}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"name": "a", "ts": "now"}, "ts"),
        ({"name": "a", "ts": 1_700_000_000_000.5}, "ts"),
        ({"name": "a", "ts": 10**30}, "timestamp"),
        ({"name": ["a"]}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a", "data": [1]}, "data"),
        ({"name": "a", "data": "text"}, "data"),
        ({"name": "a", "data": 5}, "data"),
        ({"name": "a", "id": 5}, "id"),
        ({"name": "a", "v": {}}, "v"),
    ],
)
def test_a_field_of_another_type_is_refused_and_named(post, event, field):
    answer = post(event)

    assert answer.status_code == 400
    assert answer.json()["ids"] == [""]
    assert field in answer.json()["error"]


@pytest.mark.parametrize("body", [b'"text"', b"5", b"null", b"true"])
def test_a_scalar_is_no_event(post, body):
    answer = post(body)

    assert answer.status_code == 400
    assert answer.json()["error"] == "Request body must contain an event object or an array of event objects"


@pytest.mark.parametrize(
    "body", [b"{", b"[{}", b"no json", b"\xff\xfe", b'{"name":"a"} trailing', b"[1,", b"[[]]", b"[5]"]
)
def test_a_body_that_is_no_json_is_refused(post, body):
    answer = post(body)

    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"a","data":{"x":"\xff"}}',
        b'{"name":"a","data":' + b'{"x":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b"[" * 100_000,
    ],
    ids=["invalid UTF-8", "nested too deep", "nothing but brackets"],
)
def test_a_body_that_no_reader_could_decode_is_refused(post, body):
    assert post(body).status_code == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"  ", b" [ ] "])
def test_an_empty_body_is_fine_and_gives_an_empty_id(post, body):
    answer = post(body)

    assert (answer.status_code, answer.json()) == (200, {"ids": [""], "status": 200})


def test_events_before_a_bad_one_are_accepted_and_start_their_functions(one_stage, post):
    @one_stage.function("good")
    def good(ctx):
        return ctx.event.data["n"]

    one_stage.serve()
    answer = post([GOOD | {"data": {"n": 1}}, GOOD | {"data": {"n": 2}}, {"name": ""}, GOOD | {"data": {"n": 4}}])

    assert answer.status_code == 400
    assert answer.json()["error"] == "event name is empty"
    assert len(answer.json()["ids"]) == 2
    assert [event["data"]["n"] for event in one_stage.events("test/good")] == [2, 1]
    assert len(one_stage.runs("good")) == 2


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (b", {broken json", "the request body is no JSON"),
        (b', {"name":"test/good"', "the request body is no JSON"),
        (b",]", "the request body is no JSON"),
        (b', {"name":"test/good"} {"name":"test/good"}]', "expected a comma at character"),
        (b", NaN]", "invalid event"),
        (b"," + b"[" * 100_000, "the request body is no JSON"),
    ],
)
def test_events_before_a_fault_in_the_array_are_accepted(one_stage, post, fault, text):
    before = b' [ {"name":"test/good","data":{"n":"\xc3\xbc"}} , {"name":"test/good","data":{"n":2}} '

    answer = post(before + fault)

    assert (answer.status_code, len(answer.json()["ids"])) == (400, 2 + fault.count(b'"} {'))
    assert text in answer.json()["error"]
    events = one_stage.events("test/good")
    assert [event["internal_id"] for event in reversed(events)] == answer.json()["ids"]
    assert events[-1]["data"] == {"n": "ü"}


@pytest.mark.parametrize("end", [b"", b"  ", b"}", b"] and more", b"]]"])
def test_an_array_whose_end_is_missing_or_followed_by_more_is_taken(one_stage, post, end):
    answer = post(b'[{"name":"test/good"},{"name":"test/good"}' + end)

    assert (answer.status_code, len(answer.json()["ids"])) == (200, 2)
    assert len(one_stage.events("test/good")) == 2


def test_an_event_over_three_mebibytes_is_refused(post):
    event = {"name": "a", "data": {"x": "y" * (3 << 20)}}
    size = len(json.dumps(event))

    answer = post(event)

    assert answer.status_code == 400
    assert answer.json()["error"] == f"Event is over the max size: Max 3145728 bytes / Size {size} bytes"


def test_eight_events_of_a_mebibyte_are_accepted_together(post):
    events = [{"name": "a", "data": {"x": "y" * (1 << 20)}} for _ in range(8)]

    assert len(post(events).json()["ids"]) == 8


def test_of_more_than_five_thousand_events_the_first_five_thousand_are_accepted(post):
    answer = post([{"name": "a"}] * 5001)

    assert answer.status_code == 400
    assert answer.json()["error"] == "Cannot have more than 5000 events in a batch"
    assert len(answer.json()["ids"]) == 5000


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded", "odd"])
def test_json_is_read_whatever_the_content_type_says(post, content_type):
    assert post(GOOD, **{"content-type": content_type}).status_code == 200


def test_form_data_is_refused(one_stage):
    assert one_stage.http.post("/e/key", data={"name": "test/form"}).status_code == 400


@pytest.mark.parametrize(
    "fields", [{"data": None}, {}, {"ts": None}, {"ts": 0}, {"id": None}, {"id": ""}, {"user": None}]
)
def test_optional_fields_may_be_missing_or_null(one_stage, post, fields):
    (event_id,) = post(GOOD | fields).json()["ids"]

    event = one_stage.get(f"/v1/events/{event_id}")

    assert event["id"] == event_id
    assert event["data"] is None
    assert isinstance(event["ts"], int)


def test_unknown_keys_are_ignored(post):
    assert post(GOOD | {"surprise": [1], "meta": {"session": 1}}).status_code == 200


def test_data_that_claims_to_be_an_invocation_is_stripped_of_the_claim(one_stage, post):
    @one_stage.function("victim")
    def victim(ctx):
        return None

    one_stage.serve()
    claim = {"fn_id": f"{one_stage.app_id}-victim", "correlation_id": "x.y"}
    (event_id,) = post({"name": "test/claim", "data": {"_inngest": claim, "z": 1, "a": 2}}).json()["ids"]

    assert one_stage.runs("victim") == []
    assert json.dumps(one_stage.get(f"/v1/events/{event_id}")["data"]) == '{"z": 1, "a": 2}'


def test_deprecated_users_and_versions_are_passed_on(one_stage, post):
    (event_id,) = post(GOOD | {"user": {"id": 5}, "v": "2026-01-01"}).json()["ids"]

    assert one_stage.get(f"/v1/events/{event_id}")["v"] == "2026-01-01"


def test_the_server_is_up_after_all_of_it(one_stage, post):
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        post(body)

    assert one_stage.http.get("/health").json() == {"status": 200, "message": "OK"}


def test_only_configured_event_keys_are_accepted():
    import httpx

    from steprig.inngest.dev_server import DevServer

    with DevServer(event_keys=["mine"]) as dev, httpx.Client(base_url=dev.origin) as http:
        refused = http.post("/e/yours", json=GOOD)

        assert (refused.status_code, refused.json()) == (401, {"error": "Event key not found", "status": 401})
        assert http.post("/e/mine", json=GOOD).status_code == 200
