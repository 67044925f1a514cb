"""The state of an orchestration: a fold over the records of its execution. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.records import (
    ActivityEnded,
    CallAnswered,
    ChildEnded,
    ContinuedAsNew,
    EntityId,
    EventReceived,
    ExecutionId,
    InstanceCreated,
    InstanceEnded,
    InstanceId,
    LocksGranted,
    Parent,
    RequestId,
    RewindRequested,
    Rewound,
    SectionId,
    TimerFired,
    TurnCommitted,
)
from steprig.kernel import Entry

K = TypeVar("K")
V = TypeVar("V")

_NOTHING: dict[object, object] = {}


def nothing() -> dict[K, V]:
    """A dict without anything in it, one for all: state is never changed in place."""
    return _NOTHING  # type: ignore[return-value]


class InstanceState(msgspec.Struct, frozen=True, gc=False):
    """All that counts for what happens next."""

    instance_id: InstanceId
    execution_id: ExecutionId
    name: str
    version: str | None
    started: bytes
    created_at: datetime
    updated_at: datetime
    tags: Mapping[str, str]
    parent: Parent | None
    start_at: datetime | None
    original: bytes
    """The first execution's `executionStarted`."""
    inbox: tuple[bytes, ...]
    """What the orchestration has not been told yet."""
    controls: tuple[int, ...]
    """The positions, counted from the execution's first event on, of those for a suspended orchestration, too."""
    told: int = 0
    """How many events the orchestration has been told: the position of the first in the inbox."""
    status: OrchestrationStatus = OrchestrationStatus.PENDING
    custom_status: str | None = None
    completed_at: datetime | None = None
    output: str | None = None
    failure: bytes | None = None
    trace: bytes | None = None
    history: tuple[bytes, ...] = ()
    """What has happened, in the pieces that turns have added, see `wire.PAST`."""
    events: int = 0
    """How many events are in the history."""
    occurrences: int = 0
    """How many activities the execution has scheduled; each is known by its number among them."""
    activities: Mapping[int, int] = msgspec.field(default_factory=nothing)
    """What runs: the task id of each. The SDK schedules a task id again when it retries."""
    timers: Mapping[int, datetime] = msgspec.field(default_factory=nothing)
    children: Mapping[int, InstanceId] = msgspec.field(default_factory=nothing)
    """The sub-orchestrations that it waits for, by task id."""
    calls: Mapping[RequestId, None] = msgspec.field(default_factory=nothing)
    """The calls of entities that it waits for."""
    sections: Mapping[SectionId, tuple[EntityId, ...]] = msgspec.field(default_factory=nothing)
    """The locks that it has, or has asked for."""
    ungranted: Mapping[SectionId, None] = msgspec.field(default_factory=nothing)
    """The critical sections that it waits for."""
    is_rewinding: bool = False
    """True until the worker has answered the first event of the inbox, which is `executionRewound`."""
    owes_turn: bool = False
    """True once it was rewound: it has to run again though it is told nothing."""

    @property
    def wants_turn(self) -> bool:
        """True when the orchestration has to be told something, once its time to start has come."""
        if self.status.is_terminal or not (self.inbox or self.owes_turn):
            return False
        return self.status is not OrchestrationStatus.SUSPENDED or bool(self.controls)

    @property
    def awaits_results(self) -> bool:
        """True when results still count: a failed orchestration may be rewound, and wants them then."""
        return not self.status.is_terminal or self.status is OrchestrationStatus.FAILED


def fold(state: InstanceState | None, entry: Entry, at: datetime) -> InstanceState | None:
    """The state after an entry of a time. Entries of another kind leave it as it is."""
    if isinstance(entry, InstanceCreated):
        return created(entry, at)
    return None if state is None else advance(state, entry, at)


def created(entry: InstanceCreated, at: datetime) -> InstanceState:
    """The state that an execution begins in."""
    return InstanceState(
        instance_id=entry.instance_id,
        execution_id=entry.execution_id,
        name=entry.name,
        version=entry.version,
        started=entry.started,
        created_at=entry.created_at,
        updated_at=at,
        tags=entry.tags,
        parent=entry.parent,
        start_at=entry.start_at,
        original=entry.original or entry.started,
        inbox=(entry.started, *entry.inbox),
        controls=entry.controls,
        custom_status=entry.custom_status,
        status=OrchestrationStatus.RUNNING if entry.continues else OrchestrationStatus.PENDING,
    )


