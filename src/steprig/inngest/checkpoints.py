"""Steps that an SDK reports while a call goes on, instead of at its end (`POST /v1/checkpoint/<run>/async`).

The npm SDK does so by default: it runs step after step in one call, and reports each before the next.
"""

from collections.abc import Sequence

import msgspec

from steprig.inngest import defers, metadata
from steprig.inngest.decision import Decision, Given
from steprig.inngest.limits import MAX_STEP_BYTES
from steprig.inngest.opcodes import Op
from steprig.inngest.problems import step_output_too_large
from steprig.inngest.records import CallCheckpointed, JobId, StepEnded
from steprig.inngest.state import RunState
from steprig.inngest.wire import checked

KEPT = frozenset({"StepRun", "Step", "DeferAdd", "DeferAbort"})
"""The opcodes after which a call may go on."""


class Checkpoint(msgspec.Struct, frozen=True):
    """What an SDK reports."""

    run_id: str
    steps: list[Op]
    qi_id: str = ""
    """The id of the job that the call is for, as the call's request had it."""


def decode_checkpoint(body: bytes) -> Checkpoint:
    """The body of the request.

    Raises:
        steprig.inngest.wire.UNREADABLE: The body is something else.
    """
    return _DECODER.decode(checked(body))


def checkpoint(state: RunState, job_id: JobId, steps: Sequence[Op], given: Given) -> Decision | None:
    """Steps have ended, and the call goes on. None when the run does not wait for this call any more."""
    if job_id not in state.jobs:
        return None
    decision = Decision(state, given)
    decision.add(CallCheckpointed(job_id))
    keep(decision, steps)
    return decision


def keep(decision: Decision, steps: Sequence[Op]) -> None:
    """Keep what a call that goes on has done. Opcodes other than those of `KEPT` are passed over."""
    for op in steps:
        metadata.take(decision, op)
        match op.op:
            case "DeferAdd":
                defers.add(decision, op)
            case "DeferAbort":
                defers.abort(decision, op)
            case "StepRun" | "Step":
                _keep_step(decision, op)
        if decision.ended:
            return


def _keep_step(decision: Decision, op: Op) -> None:
    if op.id in decision.state.memos:
        return
    if len(op.data) > MAX_STEP_BYTES:
        decision.fail(step_output_too_large(op))
        return
    memo = op.data if op.op == "Step" else msgspec.Raw(b'{"data":' + bytes(op.data) + b"}")
    decision.keep_step(StepEnded(step=op.id, title=op.title, op="RUN", memo=memo, output=op.data))


_DECODER = msgspec.json.Decoder(Checkpoint)
