"""Requests that the server makes for steps: `step.ai.infer` and `step.fetch` (opcodes `AIGateway` and `Gateway`)."""

import asyncio
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import NamedTuple

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from steprig.inngest import problems
from steprig.inngest.decision import Decision, Given
from steprig.inngest.events import NULL
from steprig.inngest.gateway_requests import title
from steprig.inngest.limits import CALL_TIMEOUT, MAX_STEP_BYTES
from steprig.inngest.opcodes import StepId
from steprig.inngest.records import AttemptFailed, GatewayRequest, GatewayStarted, Problem, RunId, StepEnded
from steprig.inngest.state import RunState
from steprig.inngest.steps import error_memo
from steprig.kernel import Rig, Work

_CHUNK = 1 << 16
_LARGE = 1 << 20


class GatewayAnswer(NamedTuple):
    """What a provider has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class GatewaySilence(NamedTuple):
    """A provider has not answered, or more than a step may give."""

    reason: str


Outcome = GatewayAnswer | GatewaySilence
Answered = Callable[[RunId, GatewayStarted, Outcome], None]


def answered(state: RunState, started: GatewayStarted, outcome: Outcome, given: Given) -> Decision:
    """A request was made. Where it failed, the call that has asked for it is made again, as long as it may be.

    It is made again once, however many of its requests have failed: it asks for all of them anew.
    """
    decision = Decision(state, given)
    if state.open.get(started.step) is not started:
        return decision
    problem = _problem(started, outcome)
    if problem is None:
        assert isinstance(outcome, GatewayAnswer), "silence is a problem"
        output = _output(started, outcome)
        memo = msgspec.Raw(b'{"data":' + bytes(output) + b"}")
        decision.end_step(_ended(started, memo, output), races=started.races)
    elif _is_asked_for_anew(state, started):
        decision.add(AttemptFailed(started.job.id, problem, started.step, started.title))
    elif not decision.retry(started.job, problem, step=started.step, title=started.title):
        decision.end_step(_ended(started, error_memo(problem), problem=problem), races=started.races)
    return decision


def _is_asked_for_anew(state: RunState, started: GatewayStarted) -> bool:
    """Whether another request of the same call has failed, and the call is to be made again for that."""
    job = started.job
    again = job.step, job.position, job.attempt + 1
    return any((other.step, other.position, other.attempt) == again for other in state.jobs.values())


class Gateway:
    """Makes the requests. Each counts as work on the clock until what follows from it is done.

    Args:
        rig: Where it runs.
        then: Is told how each request has ended.
    """

    def __init__(self, rig: Rig, then: Answered) -> None:
        self._rig = rig
        self._then = then
        self._session: aiohttp.ClientSession | None = None
        self._requests: dict[tuple[RunId, StepId], asyncio.Task[None]] = {}

    def start(self, run_id: RunId, started: GatewayStarted) -> None:
        """Make a request."""
        work = self._rig.clock.working(f"the request of {started.title!r} to {started.request.url}")
        task = self._rig.loop.create_task(self._make(run_id, started))
        self._requests[run_id, started.step] = task
        task.add_done_callback(lambda done: self._done(run_id, started.step, done, work))

    def drop(self, run_id: RunId, step: StepId) -> None:
        """Let go of a request, if it is still being made: nobody waits for its answer any more."""
        task = self._requests.get((run_id, step))
        if task is not None and task is not asyncio.current_task(self._rig.loop):
            task.cancel()

    async def stop(self) -> None:
        """Let go of all requests and connections."""
        requests = list(self._requests.values())
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _make(self, run_id: RunId, started: GatewayStarted) -> None:
        self._then(run_id, started, await self._outcome(started.request))

    def _done(self, run_id: RunId, step: StepId, task: asyncio.Task[None], work: Work) -> None:
        if self._requests.get((run_id, step)) is task:
            del self._requests[run_id, step]
        work.done()

    async def _outcome(self, request: GatewayRequest) -> Outcome:
        try:
            async with self._connections().request(
                request.method,
                URL(request.url),
                data=request.body if len(request.body) < _LARGE else BytesIO(request.body),
                headers=CIMultiDict(request.headers),
            ) as response:
                body = await _read(response)
                if body is None:
                    return GatewaySilence("step output size is greater than the limit")
                return GatewayAnswer(response.status, _joined(response.headers), body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return GatewaySilence(str(error) or type(error).__name__)

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT.total_seconds(), sock_connect=10),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Content-Type"),
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_STEP_BYTES:
            return None
    return bytes(body)


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for sent, value in headers.items():
        name = title(sent)
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _problem(started: GatewayStarted, outcome: Outcome) -> Problem | None:
    if isinstance(outcome, GatewaySilence):
        is_ai = started.is_ai
        return problems.inference_failed(outcome.reason, b"") if is_ai else problems.gateway_failed(outcome.reason)
    if started.is_ai and outcome.status > 299:
        return problems.inference_failed(f"unsuccessful status code: {outcome.status}", outcome.body)
    return None


def _output(started: GatewayStarted, answer: GatewayAnswer) -> msgspec.Raw:
    if started.is_ai:
        return problems.as_sent(answer.body) if answer.body.strip() else NULL
    shown = {
        "url": started.request.url,
        "headers": answer.headers,
        "body": answer.body.decode(errors="replace"),
        "status_code": answer.status,
    }
    return msgspec.Raw(msgspec.json.encode(shown))


def _ended(
    started: GatewayStarted,
    memo: msgspec.Raw,
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET,
    problem: Problem | None = None,
) -> StepEnded:
    op = started.op
    return StepEnded(step=started.step, title=started.title, op=op, memo=memo, output=output, problem=problem)
