"""A decision about an orchestration in the making: what to record, the state after it, and whom else to tell."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from steprig.durabletask.pb import pb
from steprig.durabletask.records import (
    Child,
    ContinuedAsNew,
    EntityId,
    InstanceCreated,
    InstanceId,
    Operation,
    SectionId,
)
from steprig.durabletask.state import InstanceState, advance
from steprig.kernel import Entry


class Given(NamedTuple):
    """What a decision may not find out by itself."""

    now: datetime
    new_id: Callable[[], str]
    """Draws an id that nothing has."""
    max_history_size: int


class ChildCreated(NamedTuple):
    """A sub-orchestration is to begin."""

    child: Child
    action: pb.CreateSubOrchestrationAction


class EventSent(NamedTuple):
    """Another orchestration is to be told an event, if it goes on."""

    instance_id: InstanceId
    event: bytes


class OperationSent(NamedTuple):
    """An entity is to do something, not before `due`; or to be locked."""

    entity_id: EntityId
    operation: Operation
    due: datetime | None


class Unlocked(NamedTuple):
    """An entity is free again."""

    entity_id: EntityId
    section: SectionId


class Terminated(NamedTuple):
    """Another orchestration is to be terminated."""

    instance_id: InstanceId
    output: str | None
    recurse: bool


Message = ChildCreated | EventSent | OperationSent | Unlocked | Terminated
"""What an orchestration sends to others, in the order in which it does."""


class Decision:
    """Entries, each folded into the state as it is added, so that later parts see what earlier ones did."""

    def __init__(self, state: InstanceState, given: Given) -> None:
        self.state = state
        self.given = given
        self.entries: list[Entry] = []
        self.messages: list[Message] = []
        self.next: InstanceCreated | None = None
        """The execution that continues this one."""

    def add(self, entry: Entry) -> None:
        """Record an entry."""
        self.entries.append(entry)
        self.state = advance(self.state, entry, self.given.now)

    def continue_as(self, created: InstanceCreated, last: bytes) -> None:
        """This execution has ended with an event in its history, and another goes on."""
        self.next = created
        self.add(ContinuedAsNew(created.execution_id, last))
