"""The entities: takes what is asked of them, records what is decided, and does what follows.

Everything here runs on the rig's loop, and nothing in it awaits.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from steprig.durabletask import history
from steprig.durabletask.creating import NewInstance
from steprig.durabletask.entity_batches import BatchItem, Entity, signal
from steprig.durabletask.entity_ids import parse
from steprig.durabletask.entity_state import EntityState, advance, batch, lock_request
from steprig.durabletask.entity_state import created as state_of
from steprig.durabletask.pb import pb
from steprig.durabletask.records import (
    ENTITY,
    BatchCommitted,
    Delayed,
    EntityCreated,
    EntityForgotten,
    EntityId,
    InstanceId,
    LockReleased,
    LockTaken,
    Operation,
    OperationDelayed,
    OperationQueued,
    SectionId,
)
from steprig.durabletask.wire import moment
from steprig.kernel import Entry, Stream, Timer, TimerKind

if TYPE_CHECKING:
    from steprig.durabletask.engine import Engine

_log = logging.getLogger(__name__)

MOST_RECORDS = 1000
"""How many records an entity's stream gets before it goes on in another: what was is not kept for ever."""

_NEXT_TRY = timedelta(seconds=1)
"""The shortest time until an entity that found itself early is told again."""


class Entities:
    """The entities, by their ids.

    Args:
        engine: Runs the orchestrations that call them.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._entities: dict[EntityId, Entity] = {}

    def __iter__(self) -> Iterator[Entity]:
        return iter(self._entities.values())

    def get(self, entity_id: str) -> Entity | None:
        """The entity with this id, its name in whatever case."""
        parsed = parse(entity_id)
        return None if parsed is None else self._entities.get(parsed)

    def add(self, entity: Entity) -> None:
        """An entity that was read from the journal."""
        self._entities[entity.state.id] = entity
        for delayed in entity.state.delayed:
            self._set_timer(entity, delayed)

    # --- What is asked of them ------------------------------------------------------------------------

    def send(self, entity_id: str, operation: Operation, due: datetime | None = None) -> None:
        """Give an entity something to do, not before a time. It exists from then on."""
        parsed = parse(entity_id)
        if parsed is None:
            self._refuse(entity_id, operation)
            return
        entity = self._entities.get(parsed) or self._create(parsed)
        operation = msgspec.structs.replace(operation, id=entity.state.next_id)
        if due is not None and due > self._engine.clock.now():
            delayed = Delayed(operation, due)
            self._record(entity, OperationDelayed(delayed))
            self._set_timer(entity, delayed)
        else:
            self._record(entity, OperationQueued(operation))
            self.consider(entity)

    def unlock(self, entity_id: str, section: SectionId) -> None:
        """A critical section has no use for an entity any more."""
        entity = self.get(entity_id)
        if entity is None:
            return
        waits = any(one.section is not None and one.section.id == section for one in entity.state.inbox)
        if waits or entity.state.lock == section:
            self._record(entity, LockReleased(section))
            self.consider(entity)

    def forget(self, entity: Entity, reason: Literal["purged", "cleaned"]) -> None:
        """Remove an entity."""
        self._record(entity, EntityForgotten(reason))
        self._leave(entity)
        del self._entities[entity.state.id]

    def reset(self) -> list[tuple[Stream, Entry]]:
        """Forget all of them. Returns what has to be recorded of that."""
        forgotten: list[tuple[Stream, Entry]] = []
        for entity in self._entities.values():
            forgotten.append((entity.stream, EntityForgotten("reset")))
            self._leave(entity)
        self._entities.clear()
        return forgotten

    def stop(self) -> None:
        """Drop every timer."""
        for entity in self._entities.values():
            for timer in entity.timers.values():
                timer.cancel()

    # --- What workers do ------------------------------------------------------------------------------

    def complete(self, result: pb.EntityBatchResult) -> None:
        """Take in the answer to operations. One that nobody waits for changes nothing."""
        dispatcher = self._engine.dispatcher
        item = dispatcher.find(result.completionToken)
        if not isinstance(item, BatchItem):
            return
        if not result.results and not result.HasField("failureDetails"):
            dispatcher.abandon(result.completionToken)  # nothing was done, so that all of it has to be done yet
            return
        dispatcher.settle(result.completionToken)
        self._take(item, result)

    def _take(self, item: BatchItem, result: pb.EntityBatchResult) -> None:
        entity, entity.batch = item.entity, None
        try:
            if not entity.is_gone:
                with self._engine.rig.journal.together():
                    self._commit(entity, item.operations, result)
        finally:
            item.finish()

    def _commit(self, entity: Entity, operations: Sequence[Operation], result: pb.EntityBatchResult) -> None:
        """The state first, then whom it is told, then what the operations ask for, in their order."""
        if result.HasField("failureDetails"):
            failure = pb.OperationResultFailure(failureDetails=result.failureDetails)
            results = [pb.OperationResult(failure=failure) for _ in operations]
            state, actions = entity.state.state, []
        else:
            results, actions = list(result.results), list(result.actions)
            state = result.entityState.value if result.HasField("entityState") else None
        done = list(zip(operations, results, strict=False))
        self._record(entity, BatchCommitted(tuple(operation.id for operation, _ in done), state))
        for operation, outcome in done:
            if operation.caller is not None:
                self._answer(operation.caller, operation.request_id, outcome)
        for action in actions:
            self._act(entity, action)
        self.consider(entity)
        self._renew(entity)

    def _answer(self, caller: InstanceId, request_id: str, outcome: pb.OperationResult) -> None:
        now = self._engine.clock.stamp()
        if outcome.HasField("failure"):
            event = history.call_failed(now, request_id, outcome.failure.failureDetails)
        else:
            output = outcome.success.result.value if outcome.success.HasField("result") else None
            event = history.call_completed(now, request_id, output)
        self._engine.answer_call(caller, request_id, event, now)

    def _act(self, entity: Entity, action: pb.OperationAction) -> None:
        if action.HasField("sendSignal"):
            self._signal(entity, action.sendSignal)
        elif action.HasField("startNewOrchestration"):
            self._start(action.startNewOrchestration)

    def _signal(self, sender: Entity, asked: pb.SendSignalAction) -> None:
        due = moment(asked.scheduledTime) if asked.HasField("scheduledTime") else None
        trace = asked.parentTraceContext if asked.HasField("parentTraceContext") else None
        data = asked.input.value if asked.HasField("input") else None
        operation = signal(EntityId(asked.instanceId), asked.name, data, self._engine.new_id(), trace)
        if due is not None and parse(asked.instanceId) == sender.state.id and self._is_early(due):
            self._try_later(sender, operation, due)
        else:
            self.send(asked.instanceId, operation, due)

    def _is_early(self, due: datetime) -> bool:
        """Whether an entity that goes by the machine's clock finds a time still to come that is past here."""
        return datetime.now(UTC) < due <= self._engine.clock.now()

    def _try_later(self, entity: Entity, operation: Operation, due: datetime) -> None:
        """Deliver at once, and it would be sent again at once, and so on: deliver once time has gone on.

        The distance doubles with every try, so that a long way by hand takes few of them.
        """
        operation = msgspec.structs.replace(operation, id=entity.state.next_id)
        now = self._engine.clock.now()
        delayed = Delayed(operation, now + max(now - due, _NEXT_TRY))
        self._record(entity, OperationDelayed(delayed))
        self._set_timer(entity, delayed, TimerKind.BACKGROUND)

    def _start(self, asked: pb.StartNewOrchestrationAction) -> None:
        instance_id = InstanceId(asked.instanceId or self._engine.new_id())
        existing = self._engine.instances.get(instance_id)
        if instance_id.startswith("@") or (existing is not None and not existing.state.status.is_terminal):
            return
        self._engine.create(
            NewInstance(
                instance_id=instance_id,
                name=asked.name,
                version=asked.version.value if asked.HasField("version") else None,
                input=asked.input.value if asked.HasField("input") else None,
                trace_context=asked.parentTraceContext if asked.HasField("parentTraceContext") else None,
                start_at=moment(asked.scheduledTime) if asked.HasField("scheduledTime") else None,
            )
        )

    def _give_up(self, item: BatchItem, reason: str) -> None:
        failure = history.failure("WorkItemTooLargeError", reason)
        self._take(item, pb.EntityBatchResult(failureDetails=failure))

    # --- Inside ---------------------------------------------------------------------------------------

    def consider(self, entity: Entity) -> None:
        """Lock the entity if that is what comes next, or queue what it has to do."""
        while (request := lock_request(entity.state)) is not None:
            if not self._take_lock(entity, request):
                self._record(entity, BatchCommitted((request.id,), entity.state.state))
        if entity.batch is None and not entity.is_gone and batch(entity.state):
            entity.batch = BatchItem(entity, self._give_up)
            self._engine.dispatcher.put(entity.batch)

    def _take_lock(self, entity: Entity, request: Operation) -> bool:
        """Give it to the section, and go on to the next that this wants. False when it wants none any more."""
        section, holder = request.section, request.caller
        if section is None or holder is None or not self._engine.wants_locks(holder, section.id):
            return False
        self._record(entity, LockTaken(request.id, section.id, holder))
        following = section.entities.index(entity.state.id) + 1
        if following < len(section.entities):
            self.send(section.entities[following], msgspec.structs.replace(request, id=0))
        else:
            self._engine.grant_locks(holder, section.id)
        return True

    def _refuse(self, entity_id: str, operation: Operation) -> None:
        if operation.caller is None or operation.section is not None:
            _log.warning("'%s' is no id of an entity: expected '@name@key'; what was sent to it is lost", entity_id)
            return
        now = self._engine.clock.stamp()
        failure = history.failure("InvalidEntityIdError", f"'{entity_id}' is no id of an entity: expected '@name@key'")
        event = history.call_failed(now, operation.request_id, failure)
        self._engine.answer_call(operation.caller, operation.request_id, event, now)

    def _create(self, entity_id: EntityId) -> Entity:
        return self._begin(EntityCreated(entity_id))

    def _begin(self, entry: EntityCreated) -> Entity:
        stream = self._engine.new_stream(ENTITY, entry.entity_id)
        now = self._engine.clock.stamp()
        self._engine.rig.journal.append(now, (stream, entry))
        entity = self._entities[entry.entity_id] = Entity(stream, state_of(entry, now))
        return entity

    def _renew(self, entity: Entity) -> None:
        """Go on in a new stream when the old one has become long."""
        if entity.records < MOST_RECORDS or entity.batch is not None:
            return
        self._record(entity, EntityForgotten("continued"))
        entry = _continued(entity.state)
        entity.stream = self._engine.new_stream(ENTITY, entry.entity_id)
        self._engine.rig.journal.append(self._engine.clock.stamp(), (entity.stream, entry))
        entity.records = 1

    def _record(self, entity: Entity, entry: Entry) -> None:
        now = self._engine.clock.stamp()
        self._engine.rig.journal.append(now, (entity.stream, entry))
        entity.state = advance(entity.state, entry, now)
        entity.records += 1

    def _set_timer(self, entity: Entity, delayed: Delayed, kind: TimerKind = TimerKind.AMBIGUOUS) -> None:
        def deliver() -> None:
            if entity.timers.pop(delayed.operation.id, None) is not None:
                self._record(entity, OperationQueued(delayed.operation))
                self.consider(entity)

        label = f"signal to {entity.state.id}"
        timer: Timer = self._engine.call_at(delayed.due, deliver, label, kind)
        entity.timers[delayed.operation.id] = timer

    def _leave(self, entity: Entity) -> None:
        entity.is_gone = True
        for timer in entity.timers.values():
            timer.cancel()
        entity.timers.clear()
        if entity.batch is not None:
            self._engine.dispatcher.drop(entity.batch)
            entity.batch = None


def _continued(state: EntityState) -> EntityCreated:
    return EntityCreated(
        entity_id=state.id,
        state=state.state,
        inbox=state.inbox,
        delayed=state.delayed,
        lock=state.lock,
        holder=state.holder,
        next_id=state.next_id,
        modified_at=state.modified_at,
        has_begun=state.has_begun,
    )
