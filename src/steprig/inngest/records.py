"""What the journal of an Inngest dev server holds. State and timeline are folded from these.

What is optional and holds JSON is `UNSET` where it is missing: msgspec cannot tell a raw null from None.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Literal, NewType

import msgspec

from steprig import kernel
from steprig.inngest.events import Event, EventId
from steprig.inngest.flow.policy import CancelWhen
from steprig.inngest.flow.rate_limits import Mark
from steprig.inngest.flow.slots import Taken
from steprig.inngest.flow.throttles import Throttle
from steprig.inngest.functions import App, AppName, Slug
from steprig.inngest.opcodes import StepId
from steprig.kernel import Status

RunId = NewType("RunId", str)
JobId = NewType("JobId", str)

MetadataOp = Literal["merge", "set", "delete", "add"]
MetadataScope = Literal["run", "step"]
Values = dict[str, msgspec.Raw]

APP, EVENT, HOLD, RUN = "inngest.app", "inngest.event", "inngest.hold", "inngest.run"
"""The kinds of stream."""


class Problem(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt, a step or a run failed."""

    name: str
    message: str
    stack: str | None = None
    json: msgspec.Raw = msgspec.Raw(b"null")
    """The error as the SDK sent it, or as the server words it where the SDK sent none."""
    text: str = ""
    """The `error` key of internal events: `invalid status code: 500`."""


class Job(msgspec.Struct, frozen=True, gc=False):
    """One call of a function that has to be made, with what a retry of it keeps."""

    id: JobId
    step: StepId
    """The step to run, or `step` to see what comes next."""
    attempt: int
    """From 0."""
    max_attempts: int
    at: datetime | None = None
    """Not before this."""
    title: str = ""
    """The name of the targeted step."""
    position: int = 0
    """The length of the stack when it was queued."""


class RunControl(msgspec.Struct, frozen=True, gc=False):
    """What a run's flow control has come to when it was queued."""

    limits: tuple[Taken, ...] = ()
    """The concurrency limits that each of its calls falls under."""
    priority: int = 0
    """Seconds by which its calls count as queued earlier."""
    singleton: str | None = None
    """The key under which no other run of the function may go on."""
    batch_id: str | None = None
    """Set on the run of a batch."""
    start_timeout: timedelta | None = None
    finish_timeout: timedelta | None = None
    cancel_when: tuple[CancelWhen, ...] = ()
    throttle: Throttle | None = None
    """What its start falls under."""
    mark: Mark | None = None
    """How far a rate limit was used up by it."""


class Entry(kernel.Entry, frozen=True, tag="inngest.{}".format):
    """Base of all."""


class AppSynced(Entry, frozen=True):
    """An app was registered, or registered anew."""

    app: App


class AppRemoved(Entry, frozen=True):
    """An app and its functions are gone."""

    name: AppName


class EventReceived(Entry, frozen=True):
    """An event was accepted."""

    ends_stream: ClassVar[bool] = True

    event: Event


class EventHeld(Entry, frozen=True):
    """An event waits for a run to be started with it: for quiet, or for more events."""

    function: Slug
    why: Literal["debounce", "batch"]
    key: str
    event: Event
    due: datetime
    mark: Mark | None = None
    """How far a rate limit was used up by it."""


class HoldReleased(Entry, frozen=True):
    """What was held is handed to a run."""

    ends_stream: ClassVar[bool] = True


class RunQueued(Entry, frozen=True):
    """A run exists."""

    run_id: RunId
    function: Slug
    app: AppName
    events: tuple[Event, ...]
    max_attempts: int
    correlation_id: str | None = None
    """Names the step that invoked it, in another run."""
    control: RunControl = RunControl()
    original_run_id: RunId | None = None
    """Set on a repetition: the first run of those that it repeats."""
    step_inputs: dict[StepId, msgspec.Raw] = msgspec.field(default_factory=dict)
    """What steps are given instead of what the function gives them."""
    endpoint: int | None = None
    """Set on the run of an endpoint's request: the version that the SDK which has begun it reports with."""


