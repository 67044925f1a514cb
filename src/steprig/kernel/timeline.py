"""The timeline: runs and their spans, the one model that every reader uses, whatever the platform."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from steprig.errors import SteprigError
from steprig.kernel.journal import Journal, Record, Stream, stream_of


class Status(StrEnum):
    """How far a run or a span has come."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """True when nothing more will happen."""
        return self in _ENDED


_ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.SKIPPED})


class Failure(msgspec.Struct, frozen=True):
    """Why something failed."""

    name: str
    message: str
    stack: str | None = None


class Span(msgspec.Struct, frozen=True):
    """A stretch of a run: a step, a wait, an attempt."""

    id: str
    """Unique in its run."""
    name: str
    kind: str
    """The platform's own word: run, sleep, invoke, activity, attempt, ..."""
    status: Status
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    """How often it was tried, the first try included."""
    output: msgspec.Raw | None = None
    """JSON, byte for byte as the function gave it."""
    failure: Failure | None = None
    children: tuple["Span", ...] = ()
    attributes: Mapping[str, object] = {}
    """What only this platform knows."""

    def walk(self) -> Iterator["Span"]:
        """The span and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


class Run(msgspec.Struct, frozen=True):
    """One execution of one function."""

    id: str
    platform: str
    name: str
    """The function's name or id."""
    status: Status
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    input: msgspec.Raw | None = None
    output: msgspec.Raw | None = None
    failure: Failure | None = None
    spans: tuple[Span, ...] = ()
    parent_id: str | None = None
    """The run that started this one."""
    attributes: Mapping[str, object] = {}

    def span(self, span_id: str) -> Span | None:
        """The span with this id, at any depth."""
        return next((span for top in self.spans for span in top.walk() if span.id == span_id), None)

    def with_span(self, span: Span) -> "Run":
        """A copy with a top-level span added, or put in the place of the one that has its id."""
        for index, old in enumerate(self.spans):
            if old.id == span.id:
                spans = (*self.spans[:index], span, *self.spans[index + 1 :])
                return msgspec.structs.replace(self, spans=spans)
        return msgspec.structs.replace(self, spans=(*self.spans, span))


Projection = Callable[[Run | None, Record], Run | None]
"""A platform's fold: the run as it was, and the next record of its stream, give the run as it is."""


class RunNotReachedError(SteprigError, TimeoutError):
    """A run did not get, in time, to where somebody waited for it. The message says where it was last."""


class Timeline:
    """The runs in a journal, folded when somebody asks. From any thread.

    Args:
        journal: Where the records are.
        projections: For each kind of stream that holds a run, how to fold it.
    """

    def __init__(self, journal: Journal, projections: Mapping[str, Projection] | None = None) -> None:
        self._journal = journal
        self._projections = dict(projections or {})
        self._lock = threading.Lock()
        self._folded: dict[Stream, tuple[Run | None, int]] = {}
        self._watchers: dict[Stream, tuple[Callable[[], object], ...]] = {}
        self._stop_listening = journal.listen(self)

    def add(self, kind: str, projection: Projection) -> None:
        """Read streams of this kind as runs, too."""
        self._projections[kind] = projection

    def run(self, run_id: str) -> Run | None:
        """The run as it is now, or None when there is none or it was dropped."""
        for kind in self._projections:
            if (run := self._fold(kind, stream_of(kind, run_id))) is not None:
                return run
        return None

    def runs(self, *, since: int = 0) -> list[Run]:
        """Every run whose first record came after the journal's record number `since`, oldest first."""
        found: list[tuple[int, Run]] = []
        for kind in self._projections:
            for stream in reversed(self._journal.streams(kind)):
                first = next(iter(self._journal.read(stream)), None)
                if first is None or first.seq <= since:
                    break
                if (run := self._fold(kind, stream)) is not None:
                    found.append((first.seq, run))
        return [run for _, run in sorted(found, key=lambda pair: pair[0])]

    def watch(self, run_id: str, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` at each change of a run, known yet or not. Returns the undoing.

        The callback runs while the journal is locked: it may set an event, and nothing more.
        """
        streams = [stream_of(kind, run_id) for kind in self._projections]
        with self._lock:
            for stream in streams:
                self._watchers[stream] = (*self._watchers.get(stream, ()), callback)
        return lambda: self._unwatch(streams, callback)

    def wait_for(self, run_id: str, reached: Callable[[Run], bool], *, timeout: float) -> Run:
        """Block until a run is as wished.

        Args:
            run_id: The run, which need not exist yet.
            reached: Looks at the run.
            timeout: Real seconds.

        Raises:
            RunNotReachedError: It took longer.
        """
        changed = threading.Event()
        unwatch = self.watch(run_id, changed.set)
        end = time.monotonic() + timeout
        try:
            while True:
                changed.clear()
                run = self.run(run_id)
                if run is not None and reached(run):
                    return run
                if not changed.wait(max(0.0, end - time.monotonic())):
                    raise _not_reached(run_id, run, timeout)
        finally:
            unwatch()

    async def until(self, run_id: str, reached: Callable[[Run], bool], *, timeout: float) -> Run:
        """`wait_for` on an event loop."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        unwatch = self.watch(run_id, lambda: loop.call_soon_threadsafe(changed.set))
        run = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    changed.clear()
                    run = self.run(run_id)
                    if run is not None and reached(run):
                        return run
                    await changed.wait()
        except TimeoutError:
            raise _not_reached(run_id, run, timeout) from None
        finally:
            unwatch()

    def close(self) -> None:
        """Stop listening to the journal. Idempotent."""
        self._stop_listening()

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        for callback in self._watchers.get(record.stream, ()):
            callback()

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`."""
        with self._lock:
            self._folded.pop(stream, None)

    def _fold(self, kind: str, stream: Stream) -> Run | None:
        project = self._projections[kind]
        with self._lock:
            run, length = self._folded.get(stream, (None, 0))
        records = self._journal.read(stream, after=length)
        for record in records:
            run = project(run, record)
        if records:
            with self._lock:
                self._folded[stream] = (run, length + len(records))
        return run

    def _unwatch(self, streams: list[Stream], callback: Callable[[], object]) -> None:
        with self._lock:
            for stream in streams:
                left = tuple(known for known in self._watchers.get(stream, ()) if known is not callback)
                if left:
                    self._watchers[stream] = left
                else:
                    self._watchers.pop(stream, None)


def _not_reached(run_id: str, run: Run | None, timeout: float) -> RunNotReachedError:
    seen = "no such run" if run is None else f"{run.name} was {run.status}, with {len(run.spans)} spans"
    return RunNotReachedError(f"run {run_id} was not there within {timeout} s; last seen: {seen}")
