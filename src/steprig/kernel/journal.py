"""The journal: what happened, in order. State and timeline are folds over it, and it alone is the truth."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple, NewType, Protocol, TypeVar

import msgspec

_log = logging.getLogger(__name__)

T = TypeVar("T")

Stream = NewType("Stream", str)
"""The records of one thing, named `<kind>:<id>`, such as `inngest.run:01JQ...`. A kind has no colon in it."""


def stream_of(kind: str, ident: str) -> Stream:
    """The stream of the thing `ident` of a kind."""
    return Stream(f"{kind}:{ident}")


def kind_of(stream: Stream) -> str:
    """The kind in a stream's name."""
    return stream.partition(":")[0]


class Entry(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Base of what platforms record: immutable, encodable by msgspec, told apart by its class name."""

    ends_stream: ClassVar[bool] = False
    """True on the last entry that a stream gets: what it is about has ended."""


class Record(NamedTuple):
    """An entry in its place."""

    seq: int
    """From 1, gapless over the whole journal."""
    stream: Stream
    at: datetime
    entry: Entry


class Journal(Protocol):
    """Where records are kept. From any thread."""

    def append(self, at: datetime, *entries: tuple[Stream, Entry]) -> Sequence[Record]:
        """Add entries, all of them or none, and tell the listeners. Returns the records.

        Raises:
            RuntimeError: Called by a listener.
        """
        ...

    def read(self, stream: Stream, *, after: int = 0) -> Sequence[Record]:
        """A stream's records in order, leaving out its first `after`; empty for an unknown or dropped one."""
        ...

    def streams(self, kind: str) -> Sequence[Stream]:
        """The streams of a kind in the order of their first records."""
        ...

    def listen(self, listener: "JournalListener") -> Callable[[], None]:
        """Tell `listener` of what comes from now on. Returns the undoing."""
        ...

    def close(self) -> None:
        """Release what the journal holds. Idempotent."""
        ...


class JournalListener(Protocol):
    """Told of changes while the journal is locked, in their order: be quick, and append nothing.

    What a listener raises is logged: the record is there all the same, and whoever appended it has no part in it.
    """

    def appended(self, record: Record) -> None:
        """A record was added."""
        ...

    def dropped(self, stream: Stream) -> None:
        """A stream is gone, whole."""
        ...


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
        self._telling = False
        self._streams: dict[str, dict[Stream, list[Record]]] = {}
        self._ended: dict[str, dict[Stream, None]] = {}
        self._listeners: tuple[JournalListener, ...] = ()

    def append(self, at: datetime, *entries: tuple[Stream, Entry]) -> Sequence[Record]:
        """See `Journal.append`."""
        with self._lock:
            if self._telling:
                raise RuntimeError("a journal's listener cannot append to it; let a loop or thread do it afterwards")
            records, placed, ended = [], [], []
            for seq, (stream, entry) in enumerate(entries, self._seq + 1):
                record = Record(seq, stream, at, entry)
                records.append(record)
                placed.append((kind_of(stream), record))
                if entry.ends_stream:
                    ended.append(stream)
            for kind, record in placed:  # whatever could be wrong with an entry was found above
                self._streams.setdefault(kind, {}).setdefault(record.stream, []).append(record)
            self._seq += len(records)
            for record in records:
                for listener in self._listeners:
                    self._tell(listener.appended, record)
            for stream in ended:
                self._end(stream)
            return records

    def read(self, stream: Stream, *, after: int = 0) -> Sequence[Record]:
        """See `Journal.read`."""
        with self._lock:
            return self._streams.get(kind_of(stream), {}).get(stream, [])[after:]

    def streams(self, kind: str) -> Sequence[Stream]:
        """See `Journal.streams`."""
        with self._lock:
            return list(self._streams.get(kind, ()))

    def listen(self, listener: JournalListener) -> Callable[[], None]:
        """See `Journal.listen`."""
        with self._lock:
            self._listeners += (listener,)
        return lambda: self._forget(listener)

    def close(self) -> None:
        """See `Journal.close`. The records stay readable."""
        with self._lock:
            self._listeners = ()

    def _forget(self, listener: JournalListener) -> None:
        with self._lock:
            self._listeners = tuple(known for known in self._listeners if known is not listener)

    def _end(self, stream: Stream) -> None:
        kind = kind_of(stream)
        if stream not in self._streams[kind]:
            return  # it ended twice in one append, and is dropped already
        ended = self._ended.setdefault(kind, {})
        ended[stream] = None
        while len(ended) > self._retain:
            self._drop(kind, next(iter(ended)))

    def _drop(self, kind: str, stream: Stream) -> None:
        del self._ended[kind][stream]
        del self._streams[kind][stream]
        for listener in self._listeners:
            self._tell(listener.dropped, stream)

    def _tell(self, told: Callable[[T], None], what: T) -> None:
        self._telling = True
        try:
            told(what)
        except Exception:  # noqa: BLE001 - the record is in; a reader's fault must not undo what follows from it
            _log.exception("a listener of the journal failed at %r", what)
        finally:
            self._telling = False


def records_of(journal: Journal, kind: str) -> Iterator[Record]:
    """Every record of a kind of stream, stream by stream: what a fold reads to catch up."""
    for stream in journal.streams(kind):
        yield from journal.read(stream)
