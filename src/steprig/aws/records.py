"""What the journal holds of an execution. State and history are read from these alone.

An entry that is named as one of the service's event types is that event: the history of an execution is its stream,
without the entries that the service tells nobody of.
"""

from datetime import datetime
from typing import ClassVar, NamedTuple

import msgspec

from steprig import kernel
from steprig.aws.model import Arn, ErrorObject, InvocationId, OperationId

EXECUTION = "aws.execution"
"""The kind of stream."""


class Entry(kernel.Entry, frozen=True, kw_only=True, tag="aws.{}".format):
    """Base of all."""


class Parent(NamedTuple):
    """The chained invoke that has started an execution."""

    arn: Arn
    operation: OperationId


# --- The execution ----------------------------------------------------------------------------------


class ExecutionStarted(Entry, frozen=True, kw_only=True):
    """An execution exists."""

    arn: Arn
    id: str
    """Of its EXECUTION operation."""
    name: str
    function: str
    """The function's name, as it is registered."""
    version: str
    region: str
    account: str
    input: str | None
    timeout: int
    """Seconds that it may take."""
    timeout_by_clock: bool = True
    """False when it is no part of what is modelled: real seconds count alone, and only while somebody waits."""
    retention_days: int = 1
    tenant_id: str | None = None
    trace_id: str | None = None
    parent: Parent | None = None


class ExecutionEnd(Entry, frozen=True, kw_only=True):
    """Base: an execution is over."""

    ends_stream: ClassVar[bool] = True


class ExecutionSucceeded(ExecutionEnd, frozen=True, kw_only=True):
    """It has returned."""

    result: str | None


class ExecutionFailed(ExecutionEnd, frozen=True, kw_only=True):
    """It has raised, or its invocations failed too often."""

    error: ErrorObject | None


class ExecutionTimedOut(ExecutionEnd, frozen=True, kw_only=True):
    """It took too long."""

    error: ErrorObject | None


class ExecutionStopped(ExecutionEnd, frozen=True, kw_only=True):
    """Somebody stopped it."""

    error: ErrorObject | None


class ExecutionPaused(Entry, frozen=True, kw_only=True):
    """It is not to be invoked any more until it is resumed."""

    timeout_paused: bool
    """Whether the time that it is paused counts towards its timeout."""
    reason: str | None = None


class ExecutionResumed(Entry, frozen=True, kw_only=True):
    """It may be invoked again."""

    reason: str | None = None


class ExecutionDeleted(Entry, frozen=True, kw_only=True):
    """An execution that has ended is to be shown no more. No event."""

    ends_stream: ClassVar[bool] = True


# --- Invocations and checkpoints --------------------------------------------------------------------


class InvocationStarted(Entry, frozen=True, kw_only=True):
    """The function is being called. No event."""

    id: InvocationId


class InvocationCompleted(Entry, frozen=True, kw_only=True):
    """The function has returned, or the call of it has failed."""

    id: InvocationId
    started_at: datetime
    error: ErrorObject | None = None
    failures: int = 0
    """How many invocations in a row have failed."""
    idle: int = 0
    """How many in a row said that they wait, and for nothing."""
    again: bool = False
    """Whether another has to follow, whatever happens meanwhile."""
    not_before: datetime | None = None
    """When that may begin."""


class CheckpointTaken(Entry, frozen=True, kw_only=True):
    """The updates before this, which may be none, came in a checkpoint, and this answers it. No event."""

    token: str
    """The one that it came with."""
    client_token: str | None = None
    revoked: bool = False
    """No token was given back: the invocation has to end."""


class ExecutionClosing(Entry, frozen=True, kw_only=True):
    """A checkpoint told how the execution ends, which it does with its invocation. No event."""

    end: ExecutionSucceeded | ExecutionFailed


# --- Operations -------------------------------------------------------------------------------------


