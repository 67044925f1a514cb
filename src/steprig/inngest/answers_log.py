"""How apps have answered the calls that were made last, for readers who look for what went wrong on the wire."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from steprig.inngest.records import JobId
from steprig.inngest.replies import NoReply, Reply

_KEPT = 500
"""Answers. They are no part of the journal: nothing follows from them."""


class Answer(NamedTuple):
    """The status of an answer over HTTP, and its headers under the names that Go gives them."""

    status: int
    headers: Mapping[str, list[str]]


class Answers:
    """The answers to the newest calls."""

    def __init__(self) -> None:
        self._known: OrderedDict[JobId, tuple[int, tuple[tuple[str, str], ...]]] = OrderedDict()

    def keep(self, job: JobId, reply: Reply | NoReply) -> None:
        """Remember how a call was answered, where it was and over HTTP."""
        if isinstance(reply, NoReply) or not reply.headers:
            return
        self._known[job] = (reply.status, reply.headers)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def of(self, job: JobId) -> Answer | None:
        """How a call was answered, if that is known still."""
        known = self._known.get(job)
        if known is None:
            return None
        headers: dict[str, list[str]] = {}
        for name, value in known[1]:
            headers.setdefault(_canonical(name), []).append(value)
        return Answer(known[0], headers)


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
