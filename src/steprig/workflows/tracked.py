"""A method whose calls are written down, with the configuration and the assertions of `unittest.mock`."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import reduce
from time import perf_counter
from typing import Any
from unittest.mock import DEFAULT, AsyncMock, Mock, NonCallableMock

from steprig.workflows.calls import CallLog, CallRecord
from steprig.workflows.pending import Pending, is_enterable, mark_async

UNSET = object()

_inside: ContextVar[tuple[CallLog, ...]] = ContextVar("steprig_inside", default=())
"""The resources whose own code is running: what such code calls on itself is no call of a test's."""

OF_CALLS = frozenset(name for name in dir(AsyncMock()) if not name.startswith("_"))
"""What `unittest.mock` knows of a function that is a mock."""

_ANSWERED = OF_CALLS - {"return_value", "side_effect", "attach_mock", "mock_add_spec"}


class TrackedMethod:
    """Stands in for a method. It costs about a sixth of an `AsyncMock` call, which keeps less.

    `return_value` and `side_effect` mean what they mean in `unittest.mock`; what else that module knows
    (`assert_called_once_with`, `await_count`, `call_args`, ...) it answers itself, from the calls written down.

    Args:
        name: The method's name, with dots for what hangs on another: `users.find`.
        log: Where its calls are written down.
        original: What it does while nothing is configured; None for a method that is free.
        is_async: Whether a call gives something to await.
        default: What a free method gives; by default a mock.
    """

    def __init__(
        self,
        name: str,
        log: CallLog,
        *,
        original: Callable[..., Any] | None = None,
        is_async: bool = True,
        default: object = UNSET,
    ) -> None:
        own = self.__dict__
        own.update(_name=name, _log=log, _original=original, _is_async=is_async, _default=default)
        own.update(_return_value=UNSET, _side_effect=None, __name__=name.rpartition(".")[2])
        own.update(__doc__=getattr(original, "__doc__", None))
        own.update(_is_enterable=original is None or isinstance(original, NonCallableMock) or is_enterable(original))
        if is_async:
            mark_async(own)

    @property
    def return_value(self) -> Any:
        """What a call gives. Reading it before it is set makes a mock of it."""
        if self._return_value is UNSET:
            self.__dict__["_return_value"] = AsyncMock(name=f"{self._name}()")
        return self._return_value

    @return_value.setter
    def return_value(self, value: object) -> None:
        self.__dict__["_return_value"] = value

    @property
    def side_effect(self) -> Any:
        """An exception to raise, a function to call, sync or async, or the results one after the other."""
        return self._side_effect

    @side_effect.setter
    def side_effect(self, effect: Any) -> None:
        if not (effect is None or callable(effect) or _is_exception(effect)):
            effect = iter(effect)
        self.__dict__["_side_effect"] = effect

    def reset_mock(self) -> None:
        """Take back what was configured. The calls stay with the resource, which forgets them by `reset_history`."""
        self.__dict__.update(_return_value=UNSET, _side_effect=None)

    def configure_mock(self, **settings: Any) -> None:
        """Set attributes by their paths, as in `configure_mock(return_value=7)`."""
        configure(self, settings)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._original is not None and self._log in _inside.get():
            record = CallRecord(self._name, args, kwargs, None)  # seen by nobody
        else:
            record = self._log.begin(self._name, args, kwargs)
        if not self._is_async:
            return self._finish(record)
        return Pending(self._await(record)) if self._is_enterable else self._await(record)

    async def _await(self, record: CallRecord) -> Any:
        began = perf_counter()
        try:
            if self._side_effect is None and self._return_value is not UNSET:
                result = self._return_value
            else:
                result = self._answer(record.args, record.kwargs)
                if inspect.isawaitable(result) and result is not self._return_value:
                    result = await self._as_own(result)
        except BaseException as error:
            record.exception = error
            raise
        else:
            record.result = result
            return result
        finally:
            record.duration, record.done = perf_counter() - began, True

    def _finish(self, record: CallRecord) -> Any:
        began = perf_counter()
        try:
            record.result = self._answer(record.args, record.kwargs)
        except BaseException as error:
            record.exception = error
            raise
        else:
            return record.result
        finally:
            record.duration, record.done = perf_counter() - began, True

    def _answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._side_effect is not None and (result := self._effect(args, kwargs)) is not DEFAULT:
            return result
        if self._return_value is not UNSET:
            return self._return_value
        if self._original is not None:
            return self._call_original(args, kwargs)
        return self.return_value if self._default is UNSET else self._default

    def _effect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        effect = self._side_effect
        if _is_exception(effect):
            raise effect
        if callable(effect):
            return effect(*args, **kwargs)
        result = self._next(effect)
        if _is_exception(result):
            raise result
        return result

    def _next(self, effects: Iterator[Any]) -> Any:
        try:
            return next(effects)
        except StopIteration:
            used_up = StopAsyncIteration if self._is_async else StopIteration
            raise used_up(f"the side_effect of {self._name} has no result left for this call") from None

    def _call_original(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = _inside.set((*_inside.get(), self._log))
        try:
            return self._original(*args, **kwargs)
        finally:
            _inside.reset(token)

    async def _as_own(self, result: Awaitable[Any]) -> Any:
        if self._original is None:
            return await result
        token = _inside.set((*_inside.get(), self._log))
        try:
            return await result
        finally:
            _inside.reset(token)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _ANSWERED:
            return getattr(self._as_mock(), name)
        if self._original is not None or name in OF_CALLS or name.startswith(("_", "assert", "assret")):
            raise AttributeError(f"{self._name} has no attribute {name!r}")
        child = TrackedMethod(f"{self._name}.{name}", self._log)
        self.__dict__[name] = child
        return child

    def _as_mock(self) -> Mock:
        """A mock of `unittest.mock` that has seen the calls of this method."""
        records = self._log.of(self._name)
        mock = AsyncMock(name=self._name) if self._is_async else Mock(name=self._name)
        mock.called = bool(records)
        mock.mock_calls = _set_calls(mock, "call", records).mock_calls
        if self._is_async:
            _set_calls(mock, "await", [record for record in records if record.done])
        return mock

    def __repr__(self) -> str:
        return f"<tracked method {self._name}>"


def configure(target: Any, settings: Mapping[str, Any]) -> None:
    """Set attributes by their paths: what `unittest.mock` does in `configure_mock`."""
    for path, value in settings.items():
        *way, last = path.split(".")
        setattr(reduce(getattr, way, target), last, value)


def _set_calls(mock: Mock, verb: str, records: list[CallRecord]) -> Mock:
    seen = Mock()
    for record in records:
        seen(*record.args, **record.kwargs)
    for suffix in ("count", "args", "args_list"):
        setattr(mock, f"{verb}_{suffix}", getattr(seen, f"call_{suffix}"))
    return seen


def _is_exception(value: object) -> bool:
    return isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException))