class OperationEntry(Entry, frozen=True, kw_only=True):
    """Base: something happened to an operation. Each tells whose, as a function may begin with any of them."""

    id: OperationId
    parent_id: OperationId | None = None
    name: str | None = None
    sub_type: str | None = None


class ContextStarted(OperationEntry, frozen=True, kw_only=True):
    """A context was opened."""


class ContextSucceeded(OperationEntry, frozen=True, kw_only=True):
    """It has a result."""

    result: str | None
    replay_children: bool = False


class ContextFailed(OperationEntry, frozen=True, kw_only=True):
    """It has failed."""

    error: ErrorObject | None


class StepStarted(OperationEntry, frozen=True, kw_only=True):
    """An attempt has begun."""


class Retry(msgspec.Struct, frozen=True, gc=False):
    """That there will be another attempt."""

    delay: int
    at: datetime


class StepSucceeded(OperationEntry, frozen=True, kw_only=True):
    """An attempt has ended well: the step, or with `retry` a poll whose condition does not hold yet."""

    result: str | None
    attempt: int
    """Which, from 1."""
    retry: Retry | None = None


class StepFailed(OperationEntry, frozen=True, kw_only=True):
    """An attempt has failed, and the step unless there is a `retry`."""

    error: ErrorObject | None
    attempt: int
    retry: Retry | None = None


class StepReady(OperationEntry, frozen=True, kw_only=True):
    """The time of the next attempt has come. No event."""


class WaitStarted(OperationEntry, frozen=True, kw_only=True):
    """A wait has begun."""

    seconds: int
    until: datetime


class WaitSucceeded(OperationEntry, frozen=True, kw_only=True):
    """Its time has come."""

    seconds: int


class WaitCancelled(OperationEntry, frozen=True, kw_only=True):
    """The function does not wait any more."""

    error: ErrorObject | None = None


class CallbackStarted(OperationEntry, frozen=True, kw_only=True):
    """A callback can be answered."""

    callback_id: str
    timeout: int = 0
    heartbeat_timeout: int = 0


class CallbackSucceeded(OperationEntry, frozen=True, kw_only=True):
    """It was answered."""

    result: str | None


class CallbackFailed(OperationEntry, frozen=True, kw_only=True):
    """It was answered with an error."""

    error: ErrorObject | None


class CallbackTimedOut(OperationEntry, frozen=True, kw_only=True):
    """Nobody answered in time, or gave a sign of life."""

    error: ErrorObject | None


class CallbackHeartbeat(OperationEntry, frozen=True, kw_only=True):
    """A sign of life. No event."""


class ChainedInvokeStarted(OperationEntry, frozen=True, kw_only=True):
    """Another function is to run."""

    function_name: str
    """As the caller has it."""
    target: str | None = None
    """The name under which it is registered; None when there is none."""
    durable: bool = False
    timeout: int = 0
    """Seconds that it may take: the execution of a durable function, or the one call of another."""
    timeout_by_clock: bool = True
    """See `ExecutionStarted`."""
    retention_days: int = 1
    child_id: str = ""
    """The id of that execution, or of the one call of another function."""
    child_arn: Arn | None = None
    tenant_id: str | None = None
    trace_id: str | None = None
    input: str | None = None
    executed_version: str | None = None


class ChainedInvokeSucceeded(OperationEntry, frozen=True, kw_only=True):
    """It has returned."""

    result: str | None


class ChainedInvokeFailed(OperationEntry, frozen=True, kw_only=True):
    """It has failed, or does not exist."""

    error: ErrorObject | None


class ChainedInvokeTimedOut(OperationEntry, frozen=True, kw_only=True):
    """It took too long."""

    error: ErrorObject | None


class ChainedInvokeStopped(OperationEntry, frozen=True, kw_only=True):
    """Somebody stopped it."""

    error: ErrorObject | None


ChainedInvokeEnd = ChainedInvokeSucceeded | ChainedInvokeFailed | ChainedInvokeTimedOut | ChainedInvokeStopped
