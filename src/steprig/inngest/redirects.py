"""Where a redirected call goes on, as the dev server's HTTP client has it."""

from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit, urlunsplit

from yarl import URL

MAX_REDIRECTS = 60
"""So many because some hosts redirect a call again and again for as long as it runs."""

_TO_GET = (301, 302, 303)
_AS_BEFORE = (307, 308)


class Hop(NamedTuple):
    """One request of a call."""

    method: str
    url: URL


def next_hop(hop: Hop, first: URL, status: int, location: str | None) -> Hop | None:
    """The request that follows an answer; None when the answer is the call's own.

    After 301, 302 and 303 it is a GET, whatever it was before: where an SDK serves, that describes the app and runs
    nothing. Whatever the method, the headers and the body of the call go along, and so does its query.

    Args:
        hop: What was answered.
        first: Where the call went at first; its query is added to that of every location.
        status: The answer's.
        location: The header of the answer, which may be relative. Without it nothing follows.

    Raises:
        ValueError: The location is no URL.
    """
    if not location or status not in _TO_GET + _AS_BEFORE:
        return None
    parts = urlsplit(urljoin(str(hop.url), location))
    query = parse_qs(parts.query, keep_blank_values=True) | parse_qs(first.raw_query_string, keep_blank_values=True)
    url = URL(urlunsplit(parts._replace(query=urlencode(query, doseq=True))), encoded=True)
    return Hop("GET" if status in _TO_GET else hop.method, url)
