"""Resources that are mocks: free ones, with a class's interface, and objects that stay themselves."""

import inspect
from collections.abc import Callable, Generator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self
from unittest.mock import AsyncMock, NonCallableMock, create_autospec

from steprig.workflows.calls import CallLog, CallRecord
from steprig.workflows.given import GivenMethod
from steprig.workflows.pending import is_async
from steprig.workflows.tracked import OF_CALLS, UNSET, TrackedMethod, configure

_DEFAULTS: dict[str, object] = {
    "fetch": [], "execute": None, "fetchone": None, "fetchrow": None, "fetchval": None, "get": None,
}  # fmt: skip


class MockResource:
    """Base of mocks that a test writes itself: once registered, each public method is tracked."""

    def __init__(self, spec: object = None) -> None:
        self.spec = spec

    def get_calls(self, method: str | None = None) -> list[CallRecord]:
        """The calls of one method, or all, oldest first; none before the resource is registered."""
        log: CallLog | None = self.__dict__.get("_steprig_log")
        return [] if log is None else log.of(method)


class ResourceMock:
    """A mock whose methods are made on first use, and are async unless a `spec` says otherwise.

    `fetch` gives [], `execute`, `fetchone`, `fetchrow`, `fetchval` and `get` give None, `acquire` a context manager
    that yields the mock, any other method a mock.

    Args:
        name: The resource's name, for messages.
        log: Where calls are written down.
        spec: A class: what it lacks is an `AttributeError`, and calls have to fit its signatures.
        stand_in_for: An object that does the work, whose own methods cannot be replaced, or a `unittest.mock` object
            with what was set on it.
    """

    def __init__(self, name: str, log: CallLog, *, spec: object = None, stand_in_for: object = None) -> None:
        template = None if spec is None else create_autospec(spec, instance=True)
        self.__dict__.update(_name=name, _log=log, _spec=spec, _template=template, _stand_in_for=stand_in_for)
        self.__dict__["_is_free"] = stand_in_for is None or isinstance(stand_in_for, NonCallableMock)

    def get_calls(self, method: str | None = None) -> list[CallRecord]:
        """The calls of one method, or all, oldest first."""
        return self._log.of(method)  # type: ignore[no-any-return]

    def reset_mock(self) -> None:
        """Forget the calls."""
        self._log.clear()

    def configure_mock(self, **settings: Any) -> None:
        """Set attributes by their paths, as in `configure_mock(**{"fetch.return_value": []})`."""
        configure(self, settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "assert", "assret")):
            own_name = self.__dict__.get("_name")  # a copy is asked for its special methods before it has one
            raise AttributeError(f"the mock {own_name!r} has no attribute {name!r}{_hint(name)}")
        self._refuse_of_method(name)
        value = self._make(name)
        self.__dict__[name] = value
        return value

    def _make(self, name: str) -> Any:
        if self._template is not None:
            return self._tracked(name, self._of_template(name))
        if self._stand_in_for is not None and self._is_set(name):
            original = getattr(self._stand_in_for, name)
            return self._standing_in(name, original) if callable(original) else original
        if name == "acquire":
            return TrackedMethod(name, self._log, is_async=False, default=_Acquired(self))
        return TrackedMethod(name, self._log, default=_fresh(_DEFAULTS.get(name, UNSET)))

    def _of_template(self, name: str) -> Any:
        try:
            return getattr(self._template, name)
        except AttributeError:
            known = ", ".join(each for each in dir(self._spec) if not each.startswith("_"))
            kind = getattr(self._spec, "__name__", repr(self._spec))
            message = f"the mock {self._name!r} has no attribute {name!r}, as {kind} has none; that has: {known}"
            raise AttributeError(message) from None

    def _is_set(self, name: str) -> bool:
        return not self._is_free or name in dir(self._stand_in_for)

    def _standing_in(self, name: str, original: Callable[..., Any]) -> TrackedMethod:
        if isinstance(original, AsyncMock):
            return GivenMethod(name, self._log, original)
        if isinstance(original, NonCallableMock):
            return TrackedMethod(name, self._log, original=original)  # a free mock's methods are async
        return track(name, self._log, original)

    def _refuse_of_method(self, name: str) -> None:
        """A free mock is no function: what `unittest.mock` says of calls is to be had from its methods."""
        if name in OF_CALLS and self._template is None and self._stand_in_for is None:
            raise AttributeError(f"the mock {self._name!r} has no {name!r}, which only its methods have{_HINT}")

    def __setattr__(self, name: str, value: object) -> None:
        self._refuse_of_method(name)
        self.__dict__[name] = self._tracked(name, value)

    def _tracked(self, name: str, value: Any) -> Any:
        is_method_mock = isinstance(value, NonCallableMock) and callable(value)
        if is_method_mock or (self._template is not None and callable(value)):
            return GivenMethod(name, self._log, value)
        return value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __deepcopy__(self, memo: object) -> Self:
        return self  # what is called on the copy is to be known, too

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._spec or self._stand_in_for)})

    def __repr__(self) -> str:
        return f"<mock resource {self._name!r}>"


class _Acquired:
    """What `acquire` gives: a context manager, awaited first or not."""

    def __init__(self, mock: ResourceMock) -> None:
        self._mock = mock

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self

    async def __aenter__(self) -> ResourceMock:
        return self._mock

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def track(name: str, log: CallLog, original: Callable[..., Any]) -> TrackedMethod:
    """The method, tracked; it still does what it did."""
    return TrackedMethod(name, log, original=original, is_async=is_async(original))


def track_in_place(resource: Any, name: str, log: CallLog) -> tuple[Any, Callable[[], None]]:
    """Replace the public methods of an object by tracked ones.

    Methods that its class names in `_untracked_methods` are left alone.

    Returns:
        The object itself, or what stands in for it when it takes no new attributes; and what gives it its own methods
        back.
    """
    before = {**getattr(resource, "__dict__", {})}
    try:
        resource._steprig_log = log
    except (AttributeError, TypeError):
        return ResourceMock(name, log, stand_in_for=resource), lambda: None
    ours: dict[str, object] = {"_steprig_log": log}
    if not hasattr(resource, "get_calls"):
        ours["get_calls"] = log.of
    ours |= {method: track(method, log, original) for method, original in _public_methods(resource)}
    for attribute, value in ours.items():
        setattr(resource, attribute, value)
    return resource, partial(_let_go, resource, ours, before)


def _let_go(resource: Any, ours: Mapping[str, object], before: Mapping[str, object]) -> None:
    for attribute, value in ours.items():
        if vars(resource).get(attribute) is not value:
            continue  # whoever has set it since has it to answer for
        if attribute in before:
            setattr(resource, attribute, before[attribute])
        else:
            delattr(resource, attribute)


def _public_methods(resource: object) -> list[tuple[str, Callable[..., Any]]]:
    left_alone = {"get_calls", *getattr(type(resource), "_untracked_methods", ())}
    names = [name for name in dir(resource) if not name.startswith("_") and name not in left_alone]
    return [
        (name, getattr(resource, name)) for name in names if inspect.isroutine(inspect.getattr_static(resource, name))
    ]


def _fresh(default: object) -> object:
    return [] if default == [] else default


_HINT = "; ask one of its methods, as in mock.fetch.assert_called_once(), or self.assert_resource_called(...)"


def _hint(name: str) -> str:
    if not name.startswith(("assert", "assret")):
        return ""
    return _HINT
