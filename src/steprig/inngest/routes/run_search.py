"""Finding runs and events by what is cheap to read: the first record of each, before any run is folded."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from steprig.inngest.events import Event
from steprig.inngest.expressions import Expression, ExpressionError
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import EVENT, RUN, EventReceived, RunQueued
from steprig.kernel import Record

_VARIABLES = frozenset({"event", "output"})


class QueuedRun(NamedTuple):
    """A run as it was when it began."""

    at: datetime
    entry: RunQueued


class Query:
    """A search text: on each line an expression over `event` and `output`, all of which have to be true.

    Args:
        text: None or blank finds everything.
        now: What `now()` means in it.

    Raises:
        ExpressionError: A line is no expression.
    """

    def __init__(self, text: str | None, now: datetime) -> None:
        lines = [line for line in (text or "").splitlines() if line.strip()]
        self._expressions = [Expression.compile(line.strip(), _VARIABLES) for line in lines]
        self._now = now

    def finds(self, event: Event, output: object = None) -> bool:
        """Whether it is true for an event, and what a run of it gave."""
        if not self._expressions:
            return True
        fields = event.fields()
        return all(self._is_true(expression, fields, output) for expression in self._expressions)

    def _is_true(self, expression: Expression, fields: Any, output: object) -> bool:
        try:
            return expression.matches(now=self._now, event=fields, output=output)
        except ExpressionError:
            return False


def queued_runs(platform: InngestPlatform, *, newest_first: bool = False) -> Iterator[QueuedRun]:
    """The beginnings of all runs, in the order in which they began or the reverse."""
    journal = platform.rig.journal
    streams = journal.streams(RUN)
    for stream in reversed(streams) if newest_first else streams:
        records = journal.read(stream)
        if records and isinstance(entry := records[0].entry, RunQueued):
            yield QueuedRun(records[0].at, entry)


def deliveries(platform: InngestPlatform) -> Iterator[Sequence[Record]]:
    """The deliveries of each event, the newest event first. A repeated request delivers the same event again."""
    journal = platform.rig.journal
    for stream in reversed(journal.streams(EVENT)):
        if records := journal.read(stream):
            yield records


def event_in(record: Record) -> Event:
    """The event that a record of an event's stream tells of."""
    assert isinstance(record.entry, EventReceived)
    return record.entry.event


def runs_of_event(platform: InngestPlatform, event_id: str) -> list[InngestRun]:
    """The runs that an event has started, oldest first."""
    runs = (platform.timeline.run(run_id) for run_id in platform.engine.index.runs_of(event_id))
    return [run for run in runs if isinstance(run, InngestRun)]
