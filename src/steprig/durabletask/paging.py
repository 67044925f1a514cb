"""Pages of a sorted listing. A token is the sort key of a page's last row: rows may come and go between pages."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple, TypeVar

from steprig.durabletask.problems import invalid

T = TypeVar("T")


class Key(NamedTuple):
    """Where a row stands."""

    at: datetime
    ident: str


def token_of(key: Key) -> str:
    """The key as a client keeps it: the time in ISO 8601, a bar, and the id."""
    return f"{key.at.isoformat(timespec='microseconds')}|{key.ident}"


def key_in(token: str) -> Key:
    """The key in a token.

    Raises:
        RefusedError: It is no token of this backend.
    """
    at, bar, ident = token.partition("|")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        bar = ""
    if not bar or moment.tzinfo is None:
        raise invalid(f"the continuation token {token!r} was not given by this backend; pass one as it was returned")
    return Key(moment, ident)


def page(rows: Iterable[T], key_of: Callable[[T], Key], token: str | None, size: int) -> tuple[list[T], str | None]:
    """The rows after a token, `size` of them at most, and the token of the next page, None when this is the last.

    Args:
        rows: In any order.
        key_of: By which they are sorted.
        token: Of the page before; None, or empty, for the first.
        size: All where it is not positive.
    """
    after = key_in(token) if token else None
    left = sorted((row for row in rows if after is None or key_of(row) > after), key=key_of)
    if size <= 0 or len(left) <= size:
        return left, None
    return left[:size], token_of(key_of(left[size - 1]))
