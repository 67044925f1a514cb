"""Connections: a page of a longer list, with what leads to the next."""

import base64
import binascii
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from graphql import GraphQLError

T = TypeVar("T")


class Page(NamedTuple):
    """Which part of a list is asked for."""

    first: int
    after: str | None


def connection(
    items: Callable[[], Iterable[T]], page: Page, *, id_of: Callable[[T], str], node: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """A page in GraphQL's shape. The list is read no further than the page goes, unless its length is asked for.

    Args:
        items: Begins to read the list.
        page: Which part.
        id_of: What cursors name an item by.
        node: The item in GraphQL's shape.

    Raises:
        GraphQLError: The page is none: `first` is less than 1, or nothing in the list has the cursor `after`.
    """
    if page.first < 1:
        raise GraphQLError(f"first is {page.first}; expected 1 or more")
    left = iter(items())
    if page.after is not None:
        wanted = _id_in(page.after)
        if not any(id_of(item) == wanted for item in left):
            raise GraphQLError(f"after is {page.after!r}; expected a cursor of this list")
    shown = list(islice(left, page.first))
    more = next(left, None) is not None
    edges = [{"cursor": _cursor(id_of(item)), "node": node(item)} for item in shown]
    return {
        "edges": edges,
        "pageInfo": {
            "hasNextPage": more,
            "hasPreviousPage": page.after is not None,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
        "totalCount": lambda info, preview=None: sum(1 for _ in items()),
    }


def _cursor(ident: str) -> str:
    return base64.urlsafe_b64encode(ident.encode()).decode()


def _id_in(cursor: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, ValueError):
        return None
