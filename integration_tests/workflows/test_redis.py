"""The test cache on a real Redis."""

import asyncio
import shutil
import socket
import subprocess
import time

import pytest
import redis

from steprig.workflows import AsyncWorkflowFixtures, AsyncWorkflowTestCase

from .cases import PATIENCE

BINARY = shutil.which("redis-server")

pytestmark = pytest.mark.skipif(BINARY is None, reason="there is no redis-server here: apt-get install redis-server")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A server of this module's own, ended by its id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [BINARY, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    folder = tmp_path_factory.mktemp("redis")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, server)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def _wait_for(port, server):
    end = time.monotonic() + PATIENCE
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                assert server.poll() is None, "redis-server has ended"
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)
            else:
                return


def keys(url):
    with redis.Redis.from_url(url) as client:
        return client.dbsize()


def with_cache(url, body):
    async def main():
        cache = await AsyncWorkflowFixtures.create_test_cache(url)
        try:
            return await body(cache)
        finally:
            await cache.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize("value", ["text", "", 0, 1.5, True, None, [1, {"a": None}], {"ä": ["ö"]}])
def test_any_json_value_comes_back_equal(url, value):
    async def body(cache):
        await cache.set("key", value)
        return await cache.get("key")

    assert with_cache(url, body) == value


def test_what_is_not_there_is_none(url):
    async def body(cache):
        assert await cache.get("key") is None
        assert await cache.delete("key") is False
        assert await cache.expire("key", 1) is False

    with_cache(url, body)


def test_a_key_lasts_until_its_time_is_over(url):
    async def body(cache):
        await cache.set("short", 1, ttl=0.05)
        await cache.setex("shorter", 0.02, 2)
        await cache.set("long", 3, ttl=600)
        await cache.set("kept", 4, ttl=0.02)
        await cache.set("kept", 5)  # without an end, though the one before had one
        await cache.set("shortened", 6)
        assert await cache.expire("shortened", 0.02) is True
        gone = ("short", "shorter", "shortened")
        while any([await cache.get(key) is not None for key in gone]):  # noqa: ASYNC110 - Redis tells of no end
            await asyncio.sleep(0.01)
        assert [await cache.get("long"), await cache.get("kept")] == [3, 5]

    with_cache(url, lambda cache: asyncio.wait_for(body(cache), PATIENCE))


def test_caches_on_one_server_do_not_see_one_another(url):
    async def main():
        one, two = [await AsyncWorkflowFixtures.create_test_cache(url) for _ in range(2)]
        await one.set("key", 1)
        await two.set("key", 2)
        assert [await one.get("key"), await two.get("key")] == [1, 2]
        await one.clear()
        assert [await one.get("key"), await two.get("key")] == [None, 2]
        await one.aclose()
        assert await two.get("key") == 2
        await two.aclose()

    asyncio.run(main())


def test_what_others_keep_there_stays_and_what_the_cache_kept_goes(url):
    with redis.Redis.from_url(url) as client:
        client.set("theirs", "1")

        async def body(cache):
            for number in range(1200):  # more than one page of a scan
                await cache.set(f"key-{number}", number)
            assert client.dbsize() == 1201

        with_cache(url, body)
        assert client.keys() == [b"theirs"]
        client.delete("theirs")


def test_it_knows_its_calls(url):
    async def body(cache):
        await cache.set("key", 1, ttl=5)
        await cache.setex("key", 6, 2)
        await cache.get("key")
        assert cache.get_calls("set") == [("set", ("key", 1), {"ttl": 5}), ("set", ("key", 2), {"ttl": 6})]
        cache.assert_called("get", times=1)

    with_cache(url, body)


def test_it_is_a_resource_of_a_workflow_and_cleaned_up_with_the_test(url):
    async def remember(get_resource, n):
        cache = await get_resource("cache")
        await cache.set("n", n)
        return await cache.get("n")

    async def main():
        async with AsyncWorkflowTestCase() as test:
            await test.create_test_resource("cache", lambda: AsyncWorkflowFixtures.create_test_cache(url), mock=True)
            result = await test.execute_workflow(remember, {"n": 7})
            assert (result.error, result.outputs) == (None, {"remember": 7})
            test.assert_resource_called("cache", "set", times=1, with_args=("n", 7))
            assert keys(url) == 1
        assert keys(url) == 0

    asyncio.run(main())


def test_a_server_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def main():
        cache = await AsyncWorkflowFixtures.create_test_cache(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(redis.ConnectionError, match=str(port)):
            await cache.get("key")
        with pytest.raises(redis.ConnectionError):
            await cache.aclose()

    asyncio.run(main())
