"""The request that calls a function (Inngest SDK spec 4.4.1)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from steprig.inngest.defers import Deferred, known_to_sdk
from steprig.inngest.ids import function_uuid
from steprig.inngest.limits import ACCOUNT_ID, MAX_STEP_BYTES
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import Job
from steprig.inngest.state import RunState

_INLINE_LIMIT = MAX_STEP_BYTES - 1024
"""A run whose steps gave more than this is not sent along: the SDK fetches it."""


class CallRequest(NamedTuple):
    """What is sent, whatever carries it."""

    body: bytes
    headers: Mapping[str, str]
    endpoint_method: str | None = None
    """Set on a request to an endpoint, which goes to its URL as it is. A function is called by POST."""


class _Stack(msgspec.Struct):
    current: int
    stack: Sequence[StepId]


class _Context(msgspec.Struct):
    attempt: int
    disable_immediate_execution: bool
    env: str
    fn_id: str
    generation_id: int
    job_id: str
    max_attempts: int
    qi_id: str
    request_id: str
    run_id: str
    stack: _Stack
    step_id: str
    use_api: bool


class _Body(msgspec.Struct):
    ctx: _Context
    defers: Mapping[StepId, Deferred]
    event: msgspec.Raw
    events: Sequence[msgspec.Raw]
    steps: Mapping[StepId, msgspec.Raw]
    use_api: bool
    version: int


def call_request(state: RunState, job: Job, request_id: str) -> CallRequest:
    """The request for one job of a run."""
    events = [event.wire() for event in state.events]
    use_api = state.memo_bytes > _INLINE_LIMIT
    body = _encode(state, job, request_id, events[0], events, use_api=use_api)
    if len(body) > MAX_STEP_BYTES:
        body = _encode(state, job, request_id, events[0], (), use_api=True)
    return CallRequest(body, _headers(state, job, request_id))


def _encode(
    state: RunState, job: Job, request_id: str, event: msgspec.Raw, events: Sequence[msgspec.Raw], *, use_api: bool
) -> bytes:
    context = _Context(
        attempt=job.attempt,
        disable_immediate_execution=state.one_step_a_call,
        env="",
        fn_id=str(function_uuid(state.function)),
        generation_id=1,
        job_id=job.id,
        max_attempts=job.max_attempts,
        qi_id=job.id,
        request_id=request_id,
        run_id=state.id,
        stack=_Stack(job.position, list(state.memos)),
        step_id="step",
        use_api=use_api,
    )
    steps = {} if use_api else state.sent_memos()
    return msgspec.json.encode(_Body(context, known_to_sdk(state), event, events, steps, use_api, state.version))


def _headers(state: RunState, job: Job, request_id: str) -> Mapping[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "Inngest",
        "X-Run-Id": state.id,
        "X-Request-Id": request_id,
        "X-Inngest-Job-Id": job.id,
        "X-Inngest-Generation-Id": "1",
        "X-Inngest-Req-Version": str(state.version),
        "X-Inngest-Step-Id": job.step,
        "Account-Id": ACCOUNT_ID,
        "Accept-Encoding": "gzip",
    }
