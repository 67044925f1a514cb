"""Which functions an event starts (Inngest SDK spec 4.3.2)."""

from collections.abc import Iterator
from datetime import datetime

from steprig.inngest import internal_events
from steprig.inngest.apps import Apps, Registered
from steprig.inngest.events import Event
from steprig.inngest.expressions import Expression, ExpressionError
from steprig.inngest.functions import Slug, Trigger


def started_by(event: Event, apps: Apps, now: datetime) -> Iterator[Registered]:
    """The functions that an event starts, each once, however many of its triggers match."""
    seen: set[Slug] = set()
    invocation = internal_events.invocation_of(event)
    if invocation is not None and (invoked := apps.invocable(invocation.fn_id)) is not None:
        seen.add(invoked.function.id)
        yield invoked
    fields: dict[str, object] = {}
    for registered, trigger in list(apps.started_by(event.name)):
        if registered.function.id not in seen and _meets(trigger, event, fields, now):
            seen.add(registered.function.id)
            yield registered


def _meets(trigger: Trigger, event: Event, fields: dict[str, object], now: datetime) -> bool:
    """Whether an event meets a trigger's condition. `fields` keeps the decoded event from one call to the next."""
    if not trigger.expression:
        return True
    if not fields:
        fields.update(event.fields())
    try:
        return Expression.compile(trigger.expression).matches(now=now, event=fields)
    except ExpressionError:
        return False
