"""What the service and a function tell each other: operations, updates of them, errors.

Field names are the wire's in another spelling: msgspec writes `wait_seconds` as `WaitSeconds`.
"""

from datetime import datetime
from enum import StrEnum
from typing import NewType

import msgspec

Arn = NewType("Arn", str)
"""Of an execution."""
OperationId = NewType("OperationId", str)
InvocationId = NewType("InvocationId", str)


class OperationType(StrEnum):
    """What an operation is."""

    EXECUTION = "EXECUTION"
    CONTEXT = "CONTEXT"
    STEP = "STEP"
    WAIT = "WAIT"
    CALLBACK = "CALLBACK"
    CHAINED_INVOKE = "CHAINED_INVOKE"


class Action(StrEnum):
    """What an update does to its operation."""

    START = "START"
    SUCCEED = "SUCCEED"
    FAIL = "FAIL"
    RETRY = "RETRY"
    CANCEL = "CANCEL"


class OperationStatus(StrEnum):
    """How far an operation has come."""

    STARTED = "STARTED"
    PENDING = "PENDING"
    READY = "READY"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"


class ExecutionStatus(StrEnum):
    """How far an execution has come."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"
    DELETING = "DELETING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"


class Wire(msgspec.Struct, frozen=True, gc=False, rename="pascal", omit_defaults=True):
    """Base of what is told as JSON as it stands here."""


class ErrorObject(Wire, frozen=True):
    """Why something failed. Any part may be missing."""

    error_message: str | None = None
    error_type: str | None = None
    error_data: str | None = None
    stack_trace: tuple[str, ...] | None = None

    @property
    def payload_bytes(self) -> int:
        """About how much it takes to tell of it; characters count as bytes."""
        return sum(map(len, (self.error_message or "", self.error_data or "", *(self.stack_trace or ()))))


class ContextOptions(Wire, frozen=True):
    """Of a CONTEXT that ends."""

    replay_children: bool = False


class StepOptions(Wire, frozen=True):
    """Of a STEP that is to be tried again."""

    next_attempt_delay_seconds: int = 0


class WaitOptions(Wire, frozen=True):
    """Of a WAIT."""

    wait_seconds: int = 0


class CallbackOptions(Wire, frozen=True):
    """Of a CALLBACK. 0 seconds are no timeout."""

    timeout_seconds: int = 0
    heartbeat_timeout_seconds: int = 0


class ChainedInvokeOptions(Wire, frozen=True):
    """Of a CHAINED_INVOKE."""

    function_name: str
    tenant_id: str | None = None
    x_amzn_trace_id: str | None = None


class OperationUpdate(Wire, frozen=True):
    """One change that a function reports. Type and action are text here: they are yet to be checked."""

    id: OperationId
    type: str
    action: str
    parent_id: OperationId | None = None
    name: str | None = None
    sub_type: str | None = None
    payload: str | None = None
    error: ErrorObject | None = None
    context_options: ContextOptions | None = None
    step_options: StepOptions | None = None
    wait_options: WaitOptions | None = None
    callback_options: CallbackOptions | None = None
    chained_invoke_options: ChainedInvokeOptions | None = None


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One operation as it stands."""

    id: OperationId
    type: OperationType
    status: OperationStatus
    order: int
    """Its place among the operations of its execution, by creation."""
    started_at: datetime
    parent_id: OperationId | None = None
    name: str | None = None
    sub_type: str | None = None
    ended_at: datetime | None = None
    result: str | None = None
    error: ErrorObject | None = None
    input: str | None = None
    """Of the EXECUTION."""
    replay_children: bool = False
    """Of a CONTEXT: its result is a summary, and its body runs again for the whole of it."""
    attempt: int = 0
    """Of a STEP: how many attempts have ended."""
    attempted_at: datetime | None = None
    """Of a STEP: when the last attempt began."""
    next_attempt_at: datetime | None = None
    """Of a STEP that is PENDING."""
    scheduled_end_at: datetime | None = None
    """Of a WAIT."""
    callback_id: str | None = None
    timeout_at: datetime | None = None
    """Of a CALLBACK, and of a CHAINED_INVOKE of a function that is not durable."""
    heartbeat_seconds: int = 0
    """Of a CALLBACK: how long it may be silent."""
    heartbeat_at: datetime | None = None
    """Of a CALLBACK: when it has been silent for too long."""

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.ended_at is not None

    @property
    def due_at(self) -> datetime | None:
        """When the service will go on with it by itself: a wait's end, a step's next attempt."""
        if self.status is OperationStatus.PENDING:
            return self.next_attempt_at
        return self.scheduled_end_at if self.status is OperationStatus.STARTED else None

    @property
    def payload_bytes(self) -> int:
        """About how much it takes to tell of it; characters count as bytes."""
        size = 0 if self.result is None else len(self.result)
        if self.input is not None:
            size += len(self.input)
        return size if self.error is None else size + self.error.payload_bytes


def utf8_bytes(text: str) -> int:
    """The length of a text in bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
