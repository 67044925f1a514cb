"""Functions that a run defers: each is started when the run has ended, however it ends.

An SDK reports them along with something else (opcodes `DeferAdd` and `DeferAbort`). Nothing that is wrong with one
does the run any harm.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from steprig.inngest import internal_events
from steprig.inngest.decision import Decision, Given
from steprig.inngest.events import NULL, Event
from steprig.inngest.ids import function_uuid, ulid_at
from steprig.inngest.limits import MAX_DEFERS, MAX_STEP_BYTES
from steprig.inngest.opcodes import AnyOptions, DeferAbortOptions, DeferAddOptions, Op, StepId
from steprig.inngest.records import DeferAborted, DeferAdded, RunId
from steprig.inngest.state import RunState

_TIME_LENGTH = 10
"""Characters of a ULID that tell its time."""


class Deferred(msgspec.Struct):
    """What calls are told of a deferral."""

    abortable: bool
    """Whether it may still be taken back."""


def add(decision: Decision, op: Op) -> None:
    """A run defers a function. The first report counts; one too many, or one that names no function, is dropped."""
    known = decision.state.defers
    options = _read(op, DeferAddOptions)
    if options is None or not options.fn_slug or op.id in known or len(known) >= MAX_DEFERS:
        return
    refused = _refusal(known, options.input)
    data = NULL if refused else options.input
    decision.add(DeferAdded(step=op.id, title=op.title, function=options.fn_slug, input=data, refused=refused))


def abort(decision: Decision, op: Op) -> None:
    """A run takes a deferral back. One that it has never made, or that is refused, stays as it is."""
    options = _read(op, DeferAbortOptions)
    if options is None:
        return
    added = decision.state.defers.get(options.target_hashed_id)
    if added is not None and not added.refused:
        decision.add(DeferAborted(added.step))


def known_to_sdk(state: RunState) -> Mapping[StepId, Deferred]:
    """What a call is told, so that the SDK does not report the same again."""
    return {step: Deferred(abortable=not added.refused) for step, added in state.defers.items()}


def events(state: RunState, given: Given) -> list[Event]:
    """The events that start what a run has deferred, now that it has ended."""
    return [_event(state, added, given) for added in state.defers.values() if not added.refused]


def _event(state: RunState, added: DeferAdded, given: Given) -> Event:
    marks = {
        "fn_slug": added.function,
        "parent_fn_slug": state.function,
        "parent_run_id": state.id,
        "parent_function_id": str(function_uuid(state.function)),
        "hashed_defer_id": added.step,
    }
    return internal_events.deferred(added.input, marks, event_id(state.id, added.step), given)


def event_id(run_id: RunId, step: StepId) -> str:
    """The same for the same deferral, so that it starts a function once."""
    digest = hashlib.sha256(f"{run_id}{step}".encode()).digest()
    return run_id[:_TIME_LENGTH] + ulid_at(0, digest[:10])[_TIME_LENGTH:]


def _refusal(known: Mapping[StepId, DeferAdded], data: msgspec.Raw) -> str:
    """Why a function with this input is not deferred; empty where it is."""
    if data != NULL and bytes(data)[:1] != b"{":
        return "the input is no object"
    if len(data) > MAX_STEP_BYTES:
        return "the input is too large"
    if sum(len(added.input) for added in known.values()) + len(data) > MAX_STEP_BYTES:
        return "the inputs of the run are too large together"
    return ""


def _read(op: Op, kind: type[AnyOptions]) -> AnyOptions | None:
    try:
        return op.options(kind)
    except msgspec.ValidationError:
        return None
