"""The steps that wait for an event, found by its name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from steprig.inngest.expressions import Expression
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import RunId


class Wait(NamedTuple):
    """A step that waits, in its run."""

    run_id: RunId
    step: StepId
    condition: Expression | None
    until: datetime | None

    def accepts(self, event: Mapping[str, Any], now: datetime) -> bool:
        """Whether this is the event that is waited for.

        The condition calls it `async`. What the run's own event had is written into the condition already, so
        what is left of `event` is missing.
        """
        if self.until is not None and now > self.until:
            return False
        if self.condition is None:
            return True
        variables: dict[str, Any] = {"event": {}, "async": event}
        return self.condition.matches(now=now, **variables)


class Waits:
    """All steps that wait, by the name of the event."""

    def __init__(self) -> None:
        self._by_event: dict[str, dict[tuple[RunId, StepId], Wait]] = {}
        self._events: dict[tuple[RunId, StepId], str] = {}

    def add(
        self, run_id: RunId, step: StepId, event: str, condition: str | None, until: datetime | None = None
    ) -> None:
        """A step begins to wait, for events up to `until`."""
        key = run_id, step
        compiled = Expression.compile(condition) if condition else None
        self._events[key] = event
        self._by_event.setdefault(event, {})[key] = Wait(run_id, step, compiled, until)

    def remove(self, run_id: RunId, step: StepId) -> None:
        """A step waits no longer, if it did."""
        event = self._events.pop((run_id, step), None)
        if event is None:
            return
        waits = self._by_event[event]
        del waits[run_id, step]
        if not waits:
            del self._by_event[event]

    def for_event(self, name: str) -> list[Wait]:
        """The steps that wait for an event of this name, in the order in which they began to."""
        return list(self._by_event.get(name, {}).values())
