"""A cache for tests: Redis, faked in this process or real."""

import json
import os
import uuid
from typing import Any

from steprig.workflows.errors import count
from steprig.workflows.extras import needed

CacheCall = tuple[str, tuple[Any, ...], dict[str, Any]]


class MockCache:
    """A cache that knows its calls. Any value that JSON can say comes back equal; keys last until their ttl is over.

    Args:
        url: Of a real Redis, such as `redis://localhost:6379/0`, where each cache has keys of its own; None for
            fakeredis, whose keys expire by the machine's clock, also one that `mock_time` has moved.
    """

    _untracked_methods = ("assert_called",)

    def __init__(self, url: str | None = None) -> None:
        self._prefix = ""
        if url is None:
            fakeredis = needed("fakeredis", "workflows", "create_test_cache")
            self._redis: Any = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
        else:
            self._redis = needed("redis.asyncio", "workflows", "create_test_cache").Redis.from_url(url)
            self._prefix = f"steprig:{os.getpid()}:{uuid.uuid4().hex}:"
        self._calls: list[CacheCall] = []

    async def get(self, key: str) -> Any:
        """The value, or None."""
        self._calls.append(("get", (key,), {}))
        found = await self._redis.get(self._prefix + key)
        return None if found is None else json.loads(found)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep a value, for `ttl` seconds or for good."""
        self._calls.append(("set", (key, value), {"ttl": ttl}))
        await self._redis.set(self._prefix + key, _encoded(key, value), px=_milliseconds(ttl))

    async def setex(self, key: str, ttl: float, value: Any) -> None:
        """`set` in the order that Redis has."""
        await self.set(key, value, ttl)

    async def delete(self, key: str) -> bool:
        """Drop a key; whether it was there."""
        self._calls.append(("delete", (key,), {}))
        return bool(await self._redis.delete(self._prefix + key))

    async def expire(self, key: str, ttl: float) -> bool:
        """Have a key last `ttl` seconds from now; whether it was there."""
        self._calls.append(("expire", (key, ttl), {}))
        return bool(await self._redis.pexpire(self._prefix + key, _milliseconds(ttl)))

    async def clear(self) -> None:
        """Drop every key of this cache."""
        self._calls.append(("clear", (), {}))
        await self._drop_all()

    def get_calls(self, method: str | None = None) -> list[CacheCall]:
        """The calls of one method, or all, as `(name, args, kwargs)`; a `setex` counts as the `set` that it is."""
        return [each for each in self._calls if method in (None, each[0])]

    def assert_called(self, method: str, times: int | None = None) -> None:
        """Fail unless a method was called, or so often; shows the calls there were."""
        found = len(self.get_calls(method))
        if found != times and not (times is None and found):
            wanted = "at least 1 call" if times is None else count(times, "call")
            raise AssertionError(f"cache.{method}: expected {wanted}, found {found}. All calls: {self._calls}")

    async def aclose(self) -> None:
        """Drop every key, and let go of Redis."""
        try:
            await self._drop_all()
        finally:
            await self._redis.aclose()

    async def _drop_all(self) -> None:
        keys = [key async for key in self._redis.scan_iter(match=f"{self._prefix}*")]
        if keys:
            await self._redis.delete(*keys)


def _encoded(key: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the cache keeps what JSON can say; the value of {key!r} is {value!r}: {error}") from None


def _milliseconds(ttl: float | None) -> int | None:
    if ttl is None:
        return None
    if ttl <= 0:
        raise ValueError(f"a ttl is a number of seconds above zero; got {ttl!r}")
    return max(1, round(ttl * 1000))