class JobQueued(Entry, frozen=True):
    """A call has to be made."""

    job: Job


class CallStarted(Entry, frozen=True):
    """A call is being made."""

    job_id: JobId


class CallAnswered(Entry, frozen=True):
    """A call ended with opcodes, which follow."""

    job_id: JobId
    version: int
    ops: int
    group: tuple[StepId, ...] = ()
    """The steps that have to end, all of them, before the function is called for what comes next."""


class CallCheckpointed(Entry, frozen=True):
    """A call goes on, and has told of steps that have ended in it, which follow."""

    job_id: JobId


class AttemptFailed(Entry, frozen=True):
    """A call failed. The step that did, where one did, or the function as a whole."""

    job_id: JobId
    problem: Problem
    step: StepId | None = None
    title: str = ""
    retry: Job | None = None


class StepOpened(Entry, frozen=True, kw_only=True):
    """Base: a step was reported, and its outcome is to come."""

    step: StepId
    title: str
    races: bool = False
    """The function is called for what comes next as soon as this step has ended, whatever else is open."""


class StepPlanned(StepOpened, frozen=True, kw_only=True):
    """A step of a parallel group will be run by a call of its own."""


class SleepStarted(StepOpened, frozen=True, kw_only=True):
    """A run sleeps."""

    until: datetime


class WaitStarted(StepOpened, frozen=True, kw_only=True):
    """A run waits for an event."""

    event: str
    condition: str | None
    expires: datetime


class InvokeStarted(StepOpened, frozen=True, kw_only=True):
    """A run waits for another function."""

    function: str
    event: Event
    """The `inngest/function.invoked` that starts it."""
    expires: datetime


class GatewayRequest(msgspec.Struct, frozen=True):
    """A request that the server makes for a step."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class GatewayStarted(StepOpened, frozen=True, kw_only=True):
    """A run waits for the answer to a request that the server makes for it."""

    request: GatewayRequest
    job: Job
    """The call that has asked for it, which is made again when the request fails."""
    is_ai: bool

    @property
    def op(self) -> Literal["AI_GATEWAY", "GATEWAY"]:
        """What `StepEnded` calls it."""
        return "AI_GATEWAY" if self.is_ai else "GATEWAY"


class SignalWaitStarted(StepOpened, frozen=True, kw_only=True):
    """A run waits for a signal."""

    signal: str
    expires: datetime


class StepEnded(Entry, frozen=True, kw_only=True):
    """A step's outcome is known, whatever kind of step it is."""

    step: StepId
    title: str
    op: Literal["RUN", "SLEEP", "WAIT_FOR_EVENT", "INVOKE", "AI_GATEWAY", "GATEWAY", "WAIT_FOR_SIGNAL"]
    memo: msgspec.Raw
    """What later calls are given for it."""
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    problem: Problem | None = None
    timed_out: bool = False
    event_id: EventId | None = None
    """The event that a wait was for, or that told of an invoked function's end."""
    run_id: RunId | None = None
    """The run that an invoke has started."""


class DeferAdded(Entry, frozen=True, kw_only=True):
    """A function is to be started when the run has ended."""

    step: StepId
    title: str
    function: str
    input: msgspec.Raw
    """The data of the event that starts it."""
    refused: str = ""
    """Why it will not be started, where it will not."""


class DeferAborted(Entry, frozen=True):
    """A function is not to be started after all."""

    step: StepId


class MetadataSet(Entry, frozen=True, kw_only=True):
    """A run or a step was annotated, maybe after the run's end."""

    step: StepId | None = None
    """None for the run as a whole."""
    attempt: int | None = None
    """The attempt of the step, None for the last."""
    scope: MetadataScope
    kind: str
    op: MetadataOp
    values: Values

    @property
    def size(self) -> int:
        """What it counts for, in bytes."""
        return sum(len(key.encode()) + len(value) for key, value in self.values.items())


class RunEnded(Entry, frozen=True):
    """A run is over."""

    ends_stream: ClassVar[bool] = True

    status: Status
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The function's result, or the error as readers are shown it."""
    problem: Problem | None = None
