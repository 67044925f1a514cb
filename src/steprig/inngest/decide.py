"""What follows from what happens to a run: pure decisions (Inngest SDK spec 4.4 and 5).

Each takes the run's state and returns a `Decision`. What has to be done about its entries (calls, timers,
events to publish) is the engine's business.
"""

from datetime import datetime

import msgspec

from steprig.inngest import metadata, problems
from steprig.inngest.decision import Decision, Given
from steprig.inngest.events import NULL, Event
from steprig.inngest.limits import MAX_STEP_BYTES
from steprig.inngest.opcodes import Op, StepId, decode_ops
from steprig.inngest.records import (
    CallAnswered,
    InvokeStarted,
    Job,
    JobId,
    Problem,
    RunEnded,
    RunId,
    RunQueued,
    SignalWaitStarted,
    SleepStarted,
    StepEnded,
    WaitStarted,
)
from steprig.inngest.replies import NoReply, Reply, unwrapped
from steprig.inngest.state import RunState, fold
from steprig.inngest.steps import FunctionExists, apply, error_memo
from steprig.inngest.wire import UNREADABLE
from steprig.kernel import Status

PRIORITY = {"WaitForEvent": 0, "DeferAdd": 0, "DeferAbort": 0}
"""Waits come first: what the same reply starts may send the event. So do deferrals: the reply may end the run."""


def begin(queued: RunQueued, given: Given, *, not_before: datetime | None = None) -> Decision:
    """A run is created and its first call queued."""
    state = fold(None, queued)
    assert state is not None, "RunQueued makes a state"
    decision = Decision(state, given)
    decision.entries.append(queued)
    decision.queue(at=not_before)
    return decision


def answer(
    state: RunState, job_id: JobId, reply: Reply | NoReply, given: Given, function_exists: FunctionExists
) -> Decision:
    """A call has ended, one way or another. Nothing follows where the run ended meanwhile."""
    decision = Decision(state, given)
    job = state.jobs.get(job_id)
    if job is None:
        return decision
    if isinstance(reply, NoReply):
        _call_failed(decision, job, problems.of_silence(reply))
        return decision
    reply = unwrapped(reply)
    if not reply.is_sdk:
        _call_failed(decision, job, problems.of_answer_that_is_no_sdks(reply), retry_after=reply.retry_after)
    elif reply.status == 200 and not reply.no_retry:  # the npm SDK says over Connect that a fatal error is a result
        decision.complete(_output(reply.body))
    elif reply.status == 206:
        _opcodes(decision, job, reply, function_exists)
    else:
        problem = problems.of_function(reply)
        _call_failed(decision, job, problem, final=reply.no_retry, retry_after=reply.retry_after)
    return decision


def wake(state: RunState, step: StepId, given: Given) -> Decision:
    """A sleep is over."""
    decision = Decision(state, given)
    if isinstance(slept := state.open.get(step), SleepStarted):
        decision.end_step(StepEnded(step=step, title=slept.title, op="SLEEP", memo=NULL))
    return decision


def match(state: RunState, step: StepId, event: Event, given: Given) -> Decision:
    """The event that a step waits for is there."""
    decision = Decision(state, given)
    if isinstance(waited := state.open.get(step), WaitStarted):
        found = event.wire()
        decision.end_step(
            StepEnded(
                step=step,
                title=waited.title,
                op="WAIT_FOR_EVENT",
                memo=found,
                output=found,
                event_id=event.internal_id,
            )
        )
    return decision


def time_out(state: RunState, step: StepId, given: Given) -> Decision:
    """What a step waits for did not come in time."""
    decision = Decision(state, given)
    waited = state.open.get(step)
    if isinstance(waited, WaitStarted):
        decision.end_step(StepEnded(step=step, title=waited.title, op="WAIT_FOR_EVENT", memo=NULL, timed_out=True))
    elif isinstance(waited, SignalWaitStarted):
        decision.end_step(StepEnded(step=step, title=waited.title, op="WAIT_FOR_SIGNAL", memo=NULL, timed_out=True))
    elif isinstance(waited, InvokeStarted):
        problem = problems.invoke_timed_out()
        decision.end_step(
            StepEnded(
                step=step,
                title=waited.title,
                op="INVOKE",
                memo=error_memo(problem),
                problem=problem,
                timed_out=True,
            )
        )
    return decision


def resume(state: RunState, step: StepId, child: RunId, ended: RunEnded, finished: Event, given: Given) -> Decision:
    """A function that a step has invoked is over; `finished` is the event that says so."""
    decision = Decision(state, given)
    if isinstance(invoked := state.open.get(step), InvokeStarted):
        memo, problem = _invoke_outcome(ended, finished)
        decision.end_step(
            StepEnded(
                step=step,
                title=invoked.title,
                op="INVOKE",
                memo=memo,
                output=ended.output if problem is None else msgspec.UNSET,
                problem=problem,
                event_id=finished.internal_id,
                run_id=child,
            )
        )
    return decision


def cancel(state: RunState, given: Given) -> Decision:
    """The run is not to go on, whatever it is doing."""
    decision = Decision(state, given)
    if not decision.ended:
        decision.cancel()
    return decision


def give_up(state: RunState, error: Exception, given: Given) -> Decision:
    """steprig itself is at fault. The run ends, and says why: it would never end otherwise."""
    decision = Decision(state, given)
    if not decision.ended:
        decision.fail(problems.broken("reading an answer", error))
    return decision


def _opcodes(decision: Decision, job: Job, reply: Reply, function_exists: FunctionExists) -> None:
    try:
        ops = decode_ops(reply.body)
    except UNREADABLE as error:
        _call_failed(decision, job, problems.of_opcodes(error), retry_after=reply.retry_after)
        return
    take(decision, job, ops, reply, function_exists)


def take(decision: Decision, job: Job, ops: list[Op], reply: Reply, function_exists: FunctionExists) -> None:
    """Do what the opcodes of a call's answer say."""
    try:
        racing = {op.id for op in ops if op.races}
    except UNREADABLE as error:
        _call_failed(decision, job, problems.of_opcodes(error), retry_after=reply.retry_after)
        return
    for op in ops:
        if op.op in ("StepRun", "Step") and len(op.data) > MAX_STEP_BYTES:
            _call_failed(decision, job, problems.step_output_too_large(op))
            return
    state = decision.state
    group = tuple(op.id for op in ops if op.forms_group and op.id not in state.memos and op.id not in racing)
    worked = [op for op in ops if not op.is_lazy]
    decision.add(CallAnswered(job.id, reply.version, len(worked), group))
    for op in sorted(ops, key=lambda op: PRIORITY.get(op.op, 1)):
        if decision.ended:
            return
        metadata.take(decision, op)
        apply(decision, job, op, reply, function_exists)
    if not worked and not decision.state.jobs and not decision.state.open:
        decision.queue()


def _call_failed(
    decision: Decision, job: Job, problem: Problem, *, final: bool = False, retry_after: str | None = None
) -> None:
    if not decision.retry(job, problem, final=final, retry_after=retry_after):
        decision.fail(problem)


def _output(body: bytes) -> msgspec.Raw:
    """A run's output: JSON, or the text itself where the SDK sent none."""
    return problems.as_sent(body) if body.strip() else NULL


def _invoke_outcome(ended: RunEnded, finished: Event) -> tuple[msgspec.Raw, Problem | None]:
    if ended.status is Status.COMPLETED:
        return msgspec.Raw(b'{"data":' + bytes(ended.output or NULL) + b"}"), None
    if ended.problem is not None:
        problem = problems.of_invoked(ended.problem)
        return error_memo(problem), problem
    return finished.wire(), None
