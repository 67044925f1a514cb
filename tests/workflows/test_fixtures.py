"""HTTP, cache, files and time, without a network."""

import asyncio
import csv
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steprig.workflows import AsyncWorkflowFixtures, HttpCall, MockResourceRegistry


def run(coroutine):
    return asyncio.run(coroutine)


def test_a_client_answers_as_told_and_knows_its_calls():
    client = AsyncWorkflowFixtures.create_mock_http_client()
    client.add_response("POST", "/submit", {"id": "abc"}, status=201, headers={"x": "y"})
    client.add_responses({"PUT:/a": "text", "/items": [1], "http://host/b": {"b": 1}})

    async def use():
        answer = await client.post("/submit", json={"amount": 5})
        assert (answer.status, answer.status_code, await answer.json(), answer.headers) == (
            201,
            201,
            {"id": "abc"},
            {"x": "y"},
        )
        assert await (await client.put("/a")).text() == "text"
        assert await (await client.get("/items")).json() == [1]
        assert await (await client.get("http://host/b")).text() == '{"b": 1}'
        missing = await client.delete("/nowhere")
        assert (missing.status, await missing.json()) == (404, {"error": "Not found"})
        with pytest.raises(Exception, match="HTTP 404"):
            missing.raise_for_status()

    run(use())
    assert client.get_calls("POST", "/submit") == [HttpCall("POST", "/submit", {"json": {"amount": 5}})]
    client.assert_called("get", "/items", times=1)
    with pytest.raises(AssertionError, match=r"PATCH /x: expected at least 1 request, found 0.*\n  POST /submit"):
        client.assert_called("PATCH", "/x")
    client.reset()
    assert client.get_calls() == []


@pytest.mark.parametrize("tracked", [False, True])
def test_a_request_is_awaited_or_entered_as_with_aiohttp(tracked):
    registry, client = MockResourceRegistry(), AsyncWorkflowFixtures.create_mock_http_client()
    client.add_response("GET", "/a", {"n": 1})
    client.add_error("GET", "/dead", ConnectionError("dead"))
    if tracked:
        registry.register_mock("api", client)

    async def use():
        async with client.get("/a", params={"q": 1}) as response:
            assert (response.status, await response.json()) == (200, {"n": 1})
        async with client as session, session.request("GET", "/a") as response:
            assert await response.json() == {"n": 1}
        assert (await client.get("/a")).status == 200
        with pytest.raises(ConnectionError, match="dead"):
            async with client.get("/dead"):
                pass
        with pytest.raises(ZeroDivisionError):
            async with client.get("/a"):
                raise ZeroDivisionError

    run(use())
    client.assert_called("GET", "/a", times=4)
    assert client.get_calls()[0].kwargs == {"params": {"q": 1}}
    if tracked:
        results = [each.exception or each.result.status for each in registry.get_calls("api", "get")]
        assert [str(each) for each in results] == ["200", "200", "dead", "200"]


def test_methods_are_told_in_any_case():
    client = AsyncWorkflowFixtures.create_mock_http_client()
    client.add_response("post", "/orders", "added")
    client.add_responses({"put:/orders": "changed"})

    async def use():
        answers = [await client.post("/orders"), await client.request("post", "/orders"), await client.put("/orders")]
        assert [await answer.text() for answer in answers] == ["added", "added", "changed"]

    run(use())
    client.assert_called("post", "/orders", times=2)


@pytest.mark.parametrize("url", ["http://shop/orders", "https://shop:8443/orders", "shop:8000/orders", "orders:7"])
def test_a_response_for_a_url_with_a_colon_is_one_to_get(url):
    client = AsyncWorkflowFixtures.create_mock_http_client()
    client.add_responses({url: "got", f"POST:{url}": "posted"})

    async def use():
        assert await (await client.get(url)).text() == "got"
        assert await (await client.post(url)).text() == "posted"

    run(use())


def test_a_client_answers_in_sequence_and_raises():
    client = AsyncWorkflowFixtures.create_mock_http_client()
    client.add_sequence("GET", "/flaky", ConnectionError("down"), ({"busy": True}, 503), {"ok": True})
    client.add_error("GET", "/dead", ConnectionError("dead"))

    async def use():
        with pytest.raises(ConnectionError, match="down"):
            await client.get("/flaky")
        assert [(await client.get("/flaky")).status for _ in range(3)] == [503, 200, 200]
        for _ in range(2):
            with pytest.raises(ConnectionError, match="dead"):
                await client.get("/dead")

    run(use())


def test_a_client_as_a_mock_is_counted_by_method_and_keeps_its_own_list():
    registry = MockResourceRegistry()
    client = run(registry.create_mock("api", AsyncWorkflowFixtures.create_mock_http_client))
    client.add_response("GET", "/a", 1)

    run(client.get("/a"))

    assert [each.method for each in registry.get_calls("api")] == ["get"]
    assert client.get_calls("GET", "/a")[0].url == "/a"


