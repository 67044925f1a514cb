"""Events that are held back until a run may start with them: debounced ones and batches."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from steprig.inngest.events import Event
from steprig.inngest.flow.policy import Batch, Debounce
from steprig.inngest.functions import Slug
from steprig.inngest.limits import MAX_BATCH_BYTES
from steprig.inngest.records import EventHeld
from steprig.kernel import Record

Why = Literal["debounce", "batch"]


class Place(NamedTuple):
    """Where events are held: one place for each function, reason and key."""

    function: Slug
    why: Why
    key: str


class Hold(msgspec.Struct, frozen=True, gc=False):
    """What is held at a place."""

    id: str
    place: Place
    events: tuple[Event, ...]
    began: datetime
    due: datetime
    """When a run starts with them at the latest."""

    @property
    def is_full(self) -> bool:
        """Whether the run has to start now."""
        return self.due <= self.began


def debounced(hold: Hold | None, event: Event, rule: Debounce, place: Place, hold_id: str, now: datetime) -> Hold:
    """The hold after one more event: the last one counts, and it has to be quiet for a period anew.

    An event that is older than the one held changes nothing.
    """
    if hold is None:
        return Hold(hold_id, place, (event,), now, _capped(now + rule.period, now, rule.timeout))
    if event.ts < hold.events[0].ts:
        return hold
    return msgspec.structs.replace(hold, events=(event,), due=_capped(now + rule.period, hold.began, rule.timeout))


def batched(hold: Hold | None, event: Event, rule: Batch, place: Place, hold_id: str, now: datetime) -> Hold:
    """The hold after one more event. A full batch is due at once."""
    if hold is None:
        hold = Hold(hold_id, place, (), now, now + rule.timeout)
    hold = msgspec.structs.replace(hold, events=(*hold.events, event))
    full = len(hold.events) >= rule.size or sum(len(held.data) for held in hold.events) >= MAX_BATCH_BYTES
    return msgspec.structs.replace(hold, due=hold.began) if full else hold


def restored(records: Sequence[Record]) -> Hold:
    """What is held at a place, from the records of it, which are all `EventHeld`."""
    held = [record.entry for record in records if isinstance(record.entry, EventHeld)]
    last = held[-1]
    events = tuple(one.event for one in held) if last.why == "batch" else (last.event,)
    _, _, hold_id = records[0].stream.partition(":")
    return Hold(hold_id, Place(last.function, last.why, last.key), events, records[0].at, last.due)


def _capped(due: datetime, began: datetime, timeout: timedelta | None) -> datetime:
    return due if timeout is None else min(due, began + timeout)
