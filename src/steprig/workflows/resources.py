"""The resources of a test: real ones and mocks, by name."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from steprig.workflows.cleanup import CleanupStack, awaited, closer_of
from steprig.workflows.errors import UnknownResourceError
from steprig.workflows.mock_registry import MockResourceRegistry, made_by
from steprig.workflows.mocks import ResourceMock
from steprig.workflows.yielding import yielded_by


class _Recipe(NamedTuple):
    factory: Any
    health_check: Callable[[Any], Any] | None
    cleanup_handler: Callable[[Any], Any] | None
    lock: asyncio.Lock


class TestResources:
    """What workflows get from `get_resource`. Mocks come first.

    Args:
        mocks: The mocks.
        cleanups: Where the end of each resource is noted.
    """

    __test__ = False

    def __init__(self, mocks: MockResourceRegistry, cleanups: CleanupStack) -> None:
        self._mocks = mocks
        self._cleanups = cleanups
        self._made: dict[str, Any] = {}
        self._recipes: dict[str, _Recipe] = {}
        self._yielded: set[str] = set()
        cleanups.push("what has become a mock", mocks.restore)  # the last: the others may call what a test has set

    def register_factory(
        self,
        name: str,
        factory: Any,
        health_check: Callable[[Any], Any] | None = None,
        cleanup_handler: Callable[[Any], Any] | None = None,
    ) -> None:
        """Say how to make a resource when somebody first gets it. For the arguments see `create_test_resource`."""
        self._refuse_twice(name)
        self._recipes[name] = _Recipe(factory, health_check, cleanup_handler, asyncio.Lock())

    async def create_mock(self, name: str, factory: Any, cleanup_handler: Callable[[Any], Any] | None) -> Any:
        """Make a mock. An object that has become one is closed at the end like a real resource."""
        self._refuse_twice(name)
        mock = await self._mocks.create_mock(name, None if factory is None else partial(self._made_by, factory, name))
        if cleanup_handler is not None or not (isinstance(mock, ResourceMock) and mock._is_free):
            self._note_end(name, mock, cleanup_handler)
        return mock

    async def get_resource(self, name: str) -> Any:
        """The resource, made now if it was only registered.

        Raises:
            UnknownResourceError: There is none of that name.
        """
        if name in self._recipes and name not in self._mocks.list_mocks():
            recipe = self._recipes[name]
            async with recipe.lock:
                if name not in self._made:
                    await self._make(name, recipe)
        return self.existing(name)

    def existing(self, name: str) -> Any:
        """The resource, if it is made.

        Raises:
            UnknownResourceError: It is not.
        """
        mock = self._mocks.get_mock(name)
        if mock is not None:
            return mock
        if name not in self._made:
            raise UnknownResourceError(name, self.list_resources())
        return self._made[name]

    def list_resources(self) -> list[str]:
        """The names of all."""
        return list(dict.fromkeys([*self._recipes, *self._mocks.list_mocks()]))

    def is_mock(self, name: str) -> bool:
        """Whether a resource is a mock.

        Raises:
            UnknownResourceError: There is none of that name.
        """
        if name not in self.list_resources():
            raise UnknownResourceError(name, self.list_resources())
        return name in self._mocks.list_mocks()

    async def _make(self, name: str, recipe: _Recipe) -> None:
        resource = await self._made_by(recipe.factory, name)
        self._note_end(name, resource, recipe.cleanup_handler)
        if recipe.health_check is not None and not await awaited(recipe.health_check(resource)):
            raise RuntimeError(f"the resource {name!r} is not healthy: its health_check did not give True")
        self._made[name] = resource

    async def _made_by(self, factory: Any, name: str) -> Any:
        made = await made_by(factory)
        manager = yielded_by(factory, made)
        if manager is None:
            return made
        resource = await manager.__aenter__()
        self._yielded.add(name)
        self._cleanups.push(f"the resource {name!r}", partial(manager.__aexit__, None, None, None))
        return resource

    def _note_end(self, name: str, resource: Any, handler: Callable[[Any], Any] | None) -> None:
        if handler is not None:
            self._cleanups.push(f"the resource {name!r}", partial(handler, resource))
        elif name not in self._yielded and (close := closer_of(resource)) is not None:
            self._cleanups.push(f"the resource {name!r}", close)

    def _refuse_twice(self, name: str) -> None:
        if name in self.list_resources():
            raise ValueError(
                f"there is a resource {name!r} already; give each a name of its own. Known: "
                + ", ".join(map(repr, self.list_resources()))
            )