@pytest.mark.parametrize("value", [0, None, "", "text", [1, {"a": None}], {"1": 1.5}, True])
def test_a_cache_gives_back_what_was_set(value):
    async def use():
        cache = await AsyncWorkflowFixtures.create_test_cache()
        await cache.set("key", value)
        assert await cache.get("key") == value
        await cache.aclose()

    run(use())


def test_a_key_expires_by_the_mocked_clock_and_a_set_without_ttl_lasts():
    async def use():
        cache = await AsyncWorkflowFixtures.create_test_cache()
        async with AsyncWorkflowFixtures.mock_time() as now:
            await cache.set("short", 1, ttl=0.5)
            await cache.setex("long", 60, 2)
            await cache.set("kept", 3, ttl=1)
            await cache.set("kept", 3)
            now.advance(30)
            assert [await cache.get(key) for key in ("short", "long", "kept")] == [None, 2, 3]
            assert await cache.expire("kept", 5)
            now.advance(31)
            assert [await cache.get(key) for key in ("long", "kept")] == [None, None]
        assert [call[0] for call in cache.get_calls()[:2]] == ["set", "set"]
        assert cache.get_calls("set")[1] == ("set", ("long", 2), {"ttl": 60})
        cache.assert_called("expire", times=1)
        with pytest.raises(AssertionError, match=r"cache.delete: expected at least 1 call, found 0"):
            cache.assert_called("delete")
        await cache.aclose()

    run(use())


def test_a_ttl_may_be_a_fraction_of_a_second():
    async def use():
        cache = await AsyncWorkflowFixtures.create_test_cache()
        async with AsyncWorkflowFixtures.mock_time() as now:
            await cache.set("key", 1, ttl=1.5)
            now.advance(1.6)
            assert await cache.get("key") is None
        await cache.aclose()

    run(use())


def test_caches_do_not_share_keys_and_clear_drops_all():
    async def use():
        one, two = await AsyncWorkflowFixtures.create_test_cache(), await AsyncWorkflowFixtures.create_test_cache()
        await one.set("key", 1)
        assert await two.get("key") is None
        assert await one.delete("key")
        await one.set("key", 1)
        await one.clear()
        assert await one.get("key") is None

    run(use())


def test_what_json_cannot_say_and_a_ttl_of_nothing_are_refused():
    async def use():
        cache = await AsyncWorkflowFixtures.create_test_cache()
        with pytest.raises(TypeError, match=r"the value of 'key'"):
            await cache.set("key", object())
        with pytest.raises(ValueError, match="above zero"):
            await cache.set("key", 1, ttl=0)

    run(use())


def test_files_are_written_by_their_suffix_and_gone_with_their_directory():
    async def use():
        async with AsyncWorkflowFixtures.temp_directory() as folder:
            await AsyncWorkflowFixtures.create_test_files(
                folder,
                {
                    "a.csv": [{"id": 1, "n": "x"}, {"id": 2, "more": "y"}],
                    "b/c.json": {"k": [1]},
                    "d.txt": "é",
                    "e.bin": b"\x00",
                },
            )
            root = Path(folder)
            with (root / "a.csv").open(newline="") as rows:
                assert list(csv.DictReader(rows))[1] == {"id": "2", "n": "", "more": "y"}
            assert json.loads((root / "b/c.json").read_text()) == {"k": [1]}
            assert (root / "d.txt").read_text(encoding="utf-8") == "é"
            assert (root / "e.bin").read_bytes() == b"\x00"
        return root

    assert not run(use()).exists()


@pytest.mark.parametrize("path", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "."])
def test_a_file_outside_of_the_directory_is_refused_before_any_is_written(path, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()

    with pytest.raises(ValueError, match="would not lie within"):
        run(AsyncWorkflowFixtures.create_test_files(inner, {"fine.txt": "x", path: "y"}))

    assert list(tmp_path.rglob("*.txt")) == []


def test_the_time_is_what_was_set_everywhere_and_the_loops_clock_stays():
    async def use():
        loop = asyncio.get_running_loop()
        before = loop.time()
        async with AsyncWorkflowFixtures.mock_time(1_000_000_000.0) as now:
            now.advance(3600)
            for seen in (now(), time.time(), datetime.now(UTC).timestamp()):
                assert 0 <= seen - 1_000_003_600 < 60
            assert loop.time() - before < 60
        assert time.time() > 1_700_000_000

    run(use())


def test_time_has_one_speed():
    async def use():
        async with AsyncWorkflowFixtures.mock_time(speed=2.0):
            pass

    with pytest.raises(ValueError, match=r"advance\(\)"):
        run(use())


def test_an_unknown_engine_names_the_known_ones():
    with pytest.raises(ValueError, match="no database engine 'oracle'; known: 'postgresql', 'sqlite'"):
        run(AsyncWorkflowFixtures.create_test_database("oracle"))
