"""Queries for events: one by its id, and lists of them."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ariadne import QueryType
from graphql import GraphQLError

from steprig.inngest.graphql import render
from steprig.inngest.graphql.lookup import NO_EVENT, Info, search
from steprig.inngest.graphql.paging import Page, connection
from steprig.inngest.graphql.scalars import at_least
from steprig.inngest.internal_events import PREFIX
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.records import EVENT
from steprig.inngest.routes.run_search import deliveries, event_in
from steprig.kernel import Record, stream_of

query = QueryType()

TYPES = (query,)

_NEWEST = 50
"""How many events the older query lists."""


@query.field("event")
def resolve_event(_: object, info: Info, query: dict[str, Any]) -> dict[str, Any]:
    """An event by its internal id, with the runs that it has started."""
    return render.event(info.context, _record(info.context, query["eventId"]))


@query.field("eventV2")
def resolve_event_v2(_: object, info: Info, id: str) -> dict[str, Any]:  # noqa: A002
    """An event by its internal id."""
    return render.event_v2(info.context, _record(info.context, id))


@query.field("events")
def resolve_events(_: object, info: Info, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest events; with `lastEventId`, those that came before that one."""
    found = _before(_events(info.context), query.get("lastEventId"), "lastEventId")
    return [render.event(info.context, record) for record in islice(found, _NEWEST)]


@query.field("eventsV2")
def resolve_events_v2(
    _: object,
    info: Info,
    first: int,
    filter: dict[str, Any],  # noqa: A002
    after: str | None = None,
) -> dict[str, Any]:
    """The events that pass a filter, the newest first, page by page."""
    platform = info.context
    names, until, wanted = filter.get("eventNames"), filter.get("until"), search(platform, filter.get("query"))

    def passes(record: Record) -> bool:
        event = event_in(record)
        if names and event.name not in names:
            return False
        if event.name.startswith(PREFIX) and not (filter["includeInternalEvents"] or event.name in (names or ())):
            return False
        return filter["from"] <= record.at and (until is None or record.at < until) and wanted.finds(event)

    return connection(
        lambda: (record for record in _events(platform) if passes(record)),
        Page(first, after),
        id_of=lambda record: event_in(record).internal_id,
        node=lambda record: render.event_v2(platform, record),
    )


@query.field("stream")
def resolve_stream(_: object, info: Info, query: dict[str, Any]) -> list[dict[str, Any]]:
    """What has come in lately, the newest first."""
    platform, after = info.context, query.get("after")
    limit = at_least("limit", query["limit"], 1)
    found: list[dict[str, Any]] = []
    for record in _before(_events(platform), query.get("before"), "before"):
        event = event_in(record)
        if event.internal_id == after or len(found) == limit:
            break
        if query["includeInternalEvents"] is not False or not event.name.startswith(PREFIX):
            found.append(render.stream_item(platform, record))
    return found


def _events(platform: InngestPlatform) -> Iterator[Record]:
    """Each event once, the newest first."""
    return (records[0] for records in deliveries(platform))


def _record(platform: InngestPlatform, event_id: str) -> Record:
    records = platform.rig.journal.read(stream_of(EVENT, event_id))
    if not records:
        raise GraphQLError(NO_EVENT)
    return records[0]


def _before(records: Iterator[Record], event_id: str | None, name: str) -> Iterator[Record]:
    if event_id and not any(event_in(record).internal_id == event_id for record in records):
        raise GraphQLError(f"{name} is {event_id!r}; expected the id of an event")
    return records
