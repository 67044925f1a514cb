"""The state of a run: a fold over its records."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from steprig.inngest.events import NULL, Event
from steprig.inngest.functions import AppName, Slug
from steprig.inngest.opcodes import DISCOVERY, StepId
from steprig.inngest.records import (
    AttemptFailed,
    CallAnswered,
    CallCheckpointed,
    CallStarted,
    DeferAborted,
    DeferAdded,
    GatewayStarted,
    Job,
    JobId,
    JobQueued,
    MetadataSet,
    RunControl,
    RunEnded,
    RunId,
    RunQueued,
    StepEnded,
    StepOpened,
)
from steprig.kernel import Entry, Status

K = TypeVar("K")
V = TypeVar("V")

COALESCING_VERSION = 2
"""From this request version on, a parallel group is followed by one discovery, not one for each step."""


class RunState(msgspec.Struct, frozen=True, gc=False):
    """What deciding about a run needs to know."""

    id: RunId
    function: Slug
    app: AppName
    events: tuple[Event, ...]
    max_attempts: int
    correlation_id: str | None = None
    control: RunControl = RunControl()
    status: Status = Status.QUEUED
    memos: dict[StepId, msgspec.Raw] = {}
    """What each ended step gave, in the order in which they ended. Never changed in place."""
    memo_bytes: int = 0
    jobs: dict[JobId, Job] = {}
    """Calls that have to be made or are being made."""
    open: dict[StepId, StepOpened] = {}
    """Steps whose outcome is to come."""
    group: frozenset[StepId] = frozenset()
    """Steps that have to end, all of them, before the function is called for what comes next."""
    one_step_a_call: bool = False
    """The `disable_immediate_execution` of calls: report the next step, do not run it."""
    step_inputs: dict[StepId, msgspec.Raw] = {}
    """What steps are given instead of what the function gives them."""
    defers: dict[StepId, DeferAdded] = {}
    """Functions to start when the run has ended."""
    metadata_bytes: int = 0
    version: int = -1
    """The request version that the SDK has answered with; -1 before its first answer."""
    is_endpoint: bool = False
    """True for the run of an endpoint's request: its calls are that request made again."""

    def knows(self, step: StepId) -> bool:
        """True when the step has been reported before, so that a report of it is a repetition."""
        return step in self.memos or step in self.open

    def sent_memos(self) -> Mapping[StepId, msgspec.Raw]:
        """The `steps` of calls: what steps gave, and what those that have yet to run are given."""
        if not self.step_inputs:
            return self.memos
        inputs = {step: msgspec.Raw(b'{"input":' + bytes(given) + b"}") for step, given in self.step_inputs.items()}
        return inputs | self.memos


def fold(state: RunState | None, entry: Entry) -> RunState | None:
    """The state after an entry. Entries of another kind leave it as it is."""
    if isinstance(entry, RunQueued):
        return RunState(
            entry.run_id,
            entry.function,
            entry.app,
            entry.events,
            entry.max_attempts,
            entry.correlation_id,
            entry.control,
            step_inputs=entry.step_inputs,
            version=-1 if entry.endpoint is None else entry.endpoint,
            is_endpoint=entry.endpoint is not None,
        )
    return state if state is None else advance(state, entry)


def advance(state: RunState, entry: Entry) -> RunState:
    """The state of a run that exists, after an entry."""
    match entry:
        case CallStarted():
            return state if state.status is Status.RUNNING else _with(state, status=Status.RUNNING)
        case CallAnswered():
            return _answered(state, entry)
        case CallCheckpointed():
            return _checkpointed(state, entry.job_id)
        case JobQueued():
            return _queued(state, entry.job)
        case StepEnded():
            return _step_ended(state, entry)
        case StepOpened():
            return _with(state, open=state.open | {entry.step: entry})
        case AttemptFailed():
            return _attempt_failed(state, entry)
        case DeferAdded():
            return _with(state, defers=state.defers | {entry.step: entry})
        case DeferAborted():
            aborted = _with(state.defers[entry.step], input=NULL, refused="aborted")
            return _with(state, defers=state.defers | {entry.step: aborted})
        case MetadataSet():
            return _with(state, metadata_bytes=state.metadata_bytes + entry.size)
        case RunEnded():
            return _with(state, status=entry.status, jobs={})
        case _:
            return state


def _answered(state: RunState, entry: CallAnswered) -> RunState:
    return _with(
        state,
        jobs=_without(state.jobs, entry.job_id),
        version=entry.version,
        group=state.group | set(entry.group),
        one_step_a_call=state.one_step_a_call or entry.ops > 1,
    )


def _checkpointed(state: RunState, job_id: JobId) -> RunState:
    """The call has got somewhere: what fails next in it has all its attempts before it."""
    job = state.jobs.get(job_id)
    if job is None or job.attempt == 0:
        return state
    return _with(state, jobs=state.jobs | {job_id: _with(job, attempt=0)})


def _queued(state: RunState, job: Job) -> RunState:
    clears = job.step == DISCOVERY and state.version >= COALESCING_VERSION
    return _with(
        state,
        jobs=state.jobs | {job.id: job},
        one_step_a_call=state.one_step_a_call and not clears,
    )


def _attempt_failed(state: RunState, entry: AttemptFailed) -> RunState:
    jobs = _without(state.jobs, entry.job_id)
    if entry.retry is not None:
        jobs[entry.retry.id] = entry.retry
    opened = state.open
    if entry.step is not None and isinstance(opened.get(entry.step), GatewayStarted):
        opened = _without(opened, entry.step)  # the next attempt reports it anew
    return _with(state, jobs=jobs, open=opened)


def _step_ended(state: RunState, entry: StepEnded) -> RunState:
    return _with(
        state,
        memos=state.memos | {entry.step: entry.memo},
        memo_bytes=state.memo_bytes + len(entry.memo),
        open=_without(state.open, entry.step),
        group=state.group - {entry.step},
    )


_with = msgspec.structs.replace


def _without(mapping: dict[K, V], key: K) -> dict[K, V]:
    left = mapping.copy()
    left.pop(key, None)
    return left
