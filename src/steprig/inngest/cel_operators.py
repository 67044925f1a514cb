"""What values, operators and functions of an expression mean to Inngest, with `Absent` for what CEL would fail on."""

import json
import operator
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import cel

from steprig.inngest.durations import DurationError, parse_duration, parse_time

CACHE_SIZE: Final = 4096
EXACT_DOUBLE: Final = 1 << 53
LIBRARY_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Absent:
    """What an expression has in place of a value: a missing key, or an error that CEL would raise."""

    reason: str
    is_error: bool = True


MISSING: Final = Absent("no such key", is_error=False)


def key_text(value: object) -> str:
    """Write the value of a key expression as the text that keys are compared by.

    Args:
        value: What `Expression.evaluate` returned.

    Returns:
        A string as it is; a number or boolean as Go's ``%v`` writes it (``1.0`` is ``1``); a list
        or map as compact JSON with sorted keys, which is steprig's own choice.
    """
    match value:
        case str():
            return value
        case bool() | None | list() | dict():
            return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case _:
            return str(value)


class _Int(int):
    """A CEL int inside a list or map, where a plain `int` is an event's number, hence a double."""


def double(value: Any) -> Any:
    """A number as read from an event: a double unless that would lose digits."""
    if type(value) is int and -EXACT_DOUBLE <= value <= EXACT_DOUBLE:
        return float(value)
    return value


def kept(value: Any) -> Any:
    return _Int(value) if type(value) is int else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by value across types, all else only within its own type."""
    if isinstance(left, str) or left is None:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def truthy(value: Any) -> bool:
    """What ``&&`` and ``||`` take for true. Inngest follows JavaScript here, lists and maps included."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list | dict):
        return True
    return not isinstance(value, Absent) and bool(value)


def lookup(container: Any, key: Any) -> Any:
    if type(container) is dict:
        return double(container.get(key, MISSING)) if not isinstance(key, list | dict) else MISSING
    if isinstance(container, list) and _is_number(key) and float(key).is_integer() and 0 <= key < len(container):
        return double(container[int(key)])
    return MISSING


def _equals(left: Any, right: Any) -> bool:
    """A missing value equals null and nothing else, not even another missing value."""
    if isinstance(left, Absent):
        return right is None
    if isinstance(right, Absent):
        return left is None
    return _equal(left, right)


def _differs(left: Any, right: Any) -> bool:
    return not _equals(left, right)


def _ordering(sign: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def ordered(left: Any, right: Any) -> Any:
        if isinstance(left, Absent) or isinstance(right, Absent):
            return False
        left, right = _null_as_zero(left, right), _null_as_zero(right, left)
        if _comparable(left, right):
            return compare(left, right)
        return Absent(f"{type_name(left)} {sign} {type_name(right)} is not defined")

    return ordered


def _null_as_zero(value: Any, other: Any) -> Any:
    """Before an order is decided, null becomes the zero of the other operand's type."""
    if value is None and (isinstance(other, str) or _is_number(other)):
        return type(other)()
    return value


def _comparable(left: Any, right: Any) -> bool:
    if _is_number(left):
        return _is_number(right)
    return type(left) is type(right) and isinstance(left, str | bytes | bool | datetime | timedelta)


def _within(item: Any, container: Any) -> Any:
    if isinstance(item, Absent) or isinstance(container, Absent):
        return False
    if isinstance(container, list):
        return any(_equal(item, element) for element in container)
    if isinstance(container, dict):
        return isinstance(item, str | int | float) and item in container
    return Absent(f"'in' needs a list or map, found {type_name(container)}")


def _add(left: Any, right: Any) -> Any:
    """A missing operand counts as nothing; operands of two types are written one after the other.

    So ``'user-' + event.data.id`` is a usable key, and ``event.data.x + 1`` is text and equal to no number.
    """
    if left is MISSING or right is MISSING:
        other = right if left is MISSING else left
        return False if other is MISSING else other
    if isinstance(left, Absent) or isinstance(right, Absent):
        return left if isinstance(left, Absent) else right
    result = _library("_0 + _1", left, right)
    if isinstance(result, Absent) and type(left) is not type(right):
        return key_text(left) + key_text(right)
    return result


def _arithmetic(sign: str) -> Callable[[Any, Any], Any]:
    def computed(left: Any, right: Any) -> Any:
        return or_false(f"_0 {sign} _1", left, right)

    return computed


def type_name(value: Any) -> str:
    return "null" if value is None else type(value).__name__.lstrip("_").lower()


OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": _equals,
    "!=": _differs,
    "<": _ordering("<", operator.lt),
    "<=": _ordering("<=", operator.le),
    ">": _ordering(">", operator.gt),
    ">=": _ordering(">=", operator.ge),
    "in": _within,
    "+": _add,
    "-": _arithmetic("-"),
    "*": _arithmetic("*"),
    "/": _arithmetic("/"),
    "%": _arithmetic("%"),
}


