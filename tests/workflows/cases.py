"""Test cases, mocks and resources, as tests of the workflow kit use them."""

import asyncio

from steprig.workflows import AsyncWorkflowTestCase, MockResourceRegistry


class Case(AsyncWorkflowTestCase):
    __test__ = False


def case(body, of=Case):
    """Run `body(test)` within a test case."""

    async def main():
        async with of() as test:
            return await body(test)

    return asyncio.run(main())


def run(coroutine):
    return asyncio.run(coroutine)


def made(factory=None, **options):
    """A registry, and its mock `service`."""
    registry = MockResourceRegistry()
    return registry, run(registry.create_mock("service", factory, **options))


class Shop:
    def __init__(self):
        self.orders = []

    async def order(self, item, *, count=1):
        return await self.store(item, count)

    async def store(self, item, count):
        self.orders.append((item, count))
        return len(self.orders)

    def total(self):
        return len(self.orders)


class Closing:
    """A resource that tells of its end."""

    def __init__(self, name, closed, error=None):
        self.name, self.closed, self.error = name, closed, error

    async def close(self):
        self.closed.append(self.name)
        if self.error:
            raise self.error
