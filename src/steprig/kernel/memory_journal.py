"""The journal that lives as long as the process."""

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from steprig.kernel.journal import Entry, JournalListener, Record, Stream, kind_of
from steprig.kernel.listeners import Listeners

_NOTHING_TO_DO = nullcontext()


class MemoryJournal:
    """A journal in memory.

    Bounded: of each kind of stream it keeps all that go on and, of those that have ended, the newest `retain`;
    an older one is dropped whole.

    Args:
        retain: How many ended streams of each kind to keep.
    """

    def __init__(self, *, retain: int = 10_000) -> None:
        if retain < 0:
            raise ValueError(f"retain={retain} is negative; pass how many ended streams to keep of each kind")
        self._retain = retain
        self._lock = threading.RLock()
        self._seq = 0
        self._last_at: datetime | None = None
        self._records: dict[Stream, list[Record]] = {}
        self._streams: dict[str, dict[Stream, None]] = {}
        self._ended: dict[str, dict[Stream, None]] = {}
        self._listeners = Listeners()

    def append(self, at: datetime, *entries: tuple[Stream, Entry]) -> Sequence[Record]:
        """See `Journal.append`."""
        with self._lock:
            self._listeners.check_silent()
            records, opened, ended = [], [], []
            for seq, (stream, entry) in enumerate(entries, self._seq + 1):
                records.append(Record(seq, stream, at, entry))
                if stream not in self._records:
                    opened.append((kind_of(stream), stream))
                if entry.ends_stream:
                    ended.append(stream)
            for kind, stream in opened:  # whatever could be wrong with an entry was found above
                self._streams.setdefault(kind, {})[stream] = None
                self._records[stream] = []
            for record in records:
                self._records[record.stream].append(record)
            self._seq += len(records)
            if records and (self._last_at is None or at > self._last_at):
                self._last_at = at
            if self._listeners.are_there:
                for record in records:
                    self._listeners.tell_appended(kind_of(record.stream), record)
            for stream in ended:
                self._end(stream)
            return records

    def read(self, stream: Stream, *, after: int = 0) -> Sequence[Record]:
        """See `Journal.read`."""
        with self._lock:
            return self._records.get(stream, [])[after:]

    def streams(self, kind: str, *, going_on: bool = False) -> Sequence[Stream]:
        """See `Journal.streams`."""
        with self._lock:
            ended = self._ended.get(kind, {}) if going_on else {}
            return [stream for stream in self._streams.get(kind, ()) if stream not in ended]

    def listen(self, listener: JournalListener, kinds: Collection[str] | None = None) -> Callable[[], None]:
        """See `Journal.listen`."""
        with self._lock:
            self._listeners.add(listener, kinds)
        return lambda: self._forget(listener)

    def together(self) -> AbstractContextManager[None]:
        """See `Journal.together`. Nothing here outlives the process anyway."""
        return _NOTHING_TO_DO

    def last_at(self) -> datetime | None:
        """See `Journal.last_at`."""
        return self._last_at

    def close(self) -> None:
        """See `Journal.close`. The records stay readable."""
        with self._lock:
            self._listeners.clear()

    def _forget(self, listener: JournalListener) -> None:
        with self._lock:
            self._listeners.remove(listener)

    def _end(self, stream: Stream) -> None:
        kind = kind_of(stream)
        if stream not in self._records:
            return  # it ended twice in one append, and is dropped already
        ended = self._ended.setdefault(kind, {})
        ended[stream] = None
        while len(ended) > self._retain:
            self._drop(kind, next(iter(ended)))

    def _drop(self, kind: str, stream: Stream) -> None:
        del self._ended[kind][stream]
        del self._streams[kind][stream]
        del self._records[stream]
        self._listeners.tell_dropped(kind, stream)
