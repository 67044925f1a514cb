"""The mocks of a test, by name, and what is known of their calls."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest.mock import NonCallableMock

from steprig.workflows.calls import CallLog, CallRecord, Calls, PlainMockCalls, assert_called
from steprig.workflows.errors import UnknownResourceError
from steprig.workflows.mocks import MockResource, ResourceMock, track_in_place


class MockResourceRegistry:
    """Mocks and their calls. Works without a test case, too."""

    def __init__(self) -> None:
        self._mocks: dict[str, Any] = {}
        self._calls: dict[str, Calls] = {}
        self._let_go: list[Callable[[], None]] = []

    def register_mock(self, name: str, mock: Any) -> None:
        """Add a mock, or any object, whose public methods are then tracked until `restore`.

        A `unittest.mock` object keeps its calls by itself; their results and times are not known.
        """
        if isinstance(mock, NonCallableMock):
            self._add(name, mock, PlainMockCalls(mock))
            return
        if isinstance(mock, ResourceMock):
            self._add(name, mock, mock._log)
            return
        log = getattr(mock, "_steprig_log", None)
        if not isinstance(log, CallLog):
            log = CallLog()
            given, (mock, let_go) = mock, track_in_place(mock, name, log)
            if not isinstance(given, MockResource):  # which is a mock by its class
                self._let_go.append(let_go)
        self._add(name, mock, log)

    async def create_mock(self, name: str, factory: Any = None, spec: object = None) -> Any:
        """Make a mock and add it.

        Args:
            name: Its name.
            factory: Gives, maybe once awaited, an object that becomes the mock: it still works, its methods are
                tracked, and each can be configured. May be None, or give None: the mock is then free, see
                `ResourceMock`. One that gives a `Mock` makes a free mock that begins with what was set on it. May have
                a method `create` instead of being called.
            spec: The class that a free mock has to look like.

        Returns:
            The mock.
        """
        made = None if factory is None or spec is not None else await made_by(factory)
        if made is None or isinstance(made, NonCallableMock):
            log = CallLog()
            self._add(name, ResourceMock(name, log, spec=spec, stand_in_for=made), log)
        else:
            self.register_mock(name, made)
        return self._mocks[name]

    def get_mock(self, name: str) -> Any:
        """The mock, or None."""
        return self._mocks.get(name)

    def list_mocks(self) -> list[str]:
        """The names, in the order in which the mocks came."""
        return [*self._mocks]

    def get_calls(self, name: str, method: str | None = None) -> list[CallRecord]:
        """The calls of a mock's method, or all of the mock's, oldest first.

        Raises:
            UnknownResourceError: There is no such mock.
        """
        return self._calls_of(name).of(method)

    def assert_called(
        self,
        name: str,
        method: str,
        times: int | None = None,
        with_args: Sequence[Any] | None = None,
        with_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Fail unless a method was called.

        Args:
            name: The mock's.
            method: The method's.
            times: How often; None for at least once.
            with_args: Count only calls with exactly these positional arguments.
            with_kwargs: Count only calls with these keyword arguments, and maybe more.

        Raises:
            AssertionError: It was not. Shows the calls there were.
            TypeError: `with_args` is one argument rather than all of them, or `with_kwargs` no dict.
            UnknownResourceError: There is no such mock.
        """
        calls = self._calls_of(name)
        if isinstance(calls, CallLog) and isinstance(self._set_on(name, method), NonCallableMock):
            raise AssertionError(  # noqa: TRY004 - whether it holds is not known
                f"the calls of {name}.{method} are not known, as a mock was set in its place: set the return_value or "
                f"side_effect of {name}.{method} itself"
            )
        assert_called(name, calls, method, times=times, with_args=with_args, with_kwargs=with_kwargs)

    def assert_not_called(self, name: str, method: str) -> None:
        """Fail if a method was called."""
        self.assert_called(name, method, times=0)

    def reset_history(self, name: str | None = None) -> None:
        """Forget the calls of one mock, or of all."""
        for each in [self._calls_of(name)] if name is not None else self._calls.values():
            each.clear()

    def restore(self) -> None:
        """Give objects that have become mocks their own methods back, as a test case does at its end.

        What is known of their calls stays in this registry.
        """
        while self._let_go:
            self._let_go.pop()()

    def expect_call(
        self, name: str, method: str, returns: Any = None, raises: BaseException | type[BaseException] | None = None
    ) -> None:
        """Configure what a method gives or raises.

        Raises:
            UnknownResourceError: There is no such mock yet: make it before it is configured.
        """
        self._calls_of(name)
        tracked = getattr(self._mocks[name], method)
        tracked.side_effect = raises
        tracked.return_value = returns

    def _add(self, name: str, mock: Any, calls: Calls) -> None:
        self._mocks[name], self._calls[name] = mock, calls

    def _set_on(self, name: str, method: str) -> object:
        return getattr(self._mocks[name], "__dict__", {}).get(method)

    def _calls_of(self, name: str) -> Calls:
        if name not in self._calls:
            raise UnknownResourceError(name, self._mocks, what="mock")
        return self._calls[name]


async def made_by(factory: Any) -> Any:
    """What a factory makes: a callable, sync or async, or an object with a method `create`.

    Raises:
        TypeError: It is neither.
    """
    make: Callable[[], Any] | None = getattr(factory, "create", None) if not isinstance(factory, type) else None
    if not callable(make):
        make = factory
    if not callable(make):
        raise TypeError(
            f"a factory is a callable without arguments, or has a method create(); got {factory!r} of type "
            f"{type(factory).__qualname__}. To use an object that exists already: lambda: the_object"
        )
    made = make()
    return await made if inspect.isawaitable(made) else made
