"""The journal in a file, which outlives the process."""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath

from steprig.errors import SteprigError
from steprig.kernel.entry_codec import EntryCodec
from steprig.kernel.journal import Entry, JournalListener, Record, Stream, kind_of
from steprig.kernel.listeners import Listeners

_FORMAT = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_TABLES = """
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, ended INTEGER);
CREATE INDEX streams_by_kind ON streams (kind, id);
CREATE INDEX streams_by_end ON streams (kind, ended) WHERE ended NOTNULL;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL REFERENCES streams (id),
    at INTEGER NOT NULL,
    tag TEXT NOT NULL,
    entry BLOB NOT NULL
);
CREATE INDEX records_by_stream ON records (stream, seq);
"""


class JournalFileError(SteprigError):
    """A journal's file cannot be used. The message says which and why."""


class SqliteJournal:
    """A journal in an SQLite database, by one process at a time.

    What was appended is there after the process was killed at whatever moment; a power failure may cost the last
    records, but never leaves half of an append. Bounded as `MemoryJournal` is.

    Args:
        path: The file, made where there is none. Beside it lie SQLite's own `-wal` and `-shm` while it is open.
        retain: How many ended streams of each kind to keep.

    Raises:
        JournalFileError: The file is something else, of another version, cannot be written, or in use.
    """

    def __init__(self, path: str | PathLike[str], *, retain: int = 10_000) -> None:
        if retain < 0:
            raise ValueError(f"retain={retain} is negative; pass how many ended streams to keep of each kind")
        self.path = fspath(path)
        self._retain = retain
        self._lock = threading.RLock()
        self._codec = EntryCodec()
        self._listeners = Listeners()
        self._depth = 0
        self._db = _open(self.path)
        self._remember()

    def append(self, at: datetime, *entries: tuple[Stream, Entry]) -> Sequence[Record]:
        """See `Journal.append`."""
        encoded = [self._codec.encode(entry) for _, entry in entries]
        with self._lock:
            self._listeners.check_silent()
            records = [Record(self._seq + n, stream, at, entry) for n, (stream, entry) in enumerate(entries, 1)]
            with self._all_or_nothing():
                self._write(records, encoded)
                dropped = self._retire([record for record in records if record.entry.ends_stream])
            self._seq += len(records)
            for record in records:
                self._listeners.tell_appended(kind_of(record.stream), record)
            for stream in dropped:
                self._ids.pop(stream, None)
                self._listeners.tell_dropped(kind_of(stream), stream)
            return records

    def read(self, stream: Stream, *, after: int = 0) -> Sequence[Record]:
        """See `Journal.read`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, at, tag, entry FROM records WHERE stream = (SELECT id FROM streams WHERE name = ?)"
                " ORDER BY seq LIMIT -1 OFFSET ?",
                (stream, after),
            ).fetchall()
        return [Record(seq, stream, _time(at), self._codec.decode(tag, entry)) for seq, at, tag, entry in rows]

    def streams(self, kind: str, *, going_on: bool = False) -> Sequence[Stream]:
        """See `Journal.streams`."""
        select = "SELECT name FROM streams WHERE kind = ? AND (ended IS NULL OR NOT ?) ORDER BY id"
        with self._lock:
            rows = self._db.execute(select, (kind, going_on)).fetchall()
        return [Stream(name) for (name,) in rows]

    def listen(self, listener: JournalListener, kinds: Collection[str] | None = None) -> Callable[[], None]:
        """See `Journal.listen`."""
        with self._lock:
            self._listeners.add(listener, kinds)
        return lambda: self._forget(listener)

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `Journal.together`."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._db.in_transaction:
                    self._db.execute("COMMIT")

    def last_at(self) -> datetime | None:
        """See `Journal.last_at`."""
        with self._lock:
            (at,) = self._db.execute("SELECT max(at) FROM records").fetchone()
        return None if at is None else _time(at)

    def close(self) -> None:
        """See `Journal.close`. The records are in the file; to read them, open it anew."""
        with self._lock:
            self._listeners.clear()
            self._db.close()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """What is written inside is in the file at the end, or at that of the block that is `together`."""
        self._db.execute("SAVEPOINT append")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # some errors, such as a full disk, end it by themselves
                self._db.execute("ROLLBACK TO append")
                self._db.execute("RELEASE append")
            self._remember()
            raise
        self._db.execute("RELEASE append")

    def _write(self, records: Sequence[Record], encoded: Sequence[tuple[str, bytes]]) -> None:
        rows = [
            (record.seq, self._id_of(record.stream), (record.at - _EPOCH) // _MICROSECOND, tag, entry)
            for record, (tag, entry) in zip(records, encoded, strict=True)
        ]
        self._db.executemany("INSERT INTO records (seq, stream, at, tag, entry) VALUES (?, ?, ?, ?, ?)", rows)

    def _id_of(self, stream: Stream) -> int:
        known = self._ids.get(stream)
        if known is not None:
            return known
        found = self._db.execute("SELECT id FROM streams WHERE name = ?", (stream,)).fetchone()
        if found is None:
            insert = "INSERT INTO streams (name, kind) VALUES (?, ?) RETURNING id"
            found = self._db.execute(insert, (stream, kind_of(stream))).fetchone()
        self._ids[stream] = int(found[0])
        return self._ids[stream]

    def _retire(self, last: Sequence[Record]) -> list[Stream]:
        """Mark streams as ended, and drop the oldest of those that have ended where there are too many."""
        dropped: list[Stream] = []
        for record in last:
            marked = self._db.execute(
                "UPDATE streams SET ended = ? WHERE name = ? AND ended IS NULL", (record.seq, record.stream)
            )
            kind = kind_of(record.stream)
            self._ended[kind] = self._ended.get(kind, 0) + marked.rowcount
            while self._ended[kind] > self._retain:
                self._ended[kind] -= 1
                dropped.append(self._drop_oldest(kind))
        return dropped

    def _drop_oldest(self, kind: str) -> Stream:
        oldest = "SELECT id, name FROM streams WHERE kind = ? AND ended NOTNULL ORDER BY ended LIMIT 1"
        stream, name = self._db.execute(oldest, (kind,)).fetchone()
        self._db.execute("DELETE FROM records WHERE stream = ?", (stream,))
        self._db.execute("DELETE FROM streams WHERE id = ?", (stream,))
        return Stream(name)

    def _remember(self) -> None:
        """Read what is kept in memory of what the file holds."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        self._seq: int = 0 if found is None else found[0]
        self._ids: dict[Stream, int] = {}
        self._ended: dict[str, int] = dict(
            self._db.execute("SELECT kind, count(*) FROM streams WHERE ended NOTNULL GROUP BY kind")
        )

    def _forget(self, listener: JournalListener) -> None:
        with self._lock:
            self._listeners.remove(listener)


def _open(path: str) -> sqlite3.Connection:
    try:
        with ExitStack() as unusable:
            db = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
            unusable.callback(db.close)
            _prepare(db, path)
            unusable.pop_all()
    except sqlite3.Error as error:
        raise JournalFileError(f"{path} cannot be used as a journal: {_hint(error)}") from error
    return db


def _prepare(db: sqlite3.Connection, path: str) -> None:
    # Two writers would number their records alike; a lock that SQLite holds ends with the process, however it ends.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("BEGIN EXCLUSIVE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables == 0:
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {_FORMAT}")
    elif version != _FORMAT:
        raise JournalFileError(
            f"{path} is no journal of format {_FORMAT} (its user_version is {version}, with {tables} tables);"
            " pass the path of another file, or remove this one"
        )
    db.execute("COMMIT")


def _hint(error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return "another process, or another journal in this one, has it open; close that first"
    return str(error)


def _time(at: int) -> datetime:
    return _EPOCH + at * _MICROSECOND
