"""Which runs an event has started: a fold over the run streams, forgotten together with them."""

from datetime import datetime

from steprig.inngest.events import EventId
from steprig.inngest.functions import Slug
from steprig.inngest.limits import IDEMPOTENCY_WINDOW
from steprig.inngest.records import RUN, RunId, RunQueued
from steprig.kernel import Journal, Record, Stream
from steprig.kernel.journal import records_of


class Index:
    """Finds runs by what has started them.

    Args:
        journal: Read at once, listened to from then on.
    """

    def __init__(self, journal: Journal) -> None:
        self._by_key: dict[tuple[Slug, str], datetime] = {}
        self._by_event: dict[EventId, list[RunId]] = {}
        self._queued: dict[Stream, RunQueued] = {}
        self.close = journal.listen(self, (RUN,))
        for record in records_of(journal, RUN):
            self.appended(record)

    def has_started(self, function: Slug, event_id: str, now: datetime) -> bool:
        """Whether an event with this id, the user's where there is one, has lately started the function."""
        started = self._by_key.get((function, event_id))
        return started is not None and now - started < IDEMPOTENCY_WINDOW

    def runs_of(self, event: str) -> list[RunId]:
        """The runs that an event has started, oldest first. Takes the internal id."""
        return list(self._by_event.get(EventId(event), ()))

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        if isinstance(queued := record.entry, RunQueued):
            self._queued[record.stream] = queued
            for event in queued.events:
                if queued.original_run_id is None:  # a repetition counts for nothing but itself
                    self._by_key[queued.function, event.id] = record.at
                self._by_event.setdefault(event.internal_id, []).append(queued.run_id)

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`."""
        queued = self._queued.pop(stream, None)
        if queued is None:
            return
        for event in queued.events:
            if queued.original_run_id is None:
                self._by_key.pop((queued.function, event.id), None)
            runs = self._by_event.get(event.internal_id, [])
            if queued.run_id in runs:
                runs.remove(queued.run_id)
            if not runs:
                self._by_event.pop(event.internal_id, None)
