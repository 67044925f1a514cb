"""Steps that an SDK reports while a call goes on, instead of at its end (`POST /v1/checkpoint/<run>/async`).

The npm SDK does so by default: it runs step after step in one call, and reports each before the next.
"""

import msgspec

from steprig.inngest.decision import Decision, Given
from steprig.inngest.limits import MAX_STEP_BYTES
from steprig.inngest.opcodes import Op
from steprig.inngest.problems import step_output_too_large
from steprig.inngest.records import CallCheckpointed, JobId, StepEnded
from steprig.inngest.state import RunState
from steprig.inngest.wire import checked


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


def checkpoint(state: RunState, job_id: JobId, steps: list[Op], given: Given) -> Decision | None:
    """Steps have ended, and the call goes on. None when the run does not wait for this call any more."""
    if job_id not in state.jobs:
        return None
    decision = Decision(state, given)
    decision.add(CallCheckpointed(job_id))
    for op in steps:
        if op.op not in ("StepRun", "Step") or op.id in decision.state.memos:
            continue
        if len(op.data) > MAX_STEP_BYTES:
            decision.fail(step_output_too_large(op))
            return decision
        memo = op.data if op.op == "Step" else msgspec.Raw(b'{"data":' + bytes(op.data) + b"}")
        decision.keep_step(StepEnded(step=op.id, title=op.title, op="RUN", memo=memo, output=op.data))
        if decision.ended:
            return decision
    return decision


_DECODER = msgspec.json.Decoder(Checkpoint)
