"""What was under way when a journal was left, by a server that was stopped or killed."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from steprig.inngest.records import RUN, AttemptFailed, CallStarted, Job, JobQueued, RunQueued, StepOpened
from steprig.inngest.state import RunState, fold
from steprig.kernel import Entry, Journal, Record


class Pending(NamedTuple):
    """An entry whose consequence is still to come."""

    seq: int
    at: datetime
    state: RunState
    """Of its run, as it is now."""
    entry: Entry


def pending(journal: Journal) -> list[Pending]:
    """Of all runs that go on, what has yet to follow, in the order in which it was recorded."""
    streams = journal.streams(RUN, going_on=True)
    return sorted(
        (found for stream in streams for found in _of_run(list(journal.read(stream)))), key=lambda one: one.seq
    )


def _of_run(records: list[Record]) -> Iterator[Pending]:
    state: RunState | None = None
    for record in records:
        state = fold(state, record.entry)
    if state is None:
        return
    was_called = False
    for record in records:
        if _is_pending(record.entry, state, was_called=was_called):
            yield Pending(record.seq, record.at, state, record.entry)
        was_called = was_called or isinstance(record.entry, CallStarted)


def _is_pending(entry: Entry, state: RunState, *, was_called: bool) -> bool:
    match entry:
        case RunQueued():
            return True
        case CallStarted():
            return not was_called
        case JobQueued(job=job) | AttemptFailed(retry=Job() as job):
            return job.id in state.jobs
        case StepOpened(step=step):
            return state.open.get(step) is entry
        case _:
            return False
