"""Which executions there are, by function and by name, in the order in which they were started."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from steprig.aws import records as r
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.model import Arn, ExecutionStatus
from steprig.aws.state import Execution
from steprig.kernel import Journal, Record, Stream


class Summary(NamedTuple):
    """An execution in a listing."""

    arn: Arn
    name: str
    function_arn: str
    status: ExecutionStatus
    started_at: datetime
    ended_at: datetime | None


class _Entry(NamedTuple):
    """What the ARN alone tells."""

    function: str
    version: str
    name: str
    function_arn: str


class ExecutionIndex:
    """Finds executions. From any thread.

    Args:
        journal: Where they are recorded.
        execution: Finds one by its ARN, or raises `ResourceNotFoundException`.
    """

    def __init__(self, journal: Journal, execution: Callable[[str], Execution]) -> None:
        self._execution = execution
        self._lock = threading.Lock()
        self._entries: dict[Arn, _Entry] = {}
        self._named: dict[tuple[str, str], Arn] = {}
        self._ended: dict[Arn, Summary] = {}
        self._forget = journal.listen(self, {r.EXECUTION})
        for stream in journal.streams(r.EXECUTION):
            self._add(_arn(stream))

    def __len__(self) -> int:
        """How many executions it knows of."""
        return len(self._entries)

    def close(self) -> None:
        """Follow the journal no more."""
        self._forget()

    def named(self, function: str, name: str) -> Execution | None:
        """The execution of this name, of any version of a function; of several the latest that was started."""
        with self._lock:
            arn = self._named.get((function, name))
        return None if arn is None else self._find(arn)

    def of(self, function: str | None, version: str | None = None, name: str | None = None) -> list[Summary]:
        """The executions of a function, in the order in which they were started.

        Args:
            function: Its bare name; None for those of all.
            version: Of it alone, if given.
            name: Of this execution name alone, if given.
        """
        with self._lock:
            entries = list(self._entries.items())
        wanted = [
            arn
            for arn, entry in entries
            if function in (None, entry.function) and version in (None, entry.version) and name in (None, entry.name)
        ]
        return [summary for summary in map(self._summary, wanted) if summary is not None]

    # --- The journal tells --------------------------------------------------------------------------

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        if isinstance(record.entry, r.ExecutionStarted):
            self._add(record.entry.arn)
        elif isinstance(record.entry, r.ExecutionDeleted):
            with self._lock:
                self._ended.pop(_arn(record.stream), None)

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`."""
        with self._lock:
            arn = _arn(stream)
            entry = self._entries.pop(arn, None)
            self._ended.pop(arn, None)
            if entry is not None and self._named.get((entry.function, entry.name)) == arn:
                del self._named[entry.function, entry.name]

    def _add(self, arn: Arn) -> None:
        function_arn, _, rest = arn.partition("/durable-execution/")
        function, _, version = function_arn.partition(":function:")[2].partition(":")
        entry = _Entry(function, version, rest.partition("/")[0], function_arn)
        with self._lock:
            self._entries[arn] = entry
            self._named[function, entry.name] = arn

    def _find(self, arn: Arn) -> Execution | None:
        try:
            return self._execution(arn)
        except ResourceNotFoundException:
            return None

    def _summary(self, arn: Arn) -> Summary | None:
        with self._lock:
            known, entry = self._ended.get(arn), self._entries.get(arn)
        if known is not None or entry is None or (state := self._find(arn)) is None:
            return known
        summary = Summary(arn, entry.name, entry.function_arn, state.status, state.started_at, state.ended_at)
        if state.ended is not None and not state.deleted:
            with self._lock:
                self._ended[arn] = summary
        return summary


def _arn(stream: Stream) -> Arn:
    return Arn(stream.partition(":")[2])