@lru_cache(CACHE_SIZE)
def _program(source: str) -> cel.Program:
    return cel.compile(source)


def _library(source: str, *arguments: Any) -> Any:
    """Let the library compute one operation over ``_0``, ``_1``, ..."""
    try:
        return _program(source).execute({f"_{place}": value for place, value in enumerate(arguments)})
    except LIBRARY_ERRORS as error:
        return Absent(str(error))


def or_false(source: str, *arguments: Any) -> Any:
    """The same, except that an operation on a missing value is false."""
    return False if _any_absent(arguments) else _library(source, *arguments)


def _any_absent(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Absent) for value in values)


def size(value: Any) -> Any:
    return 0 if isinstance(value, Absent) else _library("size(_0)", value)


def _string(value: Any) -> Any:
    # The library converts neither booleans nor, as it should not, null.
    return json.dumps(value) if isinstance(value, bool) else or_false("string(_0)", value)


def _bool(value: Any) -> Any:
    try:
        return value if isinstance(value, bool) else cel.stdlib.bool_(value)
    except ValueError as error:
        return Absent(str(error))


def _b64decode(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return ""


def _json_parse(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _on_text(function: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Inngest's own text functions take anything but text for the empty string."""

    def applied(value: Any) -> Any:
        return False if isinstance(value, Absent) else function(value if isinstance(value, str) else "")

    return applied


def _date(value: Any) -> Any:
    """Times before 2000 are no times; larger numbers are seconds, milliseconds or nanoseconds by size."""
    if isinstance(value, Absent):
        return False
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _date_of_text(value)
    if not _is_number(value) or value < 946_684_800:
        return Absent(f"date() expected a time, found {value!r}")
    unit = 1 if value < 1e10 else 1e3 if value < 1e13 else 1e9
    try:
        return datetime.fromtimestamp(value / unit, UTC)
    except (OverflowError, OSError, ValueError) as error:
        return Absent(f"date() of {value!r}: {error}")


def _date_of_text(text: str) -> Any:
    try:
        return parse_time(text)
    except DurationError as error:
        reason = str(error)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return Absent(reason)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _shifted(now: datetime, text: Any, sign: int) -> Any:
    if not isinstance(text, str):
        return False if isinstance(text, Absent) else Absent(f"expected a duration, found {type_name(text)}")
    try:
        return now + parse_duration(text) * sign
    except (DurationError, OverflowError) as error:
        return Absent(str(error))


FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "b64decode": _on_text(_b64decode),
    "bool": _bool,
    "date": _date,
    "json_parse": _on_text(_json_parse),
    "lowercase": _on_text(str.lower),
    "size": size,
    "string": _string,
    "uppercase": _on_text(str.upper),
}
TIME_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "now": lambda now: now,
    "now_minus": lambda now, text: _shifted(now, text, -1),
    "now_plus": lambda now, text: _shifted(now, text, 1),
}
