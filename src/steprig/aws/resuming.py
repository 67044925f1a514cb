"""What was under way when a journal was left, by a process that was stopped or killed."""

from collections.abc import Sequence
from typing import NamedTuple

from steprig.aws import records as r
from steprig.aws.folding import fold_record
from steprig.aws.model import OperationId
from steprig.aws.state import Execution
from steprig.kernel import Journal, Record, Stream, stream_of


class UnderWay(NamedTuple):
    """An execution that goes on."""

    state: Execution
    to_begin: tuple[r.ChainedInvokeStarted, ...]
    """The functions that it has invoked and that are to be begun, again or for the first time."""
    ended: tuple[tuple[OperationId, Execution, r.ExecutionEnd], ...]
    """The executions that it has invoked, and of whose end it was not told."""


def under_way(journal: Journal) -> list[UnderWay]:
    """The executions that go on, in the order in which they were started."""
    found = [_read(journal, stream) for stream in journal.streams(r.EXECUTION, going_on=True)]
    return [one for one in found if one is not None]


def _read(journal: Journal, stream: Stream) -> UnderWay | None:
    records = journal.read(stream)
    state = _fold(records)
    if state is None or state.ended is not None:
        return None
    to_begin: list[r.ChainedInvokeStarted] = []
    ended: list[tuple[OperationId, Execution, r.ExecutionEnd]] = []
    for invoke in _open_invokes(state, records):
        child = journal.read(stream_of(r.EXECUTION, invoke.child_arn or "")) if invoke.durable else ()
        child_state, last = _fold(child), child[-1].entry if child else None
        if child_state is None:
            to_begin.append(invoke)
        elif isinstance(last, r.ExecutionEnd):
            ended.append((invoke.id, child_state, last))
    return UnderWay(state, tuple(to_begin), tuple(ended))


def _open_invokes(state: Execution, records: Sequence[Record]) -> list[r.ChainedInvokeStarted]:
    invokes = [record.entry for record in records if isinstance(record.entry, r.ChainedInvokeStarted)]
    return [one for one in invokes if one.target is not None and not state.operations[one.id].ended]


def _fold(records: Sequence[Record]) -> Execution | None:
    state: Execution | None = None
    for record in records:
        state = fold_record(state, record)
    return state
