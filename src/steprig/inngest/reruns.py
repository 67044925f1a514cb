"""Running again what a run has run: with its events, and where asked with what its first steps gave."""

from collections.abc import Sequence

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.decision import Decision, Given
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import RunId, RunQueued, StepEnded
from steprig.inngest.state import fold
from steprig.kernel import Record


class RerunError(SteprigError, ValueError):
    """A run cannot be run again as asked."""


def rerun(records: Sequence[Record], given: Given, from_step: StepId | None = None) -> Decision:
    """A new run of the same function.

    Args:
        records: Those of the run to repeat, all of them.
        given: The time and the ids.
        from_step: Steps that ended before this one keep their outcomes; None to keep none.

    Raises:
        RerunError: There is no such run, or it has no such step.
    """
    if not records or not isinstance(original := records[0].entry, RunQueued):
        raise RerunError("there is no run to run again")
    queued = msgspec.structs.replace(original, run_id=RunId(given.new_id()), correlation_id=None)
    state = fold(None, queued)
    assert state is not None, "RunQueued makes a state"
    decision = Decision(state, given)
    decision.entries.append(queued)
    for ended in _kept(records, from_step) if from_step is not None else ():
        decision.add(ended)
    decision.queue()
    return decision


def _kept(records: Sequence[Record], step: StepId) -> list[StepEnded]:
    """The outcomes of the steps before this one."""
    kept: list[StepEnded] = []
    for record in records:
        if isinstance(ended := record.entry, StepEnded):
            if ended.step == step:
                return kept
            kept.append(ended)
    if not any(getattr(record.entry, "step", None) == step for record in records):
        raise RerunError(f"fromStep.stepID is {step!r}; the run has no step with this id")
    return kept
