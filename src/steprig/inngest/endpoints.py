"""Runs that an SDK begins by itself, inside of a request to an endpoint (`POST /v1/checkpoint`).

The SDK goes on by itself, too, and reports each step. Only when it meets something that takes time, such as a sleep
or an attempt after a failure, does it leave the run to the server, which makes the request again to go on.
"""

import msgspec

from steprig.inngest import decide
from steprig.inngest.call_request import CallRequest
from steprig.inngest.checkpoints import KEPT, keep
from steprig.inngest.decision import Decision, Given
from steprig.inngest.endpoint_answers import content_of
from steprig.inngest.events import Event, EventId
from steprig.inngest.functions import App, AppName, Function, Retries, Runtime, Slug, StepConfig
from steprig.inngest.limits import DEFAULT_RETRIES, MAX_RETRIES
from steprig.inngest.opcodes import DISCOVERY, Op
from steprig.inngest.records import CallCheckpointed, CallStarted, Job, JobId, RunId, RunQueued
from steprig.inngest.replies import Reply
from steprig.inngest.state import RunState, fold
from steprig.inngest.steps import FunctionExists
from steprig.inngest.wire import checked

BY_SDK = JobId("endpoint")
"""Stands for the call that the SDK has begun by itself. Nobody has queued it."""

_COMPLETE = frozenset({"RunComplete", "SyncRunComplete"})


class HttpRequest(msgspec.Struct, frozen=True):
    """The request, as the data of its event has it."""

    domain: str
    """With its scheme: `https://example.com`."""
    path: str
    method: str
    content_type: str = ""
    query_params: str = ""
    body: str = ""
    fn: str = ""
    """The function's id, where the endpoint's author gave it one."""

    @property
    def url(self) -> str:
        """Where it went."""
        return f"{self.domain}{self.path}" + (f"?{self.query_params}" if self.query_params else "")

    @property
    def function(self) -> Slug:
        """The function that the endpoint is."""
        return Slug(self.fn or f"{self.method} {self.path}")


class SentEvent(msgspec.Struct, frozen=True):
    """The event that stands for the request."""

    name: str
    data: msgspec.Raw


class NewRun(msgspec.Struct, frozen=True):
    """What an SDK says of a run that it has begun."""

    run_id: RunId
    event: SentEvent
    steps: list[Op] = []
    request_version: int = 2
    retries: int = DEFAULT_RETRIES

    @property
    def request(self) -> HttpRequest:
        """The request that it belongs to."""
        return _REQUEST.decode(self.event.data)


class Report(msgspec.Struct, frozen=True):
    """What an SDK says of a run that goes on."""

    steps: list[Op] = []


def decode_new_run(body: bytes) -> NewRun:
    """The body of `POST /v1/checkpoint`.

    Raises:
        steprig.inngest.wire.UNREADABLE: It is something else.
    """
    new = _NEW_RUN.decode(checked(body))
    _REQUEST.decode(new.event.data)
    return new


def decode_report(body: bytes) -> Report:
    """The body of `POST /v1/checkpoint/<run>/steps`.

    Raises:
        steprig.inngest.wire.UNREADABLE: It is something else.
    """
    return _REPORT.decode(checked(body))


def app_with(known: App | None, new: NewRun) -> App:
    """The app that an endpoint belongs to, which is its domain, with the function that it is."""
    request = new.request
    runtime = Runtime(type="http", url=f"{request.domain}{request.path}")
    step = StepConfig(id="step", name="step", runtime=runtime, retries=Retries(attempts=new.retries))
    function = Function(id=request.function, name=request.function, steps={"step": step})
    app = known or App(name=AppName(request.domain), url=request.domain, functions=(), method="API")
    if function in app.functions:
        return app
    others = [other for other in app.functions if other.id != function.id]
    return msgspec.structs.replace(app, functions=(*others, function))


def event_of(new: NewRun, given: Given) -> Event:
    """The event that stands for the request."""
    internal_id = EventId(given.new_id())
    ts = int(given.now.timestamp() * 1000)
    return Event(internal_id=internal_id, name=new.event.name, data=new.event.data, id=internal_id, ts=ts)


def begin(new: NewRun, event: Event, given: Given, function_exists: FunctionExists) -> Decision:
    """The run exists, and the SDK is at it."""
    request = new.request
    queued = RunQueued(
        run_id=new.run_id,
        function=request.function,
        app=AppName(request.domain),
        events=(event,),
        max_attempts=max(0, min(new.retries, MAX_RETRIES)) + 1,
        endpoint=new.request_version,
    )
    state = fold(None, queued)
    assert state is not None, "RunQueued makes a state"
    decision = Decision(state, given)
    decision.entries.append(queued)
    decision.add(CallStarted(BY_SDK))
    _take(decision, new.steps, function_exists)
    return decision


def report(state: RunState, steps: list[Op], given: Given, function_exists: FunctionExists) -> Decision:
    """The SDK has got on with the run, or leaves it to the server."""
    decision = Decision(state, given)
    _take(decision, steps, function_exists)
    return decision


def endpoint_request(state: RunState, job: Job, request_id: str) -> tuple[str, CallRequest]:
    """The request that goes on with a run: the one that has begun it, with marks that tell the SDK of the run."""
    request = _REQUEST.decode(state.events[0].data)
    headers = {
        "Content-Type": request.content_type,
        "User-Agent": "Inngest",
        "X-Run-Id": state.id,
        "X-Request-Id": request_id,
        "X-Inngest-Req-Version": str(state.version),
        "X-Inngest-Signature": "",  # SDKs tell these requests from others by it, signed or not
        "X-Inngest-Force-Step-Plan": "true" if state.one_step_a_call else "false",
    }
    if not request.content_type:
        del headers["Content-Type"]
    if job.step != DISCOVERY:
        headers["X-Inngest-Step-Id"] = job.step
    return request.url, CallRequest(request.body.encode(), headers, request.method)


def _take(decision: Decision, steps: list[Op], function_exists: FunctionExists) -> None:
    if all(op.op in KEPT | _COMPLETE for op in steps):
        decision.add(CallCheckpointed(BY_SDK))
        keep(decision, steps)
        for op in steps:
            if op.op in _COMPLETE and not decision.ended:
                decision.complete(content_of(op.data))
        return
    job = Job(id=BY_SDK, step=DISCOVERY, attempt=0, max_attempts=decision.state.max_attempts)
    decide.take(decision, job, steps, Reply(206, b"", version=decision.state.version), function_exists)


_REQUEST = msgspec.json.Decoder(HttpRequest)
_NEW_RUN = msgspec.json.Decoder(NewRun)
_REPORT = msgspec.json.Decoder(Report)
