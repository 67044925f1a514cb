"""What clients ask about many orchestrations at once, and about histories."""

import time
from collections.abc import Collection, Iterator

from steprig.durabletask import problems
from steprig.durabletask.earlier import earlier_execution
from steprig.durabletask.engine import Engine
from steprig.durabletask.instance_view import view
from steprig.durabletask.instances import Instance
from steprig.durabletask.paging import Key, page
from steprig.durabletask.pb import BoolValue, Timestamp, pb
from steprig.durabletask.state import InstanceState
from steprig.durabletask.wire import events_in, moment, string

_CHUNK = 512 * 1024
"""Bytes of history that go into one message: well below what a channel takes by default."""

_USUAL_PAGE = 100


class ListingRpcs:
    """The calls about many orchestrations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def query_instances(self, request: pb.QueryInstancesRequest) -> pb.QueryInstancesResponse:
        """A page of the orchestrations that a query is for, by their creation.

        Raises:
            RefusedError: The continuation token is none.
        """
        query = request.query
        wanted = _Wanted(query.createdTimeFrom, query.createdTimeTo, query.runtimeStatus)
        prefix = query.instanceIdPrefix.value
        found = (one.state for one in self._engine.instances if one.state.instance_id.startswith(prefix))
        rows, token = page(
            (state for state in found if wanted.includes(state)),
            lambda state: Key(state.created_at, state.instance_id),
            query.continuationToken.value,
            query.maxInstanceCount,
        )
        states = [view(state, payloads=query.fetchInputsAndOutputs) for state in rows]
        return pb.QueryInstancesResponse(orchestrationState=states, continuationToken=string(token))

    def list_instance_ids(self, request: pb.ListInstanceIdsRequest) -> pb.ListInstanceIdsResponse:
        """A page of the ids of those that are over, by their end.

        Raises:
            RefusedError: The key of the last instance is none.
        """
        since = moment(request.completedTimeFrom) if request.HasField("completedTimeFrom") else None
        until = moment(request.completedTimeTo) if request.HasField("completedTimeTo") else None
        keys = [
            Key(ended, one.state.instance_id)
            for one in self._engine.instances
            if (ended := one.state.completed_at) is not None
            and (not request.runtimeStatus or int(one.state.status) in request.runtimeStatus)
            and (since is None or since <= ended)
            and (until is None or ended < until)
        ]
        rows, token = page(keys, lambda key: key, request.lastInstanceKey.value, request.pageSize or _USUAL_PAGE)
        return pb.ListInstanceIdsResponse(instanceIds=[key.ident for key in rows], lastInstanceKey=string(token))

    def purge_instances(self, request: pb.PurgeInstancesRequest) -> pb.PurgeInstancesResponse:
        """Forget orchestrations that are over, or an entity that is idle.

        Raises:
            RefusedError: The request names none.
        """
        kind = request.WhichOneof("request")
        if kind is None:
            raise problems.invalid("the request to purge names no instance id, no batch of them and no filter")
        if kind == "purgeInstanceFilter":
            return self._purge_by_filter(request.purgeInstanceFilter, recursive=request.recursive)
        ids = [request.instanceId] if kind == "instanceId" else request.instanceBatch.instanceIds
        number = sum(self._purge(instance_id, recursive=request.recursive) for instance_id in ids)
        return pb.PurgeInstancesResponse(deletedInstanceCount=number, isComplete=BoolValue(value=True))

    def _purge_by_filter(self, asked: pb.PurgeInstanceFilter, *, recursive: bool) -> pb.PurgeInstancesResponse:
        wanted = _Wanted(asked.createdTimeFrom, asked.createdTimeTo, asked.runtimeStatus)
        seconds = asked.timeout.ToTimedelta().total_seconds() if asked.HasField("timeout") else None
        end = None if not seconds else time.monotonic() + seconds
        number, is_complete = 0, True
        for state in [one.state for one in self._engine.instances]:
            if end is not None and time.monotonic() >= end:
                is_complete = False
                break
            if wanted.includes(state):
                number += self._purge(state.instance_id, recursive=recursive)
        return pb.PurgeInstancesResponse(deletedInstanceCount=number, isComplete=BoolValue(value=is_complete))

    def _purge(self, instance_id: str, *, recursive: bool) -> int:
        if instance_id.startswith("@"):
            return self._purge_entity(instance_id)
        instance = self._engine.instances.get(instance_id)
        if instance is None or not instance.state.status.is_terminal:
            return 0
        family = list(self._engine.instances.with_descendants(instance)) if recursive else [instance]
        ended = [one for one in family if one.state.status.is_terminal]
        with self._engine.rig.journal.together():
            for one in ended:
                self._engine.forget(one, "purged")
        return len(ended)

    def _purge_entity(self, entity_id: str) -> int:
        entity = self._engine.entities.get(entity_id)
        if entity is None or entity.state.lock is not None or entity.state.inbox:
            return 0
        self._engine.entities.forget(entity, "purged")
        return 1

    def stream_instance_history(self, request: pb.StreamInstanceHistoryRequest) -> Iterator[bytes]:
        """The history of an orchestration, as it is at this moment, in encoded chunks.

        Raises:
            RefusedError: There is no such orchestration, or it had no such execution.
        """
        instance = self._engine.instances.get(request.instanceId)
        if instance is None:
            raise problems.unknown_instance(request.instanceId)
        return _chunks(self._execution(instance, request.executionId.value))

    def _execution(self, instance: Instance, execution_id: str) -> InstanceState:
        if execution_id in ("", instance.state.execution_id):
            return instance.state
        earlier = earlier_execution(self._engine.rig.journal, instance.state.instance_id, execution_id)
        if earlier is None:
            raise problems.unknown_execution(instance.state.instance_id, execution_id)
        return earlier


def _chunks(state: InstanceState) -> Iterator[bytes]:
    chunk, size = pb.HistoryChunk(), 0
    for piece in state.history:
        for event in events_in(piece):
            chunk.events.append(event)
            size += event.ByteSize()
            if size >= _CHUNK:
                yield chunk.SerializeToString()
                chunk, size = pb.HistoryChunk(), 0
    yield chunk.SerializeToString()


class _Wanted:
    """What a query or a purge is for. The time to which they were created is excluded."""

    def __init__(self, since: Timestamp, until: Timestamp, statuses: Collection[int]) -> None:
        self._since = moment(since) if since.ByteSize() else None
        self._until = moment(until) if until.ByteSize() else None
        self._statuses = frozenset(statuses)

    def includes(self, state: InstanceState) -> bool:
        return (
            (not self._statuses or int(state.status) in self._statuses)
            and (self._since is None or self._since <= state.created_at)
            and (self._until is None or state.created_at < self._until)
        )
