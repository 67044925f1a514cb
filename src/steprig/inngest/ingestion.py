"""From the body of `POST /e/{key}` to events (Inngest SDK spec 2)."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.events import NULL, Event, EventId
from steprig.inngest.ids import new_ulid, seeded_event_id
from steprig.inngest.limits import MAX_EVENT_BYTES, MAX_EVENTS_PER_REQUEST
from steprig.inngest.wire import UNREADABLE, checked

_EARLIEST = 315_532_800_000
_LATEST = 4_102_444_800_000


class EventError(SteprigError, ValueError):
    """An event cannot be taken. The text is the dev server's where it has one."""


class _Sent(msgspec.Struct):
    name: str = ""
    data: msgspec.Raw = NULL
    id: str | None = None
    ts: int | None = None
    v: str | None = None
    user: msgspec.Raw = NULL


_SENT = msgspec.json.Decoder(_Sent)
_MANY = msgspec.json.Decoder(list[msgspec.Raw])
_SCANNER = json.JSONDecoder()
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")


def events_in(body: bytes, *, seed: str | None, now: datetime) -> Iterator[Event]:
    """The events in a request, one at a time: those before a bad one are good, and stay accepted.

    Args:
        body: JSON, an event or an array of events.
        seed: The `x-inngest-event-id-seed` header, from which a repeated request gets the same ids again.
        now: Stamps events that carry no time.

    Raises:
        EventError: The body, or the event whose turn it is, is bad; the message names the field and its value.
    """
    for index, raw in enumerate(_split(body)):
        if index == MAX_EVENTS_PER_REQUEST:
            raise EventError(f"Cannot have more than {MAX_EVENTS_PER_REQUEST} events in a batch")
        internal_id = (seeded_event_id(seed, index + 1) if seed else None) or new_ulid(now)
        yield event_from(raw, EventId(internal_id), now)


def event_from(raw: msgspec.Raw, internal_id: EventId, now: datetime, *, name: str | None = None) -> Event:
    """One event.

    Args:
        raw: Its JSON.
        internal_id: The id to give it.
        now: Its time, where it carries none.
        name: Its name, whatever the JSON says; for callers that may use reserved names.

    Raises:
        EventError: It is bad.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise EventError(f"Event is over the max size: Max {MAX_EVENT_BYTES} bytes / Size {len(raw)} bytes")
    try:
        sent = _SENT.decode(raw)
    except UNREADABLE as error:
        raise EventError(f"invalid event: {error}") from error
    return Event(
        internal_id=internal_id,
        name=name or _name(sent),
        data=_data(sent.data),
        id=sent.id or internal_id,
        ts=_timestamp(sent.ts, now),
        v=sent.v,
        user=sent.user if sent.user != NULL else msgspec.Raw(b"{}"),
    )


def _split(body: bytes) -> Iterator[msgspec.Raw]:
    """The events of a body, none of them decoded yet."""
    if not body.strip():
        return
    try:
        body = checked(body).strip()
    except UNREADABLE as error:
        raise EventError(f"the request body is no JSON: {error}") from error
    if body[:1] == b"[":
        yield from _elements(body)
    elif body[:1] == b"{":
        yield msgspec.Raw(body)
    else:
        raise EventError("Request body must contain an event object or an array of event objects")


def _elements(body: bytes) -> Iterable[msgspec.Raw]:
    try:
        return _MANY.decode(body)
    except UNREADABLE:
        return _elements_before_fault(body.decode())


def _elements_before_fault(body: str) -> Iterator[msgspec.Raw]:
    """The elements of an array that is not well formed, up to where it is not.

    The real server reads the array as a stream: what comes before the fault is accepted, and where nothing but the
    end of the array is missing, or something follows it, there is no fault.
    """
    at, is_first = 1, True
    while (at := _past_white_space(body, at)) < len(body) and body[at] not in "]}":
        if not is_first and body[at] != ",":
            raise EventError(f"the request body is no JSON: expected a comma at character {at}, found {body[at]!r}")
        start = at if is_first else _past_white_space(body, at + 1)
        try:
            _, at = _SCANNER.raw_decode(body, start)
        except (ValueError, RecursionError) as error:
            raise EventError(f"the request body is no JSON: {error}") from error
        yield msgspec.Raw(body[start:at].encode())
        is_first = False


def _past_white_space(text: str, at: int) -> int:
    found = _WHITE_SPACE.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _name(sent: _Sent) -> str:
    if not sent.name:
        raise EventError("event name is empty")
    if sent.name.lower().startswith("inngest/"):
        raise EventError(f"event name is reserved for internal use: {sent.name}")
    return sent.name


def _data(data: msgspec.Raw) -> msgspec.Raw:
    """The data as sent, without the key that only the platform may set."""
    if data == NULL:
        return data
    if bytes(data)[:1] != b"{":
        raise EventError(f"event data is {bytes(data)[:40].decode(errors='replace')}; expected an object or null")
    if b'"_inngest"' not in bytes(data):
        return data
    members: dict[str, Any] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    members.pop("_inngest", None)
    return msgspec.Raw(msgspec.json.encode(members))


def _timestamp(ts: int | None, now: datetime) -> int:
    if not ts:
        return int(now.timestamp() * 1000)
    if ts < _EARLIEST:
        raise EventError("timestamp is before Jan 1, 1980")
    if ts >= _LATEST:
        raise EventError("timestamp is after Jan 1, 2100")
    return ts
