"""The events that the platform itself sends (Inngest SDK spec 2, `inngest/` names)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from steprig.inngest import problems
from steprig.inngest.decision import Given
from steprig.inngest.events import Event, EventId
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.opcodes import InvokeOptions, Op
from steprig.inngest.records import RunEnded
from steprig.inngest.schedules import Tick
from steprig.inngest.state import RunState
from steprig.kernel import Status

PREFIX = "inngest/"
INVOKED = "inngest/function.invoked"
FINISHED = "inngest/function.finished"
FAILED = "inngest/function.failed"
CANCELLED = "inngest/function.cancelled"
SCHEDULED = "inngest/scheduled.timer"
DEFERRED = "inngest/deferred.schedule"

_STATUS_WORDS = {Status.COMPLETED: "Completed", Status.FAILED: "Failed", Status.CANCELLED: "Cancelled"}


class Invocation(msgspec.Struct, frozen=True):
    """What `data._inngest` of `inngest/function.invoked` says, as far as the platform reads it."""

    fn_id: str
    correlation_id: str

    def is_of(self, function: str) -> bool:
        """Whether it invokes this function, which it may name by its UUID."""
        return self.fn_id == function or self.fn_id.lower() == str(function_uuid(function))


def invoked(state: RunState, op: Op, options: InvokeOptions, expires: datetime, given: Given) -> Event:
    """`inngest/function.invoked`: starts the function that a step invokes."""
    marks = {
        "fn_id": options.function_id,
        "correlation_id": f"{state.id}.{op.id}",
        "expire": _millis(expires),
        "gid": str(function_uuid(f"{state.id}.{op.id}")),
        "name": op.title,
        "source_app_id": str(app_uuid(state.app)),
        "source_fn_id": str(function_uuid(state.function)),
        "source_fn_v": 1,
    }
    data = _members(options.payload.data) | {"_inngest": _raw(marks)}
    return _event(INVOKED, data, given, v=options.payload.v)


def invocation_of(event: Event) -> Invocation | None:
    """What an event of the name `inngest/function.invoked` invokes."""
    if event.name != INVOKED:
        return None
    marks = _members(event.data).get("_inngest")
    return None if marks is None else msgspec.json.decode(marks, type=Invocation)


def scheduled(tick: Tick, given: Given) -> Event:
    """`inngest/scheduled.timer`: starts the function that has this cron trigger."""
    at, fire_at = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (tick.scheduled_at, tick.fire_at))
    event = _event(SCHEDULED, {"cron": tick.cron, "scheduledAt": at, "fireAt": fire_at}, given, user_id=at)
    return msgspec.structs.replace(event, ts=_millis(tick.fire_at))


def cron_of(event: Event) -> str | None:
    """The schedule that an event of the name `inngest/scheduled.timer` tells of."""
    if event.name != SCHEDULED:
        return None
    cron = _members(event.data).get("cron")
    return None if cron is None else msgspec.json.decode(cron, type=str)


def deferred(data: msgspec.Raw, marks: Mapping[str, str], event_id: str, given: Given) -> Event:
    """`inngest/deferred.schedule`: starts a function that a run has deferred."""
    return _event(DEFERRED, _members(data) | {"_inngest": _raw(marks)}, given, user_id=event_id)


def correlation_of(event: Event, function: str) -> str | None:
    """What the step is known by that has invoked the function with this event, if one has."""
    invocation = invocation_of(event)
    if invocation is None or not invocation.is_of(function):
        return None
    return invocation.correlation_id or None


def of_ended_run(state: RunState, ended: RunEnded, given: Given) -> list[tuple[Event, str | None]]:
    """What a run's end makes known, each with the correlation id of the step that it is for.

    Nothing for handlers of such ends, or they would go on for ever.
    """
    if state.events[0].name in (FAILED, FINISHED):
        return []
    invoked = {event.internal_id: correlation_of(event, state.function) for event in state.events}
    events: list[tuple[Event, str | None]] = []
    for index, event in enumerate(state.events):
        correlation_id = invoked[event.internal_id]
        if index == 0 or correlation_id is not None:
            outcome = _outcome(state, event, ended, correlation_id)
            events.append((_event(FINISHED, outcome, given), correlation_id))
    about_end = {Status.FAILED: FAILED, Status.CANCELLED: CANCELLED}.get(ended.status)
    if about_end is not None:
        outcome = _outcome(state, state.events[0], ended, invoked[state.events[0].internal_id])
        events.append((_event(about_end, outcome, given, user_id=state.id), None))
    return events


def _outcome(state: RunState, event: Event, ended: RunEnded, correlation_id: str | None) -> dict[str, Any]:
    outcome: dict[str, Any] = {
        "function_id": state.function,
        "run_id": state.id,
        "event": event.wire(),
        "events": [event.wire() for event in state.events],
        "_inngest": _raw({"status": _STATUS_WORDS[ended.status]}),
    }
    if correlation_id is not None:
        outcome["correlation_id"] = correlation_id
    if ended.problem is not None:
        outcome["error"] = problems.as_event_error(ended.problem)
    if ended.status is not Status.CANCELLED:
        outcome["result"] = ended.output
    return outcome


def _event(name: str, data: dict[str, Any], given: Given, *, user_id: str | None = None, v: str | None = None) -> Event:
    internal_id = EventId(given.new_id())
    return Event(
        internal_id=internal_id,
        name=name,
        data=_raw(data),
        id=user_id or internal_id,
        ts=_millis(given.now),
        v=v,
    )


def _members(data: msgspec.Raw) -> dict[str, Any]:
    """The members of a JSON object, none of them decoded."""
    members: dict[str, Any] | None = msgspec.json.decode(data, type=dict[str, msgspec.Raw] | None)
    return members or {}


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
