"""The state of an entity: a fold over the records of its stream. Pure."""

from datetime import datetime

import msgspec

from steprig.durabletask.records import (
    BatchCommitted,
    Delayed,
    EntityCreated,
    EntityId,
    InstanceId,
    LockReleased,
    LockTaken,
    Operation,
    OperationDelayed,
    OperationQueued,
    SectionId,
)
from steprig.kernel import Entry


class EntityState(msgspec.Struct, frozen=True, gc=False):
    """All that counts for what happens next."""

    id: EntityId
    state: str | None
    inbox: tuple[Operation, ...]
    delayed: tuple[Delayed, ...]
    lock: SectionId | None
    """The critical section that has it."""
    holder: InstanceId | None
    """The orchestration whose section that is."""
    next_id: int
    modified_at: datetime
    has_begun: bool
    """False while all that it was sent is delayed: nobody sees it before."""

    @property
    def is_empty(self) -> bool:
        """True when nothing would be lost with it."""
        return self.state is None and not self.inbox and not self.delayed and self.lock is None


def fold(state: EntityState | None, entry: Entry, at: datetime) -> EntityState | None:
    """The state after an entry of a time. Entries of another kind leave it as it is."""
    if isinstance(entry, EntityCreated):
        return created(entry, at)
    return None if state is None else advance(state, entry, at)


def created(entry: EntityCreated, at: datetime) -> EntityState:
    """The state that a stream begins with."""
    return EntityState(
        entry.entity_id,
        entry.state,
        entry.inbox,
        entry.delayed,
        entry.lock,
        entry.holder,
        entry.next_id,
        entry.modified_at or at,
        entry.has_begun,
    )


def advance(state: EntityState, entry: Entry, at: datetime) -> EntityState:
    """The state of an entity that exists, after an entry."""
    match entry:
        case OperationQueued():
            return _with(
                state,
                inbox=(*state.inbox, entry.operation),
                delayed=tuple(one for one in state.delayed if one.operation.id != entry.operation.id),
                next_id=max(state.next_id, entry.operation.id + 1),
                modified_at=at,
                has_begun=True,
            )
        case OperationDelayed():
            next_id = max(state.next_id, entry.delayed.operation.id + 1)
            return _with(state, delayed=(*state.delayed, entry.delayed), next_id=next_id)
        case BatchCommitted():
            return _with(state, inbox=_without(state, entry.done), state=entry.state, modified_at=at)
        case LockTaken():
            inbox = _without(state, (entry.operation_id,))
            return _with(state, inbox=inbox, lock=entry.section, holder=entry.holder, modified_at=at)
        case LockReleased():
            return _released(state, entry.section, at)
        case _:
            return state


def batch(state: EntityState) -> tuple[Operation, ...]:
    """What may be done now, in order: while it is locked, calls of the orchestration that has it, and nothing else."""
    if state.lock is not None:
        return tuple(
            operation
            for operation in state.inbox
            if operation.section is None and operation.caller is not None and operation.caller == state.holder
        )
    for index, operation in enumerate(state.inbox):
        if operation.section is not None:
            return state.inbox[:index]
    return state.inbox


def lock_request(state: EntityState) -> Operation | None:
    """The request for locks whose turn it is."""
    if state.lock is None and state.inbox and state.inbox[0].section is not None:
        return state.inbox[0]
    return None


def _released(state: EntityState, section: SectionId, at: datetime) -> EntityState:
    inbox = tuple(
        operation for operation in state.inbox if operation.section is None or operation.section.id != section
    )
    if state.lock != section:
        return _with(state, inbox=inbox)
    return _with(state, inbox=inbox, lock=None, holder=None, modified_at=at)


def _without(state: EntityState, done: tuple[int, ...]) -> tuple[Operation, ...]:
    gone = frozenset(done)
    return tuple(operation for operation in state.inbox if operation.id not in gone)


_with = msgspec.structs.replace
