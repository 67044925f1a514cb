"""The timeline: runs and their spans, the one model that every reader uses, whatever the platform."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

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


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why something failed."""

    name: str
    message: str
    stack: str | None = None


class Span(msgspec.Struct, frozen=True, gc=False):
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


class Run(msgspec.Struct, frozen=True, gc=False):
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

    def with_span(self, span: Span) -> Self:
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


class _Fold(NamedTuple):
    """How far the records of one stream are folded."""

    run: Run | None
    length: int
    first: int
    """The `seq` of the first record."""


class Timeline:
    """The runs in a journal, folded when somebody asks. From any thread.

    Args:
        journal: Where the records are.
        projections: For each kind of stream that holds a run, how to fold it.
    """

    def __init__(self, journal: Journal, projections: Mapping[str, Projection] | None = None) -> None:
        self._journal = journal
        self._projections: dict[str, Projection] = {}
        self._lock = threading.Lock()
        self._folded: dict[Stream, _Fold] = {}
        self._watchers: dict[str, tuple[Callable[[], object], ...]] = {}
        self._listening = ExitStack()
        for kind, projection in (projections or {}).items():
            self.add(kind, projection)

    def add(self, kind: str, projection: Projection) -> None:
        """Read streams of this kind as runs, too."""
        with self._lock:
            is_new = kind not in self._projections
            self._projections = {**self._projections, kind: projection}
        if is_new:
            self._listening.callback(self._journal.listen(self, {kind}))

    def run(self, run_id: str) -> Run | None:
        """The run as it is now, or None when there is none or it was dropped."""
        for kind in self._projections:
            fold = self._fold(kind, stream_of(kind, run_id))
            if fold is not None and fold.run is not None:
                return fold.run
        return None

    def runs(self, *, since: int = 0) -> list[Run]:
        """Every run whose first record came after the journal's record number `since`, oldest first."""
        found: list[tuple[int, Run]] = []
        for kind in self._projections:
            for stream in reversed(self._journal.streams(kind)):
                fold = self._fold(kind, stream)
                if fold is None:
                    continue  # dropped just now
                if fold.first <= since:
                    break
                if fold.run is not None:
                    found.append((fold.first, fold.run))
        return [run for _, run in sorted(found, key=lambda pair: pair[0])]

    def watch(self, run_id: str, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` at each change of a run, known yet or not. Returns the undoing.

        The callback runs while the journal is locked: it may set an event, and nothing more.
        """
        with self._lock:
            self._watchers[run_id] = (*self._watchers.get(run_id, ()), callback)
        return lambda: self._unwatch(run_id, callback)

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
        seen: Run | None = None
        try:
            while True:
                changed.clear()
                run = self.run(run_id)
                if run is not None and reached(run):
                    return run
                seen = run or seen
                seconds_left = end - time.monotonic()
                if seconds_left <= 0 or not changed.wait(seconds_left):
                    raise _not_reached(run_id, run, seen, timeout)
        finally:
            unwatch()

    async def until(self, run_id: str, reached: Callable[[Run], bool], *, timeout: float) -> Run:
        """`wait_for` on an event loop."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        unwatch = self.watch(run_id, lambda: loop.call_soon_threadsafe(changed.set))
        run = seen = None
        patience = asyncio.timeout(timeout)
        try:
            async with patience:
                while True:
                    changed.clear()
                    run = self.run(run_id)
                    if run is not None and reached(run):
                        return run
                    seen = run or seen
                    await changed.wait()
        except TimeoutError:
            if not patience.expired():
                raise
            raise _not_reached(run_id, run, seen, timeout) from None
        finally:
            unwatch()

    def close(self) -> None:
        """Stop listening to the journal. Idempotent."""
        self._listening.close()

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        if self._watchers:
            self._tell_watchers(record.stream)

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`."""
        self._forget(stream)
        if self._watchers:
            self._tell_watchers(stream)

    def _tell_watchers(self, stream: Stream) -> None:
        _, _, run_id = stream.partition(":")
        for callback in self._watchers.get(run_id, ()):
            callback()

    def _fold(self, kind: str, stream: Stream) -> _Fold | None:
        """The stream folded up to now, or None when it has no records."""
        with self._lock:
            fold = self._folded.get(stream)
        run, length, first = fold or (None, 0, 0)
        records = self._journal.read(stream, after=length)
        if not records:
            return fold
        project = self._projections[kind]
        for record in records:
            run = project(run, record)
        fold = _Fold(run, length + len(records), first or records[0].seq)
        self._keep(stream, fold)
        return fold

    def _keep(self, stream: Stream, fold: _Fold) -> None:
        with self._lock:
            kept = self._folded.get(stream)
            if kept is None or kept.length < fold.length:
                self._folded[stream] = fold
        if not self._journal.read(stream, after=fold.length - 1):
            self._forget(stream)  # while it was folded, so that the journal told of it too early

    def _forget(self, stream: Stream) -> None:
        with self._lock:
            self._folded.pop(stream, None)

    def _unwatch(self, run_id: str, callback: Callable[[], object]) -> None:
        with self._lock:
            left = tuple(known for known in self._watchers.get(run_id, ()) if known is not callback)
            if left:
                self._watchers[run_id] = left
            else:
                self._watchers.pop(run_id, None)


def _not_reached(run_id: str, run: Run | None, seen: Run | None, timeout: float) -> RunNotReachedError:
    last = "no such run" if seen is None else f"{seen.name} was {seen.status}, with {len(seen.spans)} spans"
    if run is None and seen is not None:
        last += "; the journal has dropped it since"
    return RunNotReachedError(f"run {run_id} was not there within {timeout} s; last seen: {last}")
