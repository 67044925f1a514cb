"""The journal: what happened, in order. State and timeline are folds over it, and it alone is the truth."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import ClassVar, NamedTuple, NewType, Protocol

import msgspec

Stream = NewType("Stream", str)
"""The records of one thing, named `<kind>:<id>`, such as `inngest.run:01JQ...`. A kind has no colon in it."""


def stream_of(kind: str, ident: str) -> Stream:
    """The stream of the thing `ident` of a kind."""
    return Stream(f"{kind}:{ident}")


def kind_of(stream: Stream) -> str:
    """The kind in a stream's name."""
    return stream.partition(":")[0]


class Entry(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Base of what platforms record: immutable, told apart by its tag, and encoded and decoded by msgspec as JSON.

    The tag is the class name. A platform's entries derive from one that puts the platform's name in front,
    `class Entry(kernel.Entry, tag="aws.{}".format)`, so that no two of them can be mixed up in a stored journal.
    """

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

    def streams(self, kind: str, *, going_on: bool = False) -> Sequence[Stream]:
        """The streams of a kind in the order of their first records; with `going_on` those alone that have no end."""
        ...

    def listen(self, listener: "JournalListener", kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Tell `listener` of what comes from now on in streams of these kinds, or of all. Returns the undoing."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Make what is appended inside the block durable at its end, all of it or none should the process die.

        An exception passes through and undoes nothing. May be nested; the outermost block counts. Keep it short,
        and await nothing inside: appends of other threads may have to wait.
        """
        ...

    def last_at(self) -> datetime | None:
        """The latest time of a record, None while there are none."""
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


def records_of(journal: Journal, kind: str) -> Iterator[Record]:
    """Every record of a kind of stream, stream by stream: what a fold reads to catch up."""
    for stream in journal.streams(kind):
        yield from journal.read(stream)
