"""Running again what a run has run: with its events, and where asked with what its first steps gave."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.decision import Decision, Given
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import RunControl, RunId, RunQueued, StepEnded
from steprig.inngest.state import fold
from steprig.inngest.wire import UNREADABLE, checked
from steprig.kernel import Record

_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class RerunError(SteprigError, ValueError):
    """A run cannot be run again as asked."""


class FromStep(NamedTuple):
    """Where a repetition begins."""

    step: StepId
    """Steps that began before this one keep their outcomes."""
    input: str | None = None
    """A JSON array: what the step is given instead of what the function gives it."""


class Repeat(NamedTuple):
    """What is to be run again."""

    original: RunQueued
    kept: Sequence[StepEnded] = ()
    inputs: Mapping[StepId, msgspec.Raw] = {}


def repeat(records: Sequence[Record], from_step: FromStep | None = None) -> Repeat:
    """What to run again of a run, which may go on.

    Args:
        records: Those of the run to repeat, all of them.
        from_step: Where to begin; None for the start.

    Raises:
        RerunError: There is no such run, it has no such step, or the input is no array.
    """
    if not records or not isinstance(original := records[0].entry, RunQueued):
        raise RerunError("there is no run to run again")
    if from_step is None:
        return Repeat(original)
    inputs = {} if from_step.input is None else {from_step.step: _array(from_step.input)}
    return Repeat(original, _kept(records, from_step.step), inputs)


def rerun(repeat: Repeat, max_attempts: int, control: RunControl, given: Given) -> Decision:
    """A new run of the same function, as the function is configured now.

    Args:
        repeat: What to run again.
        max_attempts: How often a step is tried.
        control: What flow control has come to.
        given: The time and the ids.
    """
    original = repeat.original
    queued = msgspec.structs.replace(
        original,
        run_id=RunId(given.new_id()),
        max_attempts=max_attempts,
        correlation_id=None,
        control=control,
        original_run_id=original.original_run_id or original.run_id,
        step_inputs=dict(repeat.inputs),
    )
    state = fold(None, queued)
    assert state is not None, "RunQueued makes a state"
    decision = Decision(state, given)
    decision.entries.append(queued)
    for ended in repeat.kept:
        decision.add(ended)
    decision.queue()
    return decision


def _kept(records: Sequence[Record], step: StepId) -> list[StepEnded]:
    """The outcomes of the steps that began before this one."""
    begun: dict[StepId, int] = {}
    ended: list[StepEnded] = []
    for record in records:
        if (named := getattr(record.entry, "step", None)) is not None:
            begun.setdefault(named, len(begun))
        if isinstance(record.entry, StepEnded):
            ended.append(record.entry)
    if step not in begun:
        raise RerunError(f"fromStep.stepID is {step!r}; the run has no step with this id")
    return [outcome for outcome in ended if begun[outcome.step] < begun[step]]


def _array(text: str) -> msgspec.Raw:
    try:
        _LIST.decode(checked(text.encode()))
    except UNREADABLE:
        raise RerunError(f"fromStep.input is {text[:40]!r}: input is not a valid JSON array") from None
    return msgspec.Raw(text.encode())
