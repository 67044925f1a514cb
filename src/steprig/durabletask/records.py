"""What the journal of a backend holds. State and timeline are folded from these.

History events and failures are kept as the protocol's own bytes: nothing that a worker has sent is lost, and
nothing has to be built anew for the next turn.
"""

from datetime import datetime
from typing import ClassVar, Literal, NewType

import msgspec

from steprig import kernel
from steprig.durabletask.model import OrchestrationStatus

InstanceId = NewType("InstanceId", str)
ExecutionId = NewType("ExecutionId", str)
EntityId = NewType("EntityId", str)
RequestId = NewType("RequestId", str)
SectionId = NewType("SectionId", str)
"""Names a critical section: the time from an orchestration's request for locks to its release of them."""

ORCHESTRATION, ENTITY = "durabletask.orchestration", "durabletask.entity"
"""The kinds of stream. An orchestration has one for each of its executions, an entity one for each of its lives."""


class Entry(kernel.Entry, frozen=True, tag="durabletask.{}".format):
    """Base of all."""


# --- Orchestrations -----------------------------------------------------------------------------------


class Parent(msgspec.Struct, frozen=True, gc=False):
    """The orchestration that waits for this one."""

    instance_id: InstanceId
    execution_id: ExecutionId
    task_id: int
    name: str
    version: str | None = None


class InstanceCreated(Entry, frozen=True):
    """An execution of an orchestration exists."""

    instance_id: InstanceId
    execution_id: ExecutionId
    name: str
    started: bytes
    """The event `executionStarted`, with the input."""
    created_at: datetime
    """When the first of the executions that continue one another was created."""
    version: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    parent: Parent | None = None
    start_at: datetime | None = None
    inbox: tuple[bytes, ...] = ()
    """What it is told after `executionStarted`: what the execution that it continues has not seen."""
    controls: tuple[int, ...] = ()
    """The positions in the inbox, `executionStarted` included, of what concerns a suspended orchestration, too."""
    custom_status: str | None = None
    continues: bool = False
    """True when another execution ended as this one began."""
    original: bytes | None = None
    """The `executionStarted` of the first execution, where this one continues it."""


class EventReceived(Entry, frozen=True):
    """The inbox got an event from outside."""

    event: bytes
    is_control: bool = False
    """Suspend or resume: to be told to a suspended orchestration, too."""


class ActivityEnded(Entry, frozen=True):
    """An activity's result is there."""

    occurrence: int
    event: bytes
    """Empty where nobody has any use for it."""


class TimerFired(Entry, frozen=True):
    """A timer's time has come."""

    timer_id: int
    event: bytes


class ChildEnded(Entry, frozen=True):
    """A sub-orchestration has ended, or could not be created."""

    task_id: int
    event: bytes
    """Empty where nobody has any use for it."""


class CallAnswered(Entry, frozen=True):
    """An entity has done what it was called for."""

    request_id: RequestId
    event: bytes


class LocksGranted(Entry, frozen=True):
    """All entities of a critical section are locked."""

    section: SectionId
    event: bytes


class TimerSet(msgspec.Struct, frozen=True, gc=False):
    """A timer that an orchestration has created."""

    timer_id: int
    fire_at: datetime


class Child(msgspec.Struct, frozen=True, gc=False):
    """A sub-orchestration that an orchestration waits for."""

    task_id: int
    instance_id: InstanceId


class Section(msgspec.Struct, frozen=True, gc=False):
    """Locks that an orchestration has asked for."""

    id: SectionId
    entities: tuple[EntityId, ...]


class TurnCommitted(Entry, frozen=True):
    """A worker has run the orchestration with what was in its inbox."""

    taken: int
    """How many events of the inbox it has seen."""
    history: bytes
    """What is added to the history, see `wire.PAST`."""
    events: int
    """How many that are."""
    status: OrchestrationStatus
    custom_status: str | None = None
    trace: bytes | None = None
    """What the worker wants to be told of its span in the next turn."""
    activities: tuple[int, ...] = ()
    """The task ids of the activities to run, in the order of their `taskScheduled`."""
    timers: tuple[TimerSet, ...] = ()
    children: tuple[Child, ...] = ()
    calls: tuple[RequestId, ...] = ()
    sections: tuple[Section, ...] = ()
    unlocked: tuple[tuple[SectionId, EntityId], ...] = ()


class InstanceEnded(Entry, frozen=True):
    """The orchestration is over."""

    status: OrchestrationStatus
    history: bytes
    events: int
    output: str | None = None
    failure: bytes | None = None


class ContinuedAsNew(Entry, frozen=True):
    """This execution is over, and another goes on with a new input."""

    ends_stream: ClassVar[bool] = True

    next_execution: ExecutionId
    history: bytes
    """The last event of this one."""


class RewindRequested(Entry, frozen=True):
    """A failed orchestration is to go back to where it failed."""

    event: bytes


class Rewound(Entry, frozen=True):
    """The worker has told what is left of the history, and the orchestration goes on from there."""

    execution_id: ExecutionId
    history: bytes
    events: int
    activities: dict[int, int]
    """The activities that it still waits for: occurrence and task id."""
    timers: dict[int, datetime]
    children: dict[int, InstanceId]


class InstanceForgotten(Entry, frozen=True):
    """The orchestration is gone, as if it had never been."""

    ends_stream: ClassVar[bool] = True

    reason: Literal["purged", "replaced", "restarted", "reset"]


# --- Entities -----------------------------------------------------------------------------------------


class Operation(msgspec.Struct, frozen=True, gc=False):
    """Something in an entity's inbox."""

    id: int
    """In its entity."""
    event: bytes
    """The event by which a worker is told of it."""
    request_id: str = ""
    caller: InstanceId | None = None
    """The orchestration that waits for the result of a call, or for a lock. None for a signal."""
    trace: bytes | None = None
    section: Section | None = None
    """Set on a request for locks, which no worker sees."""


class Delayed(msgspec.Struct, frozen=True, gc=False):
    """An operation that is not due yet."""

    operation: Operation
    due: datetime


class EntityCreated(Entry, frozen=True):
    """An entity exists; or goes on in a new stream, with what it had."""

    entity_id: EntityId
    state: str | None = None
    inbox: tuple[Operation, ...] = ()
    delayed: tuple[Delayed, ...] = ()
    lock: SectionId | None = None
    holder: InstanceId | None = None
    next_id: int = 1
    modified_at: datetime | None = None
    has_begun: bool = False


class OperationQueued(Entry, frozen=True):
    """The inbox got something."""

    operation: Operation
    """One that was delayed keeps its id."""


class OperationDelayed(Entry, frozen=True):
    """An operation is to come later."""

    delayed: Delayed


class BatchCommitted(Entry, frozen=True):
    """A worker has run operations."""

    done: tuple[int, ...]
    """Their ids."""
    state: str | None


class LockTaken(Entry, frozen=True):
    """A critical section has this entity, by the request in its inbox."""

    operation_id: int
    section: SectionId
    holder: InstanceId


class LockReleased(Entry, frozen=True):
    """A critical section does not have this entity any more, nor wait for it."""

    section: SectionId


class EntityForgotten(Entry, frozen=True):
    """The entity is gone, or goes on in another stream."""

    ends_stream: ClassVar[bool] = True

    reason: Literal["purged", "cleaned", "reset", "continued"]
