"""What is known of each call of a resource, in the order of the calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from reprlib import Repr
from typing import Any, Protocol
from unittest.mock import Mock

from steprig.workflows.errors import count

_brief = Repr()
_brief.maxstring = _brief.maxother = 120
_brief.maxdict = _brief.maxlist = _brief.maxtuple = 12


@dataclass(slots=True, eq=False)
class CallRecord:
    """One call, written when it is made and completed when it is over."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    timestamp: datetime | None
    """When it was made, in UTC; None for a call of a plain `unittest.mock` object, which does not keep it."""
    result: Any = None
    exception: BaseException | None = None
    duration: float = 0.0
    """Seconds from the call, for an async method from its await, to its end."""
    done: bool = False
    """Whether it is over: for an async method, whether it was awaited to its end."""

    def __str__(self) -> str:
        arguments = [_brief.repr(each) for each in self.args]
        arguments += [f"{name}={_brief.repr(value)}" for name, value in self.kwargs.items()]
        text = f"{self.method}({', '.join(arguments)})"
        if self.exception is not None:
            return f"{text} raised {self.exception!r}"
        return f"{text} -> {_brief.repr(self.result)}" if self.done else f"{text}, not awaited"


class Calls(Protocol):
    """The calls of one resource."""

    def of(self, method: str | None = None) -> list[CallRecord]:
        """Those of one method, or all, oldest first. Reading changes nothing."""

    def clear(self) -> None:
        """Forget them."""


class CallLog:
    """The calls of a tracked resource."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: list[CallRecord] = []

    def begin(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRecord:
        """Write down a call."""
        record = CallRecord(method, args, kwargs, datetime.now(UTC))
        self._records.append(record)
        return record

    def of(self, method: str | None = None) -> list[CallRecord]:
        """See `Calls.of`."""
        return [record for record in self._records if method is None or record.method == method]

    def clear(self) -> None:
        """See `Calls.clear`."""
        self._records.clear()


class PlainMockCalls:
    """The calls that a plain `unittest.mock` object has kept by itself: their arguments, not their results."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock

    def of(self, method: str | None = None) -> list[CallRecord]:
        """See `Calls.of`."""
        return [
            CallRecord(name or "__call__", tuple(args), dict(kwargs), None, done=True)
            for name, args, kwargs in self._mock.mock_calls
            if "(" not in name and method in (None, name or "__call__")
        ]

    def clear(self) -> None:
        """See `Calls.clear`."""
        self._mock.reset_mock()


def matching(
    records: Sequence[CallRecord], with_args: Sequence[Any] | None, with_kwargs: Mapping[str, Any] | None
) -> list[CallRecord]:
    """The calls that had exactly these positional arguments, and at least these keyword arguments."""
    missing = object()
    return [
        record
        for record in records
        if (with_args is None or record.args == tuple(with_args))
        and all(record.kwargs.get(name, missing) == value for name, value in (with_kwargs or {}).items())
    ]


def assert_called(
    resource: str,
    calls: Calls,
    method: str,
    *,
    times: int | None,
    with_args: Sequence[Any] | None,
    with_kwargs: Mapping[str, Any] | None,
) -> None:
    """Fail unless the method was called so often, or at all, with these arguments.

    Raises:
        AssertionError: Names both counts and shows the calls there were.
        TypeError: `with_args` is one argument rather than all of them, or `with_kwargs` no dict.
    """
    if with_args is not None and (isinstance(with_args, str | bytes) or not isinstance(with_args, Sequence)):
        raise TypeError(f"with_args has all positional arguments, as in with_args=({with_args!r},); got {with_args!r}")
    if with_kwargs is not None and not isinstance(with_kwargs, Mapping):
        raise TypeError(f"with_kwargs is a dict of keyword arguments; got {with_kwargs!r}")
    made = calls.of(method)
    found = matching(made, with_args, with_kwargs)
    if len(found) == times or (times is None and found):
        return
    wanted = "at least 1 call" if times is None else count(times, "call")
    sought = _sought(with_args, with_kwargs)
    raise AssertionError(
        f"{resource}.{method}: expected {wanted}{sought}, found {len(found)}{_of_all(made, found)}.\n"
        + _listing(resource, method, calls)
    )


def _sought(with_args: Sequence[Any] | None, with_kwargs: Mapping[str, Any] | None) -> str:
    sought = [] if with_args is None else [f"with_args={tuple(with_args)!r}"]
    sought += [] if with_kwargs is None else [f"with_kwargs={dict(with_kwargs)!r}"]
    return f" with {' and '.join(sought)}" if sought else ""


def _of_all(made: Sequence[CallRecord], found: Sequence[CallRecord]) -> str:
    return "" if len(made) == len(found) else f" among {count(len(made), 'call')}"


def _listing(resource: str, method: str, calls: Calls) -> str:
    records, what = calls.of(method), f"{resource}.{method}"
    if not records:
        records, what = calls.of(), resource
    if not records:
        return f"{resource} was not called at all."
    lines = [f"  {number}. {record}" for number, record in enumerate(records[:50], 1)]
    more = [f"  ... and {len(records) - 50} more"] if len(records) > 50 else []
    return "\n".join([f"The calls of {what}:", *lines, *more])
