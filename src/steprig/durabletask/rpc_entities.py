"""What clients do with entities."""

from steprig.durabletask import problems
from steprig.durabletask.engine import Engine
from steprig.durabletask.entity_batches import signal
from steprig.durabletask.entity_ids import folded_prefix, parse
from steprig.durabletask.entity_state import EntityState
from steprig.durabletask.pb import pb
from steprig.durabletask.records import EntityId
from steprig.durabletask.wire import moment, string, timestamp


class EntityRpcs:
    """The calls about entities."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def signal_entity(self, request: pb.SignalEntityRequest) -> pb.SignalEntityResponse:
        """Have an entity do something, now or later.

        Raises:
            RefusedError: The id is none of an entity, or the operation has no name.
        """
        entity_id = _valid(request.instanceId)
        if not request.name:
            raise problems.invalid("the name of the operation to signal is empty")
        operation = signal(
            entity_id,
            request.name,
            request.input.value if request.HasField("input") else None,
            request.requestId or self._engine.new_id(),
            request.parentTraceContext if request.HasField("parentTraceContext") else None,
        )
        due = moment(request.scheduledTime) if request.HasField("scheduledTime") else None
        self._engine.entities.send(entity_id, operation, due)
        return pb.SignalEntityResponse()

    def get_entity(self, request: pb.GetEntityRequest) -> pb.GetEntityResponse:
        """How an entity is."""
        entity = self._engine.entities.get(request.instanceId)
        if entity is None or not entity.state.has_begun:
            return pb.GetEntityResponse(exists=False)
        return pb.GetEntityResponse(exists=True, entity=_view(entity.state, state=request.includeState))

    def query_entities(self, request: pb.QueryEntitiesRequest) -> pb.QueryEntitiesResponse:
        """A page of the entities that a query is for, by their ids. Those without a state only if asked.

        Raises:
            RefusedError: The continuation token is none.
        """
        query = request.query
        after = query.continuationToken.value
        if after and parse(after) != after:
            raise problems.invalid(f"the continuation token {after!r} was not given by this backend")
        found = sorted(
            (one.state for one in self._engine.entities if one.state.id > after and _is_wanted(one.state, query)),
            key=lambda state: state.id,
        )
        size = query.pageSize.value if query.HasField("pageSize") and query.pageSize.value > 0 else len(found)
        token = found[size - 1].id if size < len(found) else None
        return pb.QueryEntitiesResponse(
            entities=[_view(state, state=query.includeState) for state in found[:size]], continuationToken=string(token)
        )

    def clean_entity_storage(self, request: pb.CleanEntityStorageRequest) -> pb.CleanEntityStorageResponse:
        """Unlock what orchestrations hold that are no more, and forget entities that hold nothing."""
        released = removed = 0
        for entity in list(self._engine.entities):
            lock, holder = entity.state.lock, entity.state.holder
            orphaned = lock is not None and (holder is None or not self._engine.wants_locks(holder, lock))
            if request.releaseOrphanedLocks and orphaned and lock is not None:
                self._engine.entities.unlock(entity.state.id, lock)
                released += 1
            if request.removeEmptyEntities and entity.state.is_empty and entity.batch is None:
                self._engine.entities.forget(entity, "cleaned")
                removed += 1
        return pb.CleanEntityStorageResponse(emptyEntitiesRemoved=removed, orphanedLocksReleased=released)


def _valid(entity_id: str) -> EntityId:
    parsed = parse(entity_id)
    if parsed is None:
        raise problems.invalid(f"'{entity_id}' is no id of an entity: expected '@name@key'")
    return parsed


def _is_wanted(state: EntityState, query: pb.EntityQuery) -> bool:
    if not state.has_begun or (state.state is None and not query.includeTransient):
        return False
    if not state.id.startswith(folded_prefix(query.instanceIdStartsWith.value)):
        return False
    if query.HasField("lastModifiedFrom") and state.modified_at < moment(query.lastModifiedFrom):
        return False
    return not query.HasField("lastModifiedTo") or state.modified_at < moment(query.lastModifiedTo)


def _view(entity: EntityState, *, state: bool) -> pb.EntityMetadata:
    return pb.EntityMetadata(
        instanceId=entity.id,
        lastModifiedTime=timestamp(entity.modified_at),
        backlogQueueSize=len(entity.inbox),
        lockedBy=string(entity.holder),
        serializedState=string(entity.state) if state else None,
    )
