"""Starting a function by a request, without an event that is its trigger."""

import msgspec

from steprig.inngest.events import Event, EventId
from steprig.inngest.ids import function_uuid, new_ulid
from steprig.inngest.ingestion import event_from
from steprig.inngest.internal_events import FINISHED, INVOKED
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.problems import as_event_error, invoked_function_missing

_MEMBERS = dict[str, msgspec.Raw] | None


def invoke(platform: InngestPlatform, slug: str, body: bytes) -> EventId:
    """Start a function. That there is none shows, as on the real server, only in an event that it has finished.

    Args:
        platform: Runs it.
        slug: The function's id, or its UUID.
        body: An event as JSON, without a name.

    Returns:
        The id of the event that stands for the invocation.

    Raises:
        EventError: The event is bad.
    """
    now = platform.rig.clock.stamp()
    internal_id = EventId(new_ulid(now))
    event = event_from(msgspec.Raw(body), internal_id, now, name=INVOKED)
    marks = {"fn_id": slug, "correlation_id": "", "gid": str(function_uuid(internal_id)), "name": ""}
    data = msgspec.json.decode(event.data, type=_MEMBERS) or {}
    event = msgspec.structs.replace(event, data=_raw(data | {"_inngest": _raw(marks)}))
    with platform.rig.clock.working("an invocation by request"):
        platform.engine.receive(event)
        if platform.engine.apps.invocable(slug) is None:
            platform.engine.receive(_not_found(platform, slug, event))
    return internal_id


def _not_found(platform: InngestPlatform, slug: str, event: Event) -> Event:
    now = platform.rig.clock.stamp()
    internal_id = EventId(new_ulid(now))
    data = {
        "function_id": slug,
        "run_id": new_ulid(now),
        "event": event.wire(),
        "events": [event.wire()],
        "error": as_event_error(invoked_function_missing(slug)),
        "_inngest": {"status": "Failed"},
    }
    millis = int(now.timestamp() * 1000)
    return Event(internal_id=internal_id, name=FINISHED, data=_raw(data), id=internal_id, ts=millis)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