def advance(state: InstanceState, entry: Entry, at: datetime) -> InstanceState:
    """The state of an execution that exists, after an entry."""
    match entry:
        case TurnCommitted():
            return _turned(state, entry, at)
        case ActivityEnded():
            activities = _without(state.activities, entry.occurrence)
            return _with(state, activities=activities, inbox=_told(state, entry.event), updated_at=at)
        case EventReceived():
            return _received(state, entry, at)
        case TimerFired():
            timers = _without(state.timers, entry.timer_id)
            return _with(state, timers=timers, inbox=_told(state, entry.event), updated_at=at)
        case ChildEnded():
            children = _without(state.children, entry.task_id)
            return _with(state, children=children, inbox=_told(state, entry.event), updated_at=at)
        case CallAnswered():
            calls = _without(state.calls, entry.request_id)
            return _with(state, calls=calls, inbox=_told(state, entry.event), updated_at=at)
        case LocksGranted():
            ungranted = _without(state.ungranted, entry.section)
            return _with(state, ungranted=ungranted, inbox=_told(state, entry.event), updated_at=at)
        case InstanceEnded():
            return _ended(state, entry, at)
        case ContinuedAsNew():
            return _with(state, history=(*state.history, entry.history), events=state.events + 1, updated_at=at)
        case RewindRequested():
            return _rewinding(state, entry, at)
        case Rewound():
            return _rewound(state, entry, at)
        case _:
            return state


def _told(state: InstanceState, event: bytes) -> tuple[bytes, ...]:
    """The inbox with one more event, if the state has any use for it."""
    return (*state.inbox, event) if event and state.awaits_results else state.inbox


def _received(state: InstanceState, entry: EventReceived, at: datetime) -> InstanceState:
    controls = state.controls
    if entry.is_control:
        controls = (*controls, state.told + len(state.inbox))
    return _with(state, inbox=(*state.inbox, entry.event), controls=controls, updated_at=at)


def _turned(state: InstanceState, entry: TurnCommitted, at: datetime) -> InstanceState:
    told = state.told + entry.taken
    changes: dict[str, object] = {
        "told": told,
        "inbox": state.inbox[entry.taken :],
        "history": (*state.history, entry.history),
        "events": state.events + entry.events,
        "status": entry.status,
        "custom_status": entry.custom_status,
        "trace": entry.trace,
        "updated_at": at,
    }
    if state.controls:
        changes["controls"] = tuple(position for position in state.controls if position >= told)
    if state.owes_turn:
        changes["owes_turn"] = False
    if entry.activities:
        scheduled = dict(enumerate(entry.activities, state.occurrences))
        changes["activities"] = {**state.activities, **scheduled}
        changes["occurrences"] = state.occurrences + len(scheduled)
    if entry.timers:
        changes["timers"] = {**state.timers, **{timer.timer_id: timer.fire_at for timer in entry.timers}}
    if entry.children:
        changes["children"] = {**state.children, **{child.task_id: child.instance_id for child in entry.children}}
    if entry.calls:
        changes["calls"] = {**state.calls, **dict.fromkeys(entry.calls)}
    if entry.sections or entry.unlocked:
        changes |= _locks(state, entry)
    return _with(state, **changes)


def _locks(state: InstanceState, entry: TurnCommitted) -> dict[str, object]:
    sections = {**state.sections, **{section.id: section.entities for section in entry.sections}}
    ungranted = {**state.ungranted, **dict.fromkeys(section.id for section in entry.sections)}
    for section, entity in entry.unlocked:
        left = tuple(held for held in sections.get(section, ()) if held != entity)
        if left:
            sections[section] = left
        else:
            sections.pop(section, None)
            ungranted.pop(section, None)
    return {"sections": sections, "ungranted": ungranted}


def _ended(state: InstanceState, entry: InstanceEnded, at: datetime) -> InstanceState:
    """What runs still counts: a result is recorded once, and a failed orchestration may be rewound."""
    return _with(
        state,
        status=entry.status,
        output=entry.output,
        failure=entry.failure,
        completed_at=at,
        updated_at=at,
        history=(*state.history, entry.history),
        events=state.events + entry.events,
        inbox=(),
        controls=(),
        is_rewinding=False,
    )


def _rewinding(state: InstanceState, entry: RewindRequested, at: datetime) -> InstanceState:
    return _with(
        state,
        status=OrchestrationStatus.RUNNING,
        output=None,
        failure=None,
        completed_at=None,
        updated_at=at,
        inbox=(entry.event, *state.inbox),
        is_rewinding=True,
    )


def _rewound(state: InstanceState, entry: Rewound, at: datetime) -> InstanceState:
    return _with(
        state,
        execution_id=entry.execution_id,
        told=state.told + 1,
        inbox=state.inbox[1:],
        history=(entry.history,),
        events=entry.events,
        activities=entry.activities,
        timers=entry.timers,
        children=entry.children,
        sections=nothing(),
        ungranted=nothing(),
        updated_at=at,
        occurrences=max((state.occurrences, *(occurrence + 1 for occurrence in entry.activities))),
        is_rewinding=False,
        owes_turn=True,
    )


_with = msgspec.structs.replace


def _without(mapping: Mapping[K, V], key: K) -> dict[K, V]:
    left = dict(mapping)
    left.pop(key, None)
    return left
