"""Reads requests, and refuses what makes no sense by the name and the value of it."""

import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from steprig.aws.errors import InvalidParameterValueException as Invalid

T = TypeVar("T")
_SHOWN = 80
"""Characters of a value that a message repeats."""


def flag(request: Request, name: str, default: bool) -> bool:
    """A boolean of the query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise Invalid(f"{name} must be true or false, not {shown(text)}.")
    return text == "true"


def number(request: Request, name: str) -> int | None:
    """A whole number of the query, None when it is not there."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if re.fullmatch(r"-?[0-9]{1,18}", text) is None:
        raise Invalid(f"{name} must be a whole number, not {shown(text)}.")
    return int(text)


def moment(request: Request, name: str) -> datetime | None:
    """A time of the query, in ISO 8601 or in seconds since 1970; None when it is not there."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise Invalid(f"{name} must be a time in ISO 8601, not {shown(text)}.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def required(request: Request, name: str) -> str:
    """A text of the query that has to be there."""
    text = request.query_params.get(name)
    if not text:
        raise Invalid(f"{name} is required.")
    return text


async def body_as(request: Request, kind: type[T]) -> T:
    """The body, which is JSON; nothing is taken for an empty object.

    Raises:
        InvalidParameterValueException: It is no JSON, or not such; the message names the field and its value.
    """
    body = await request.body() or b"{}"
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(_with_value(str(error), body)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"Could not parse request body into json: {error}") from error


def _with_value(message: str, body: bytes) -> str:
    """msgspec's message, with the value that it is about."""
    what, _, path = message.partition(" - at `$")
    path = path.strip("`")
    where = path.lstrip(".") or "the request body"
    try:
        return f"{where}: {what}. The value is {shown(_value_at(path, msgspec.json.decode(body)))}."
    except (msgspec.DecodeError, RecursionError, LookupError):  # it is no JSON either, further on
        return f"{where}: {what}."


def _value_at(path: str, value: Any) -> object:
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        value = value[name] if name else value[int(index)]
    return value


def shown(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def match(name: str, value: str | None, pattern: re.Pattern[str]) -> None:
    """Raise `InvalidParameterValueException` for a value that is not as it has to be. None is."""
    if value is not None and pattern.fullmatch(value) is None:
        raise Invalid(
            f"1 validation error detected: Value {shown(value)} at '{name}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern.pattern}"
        )
