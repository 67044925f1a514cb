"""Reading what requests say. What is wrong with it is a `ValueError` that names the field."""

from collections.abc import Mapping
from datetime import UTC, datetime

from ulid import ULID


def limit_in(parameters: Mapping[str, str]) -> int:
    """`limit`, by default 20.

    Raises:
        ValueError: It is no whole number.
    """
    text = parameters.get("limit", "20")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"limit is {text!r}; expected a whole number")
    return int(text)


def time_in(parameters: Mapping[str, object], name: str) -> datetime | None:
    """The time in the field `name`, None where there is none.

    Raises:
        ValueError: It is no time.
    """
    text = parameters.get(name)
    return None if text is None or text == "" else moment(text, name)


def moment(value: object, name: str) -> datetime:
    """A time of RFC 3339; one without a zone counts as UTC.

    Raises:
        ValueError: It is none.
    """
    try:
        if not isinstance(value, str):
            raise TypeError
        # A + that was not percent-encoded in a query has become a space.
        time = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
        return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; expected a time such as 2026-01-02T03:04:05Z") from None


def is_ulid(text: str) -> bool:
    """Whether a text is written as a ULID."""
    try:
        ULID.from_str(text)
    except ValueError:
        return False
    return True
