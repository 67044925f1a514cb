"""Operations of an entity as work for a worker, and what follows from its answer."""

from collections.abc import Callable

from steprig.durabletask.entity_ids import name_of
from steprig.durabletask.entity_state import EntityState, batch
from steprig.durabletask.filters import Kind
from steprig.durabletask.pb import pb
from steprig.durabletask.records import EntityId, Operation
from steprig.durabletask.wire import string
from steprig.durabletask.work import Item
from steprig.kernel import Stream, Timer


class Entity:
    """An entity, with what goes with it while the backend runs."""

    __slots__ = ("batch", "is_gone", "records", "state", "stream", "timers")

    def __init__(self, stream: Stream, state: EntityState) -> None:
        self.stream = stream
        self.state = state
        self.is_gone = False
        self.records = 1
        """How many there are in its stream."""
        self.batch: BatchItem | None = None
        """The operations that are queued, or that a worker has."""
        self.timers: dict[int, Timer] = {}


class BatchItem(Item):
    """Operations of an entity to run."""

    __slots__ = ("_give_up", "entity", "operations")

    def __init__(self, entity: Entity, give_up: Callable[["BatchItem", str], None]) -> None:
        super().__init__((Kind.ENTITY, name_of(entity.state.id), None))
        self.entity = entity
        self.operations: tuple[Operation, ...] = ()
        """What the worker was sent."""
        self._give_up = give_up

    @property
    def label(self) -> str:
        """See `Item.label`."""
        return f"operations of {self.entity.state.id}"

    def write(self, token: str, *, streams_history: bool) -> bytes | None:
        """See `Item.write`."""
        self.operations = () if self.entity.is_gone else batch(self.entity.state)
        if not self.operations:
            self.entity.batch = None
            return None
        item = pb.WorkItem(completionToken=token)
        if any(operation.trace is not None for operation in self.operations):
            item.entityRequest.CopyFrom(_with_traces(self.entity.state, self.operations))
        else:
            item.entityRequestV2.CopyFrom(_as_events(self.entity.state, self.operations))
        return item.SerializeToString()  # type: ignore[no-any-return]

    def give_up(self, reason: str) -> None:
        """See `Item.give_up`."""
        self._give_up(self, reason)


def _as_events(state: EntityState, operations: tuple[Operation, ...]) -> pb.EntityRequest:
    return pb.EntityRequest(
        instanceId=state.id,
        entityState=string(state.state),
        operationRequests=[pb.HistoryEvent.FromString(operation.event) for operation in operations],
    )


def _with_traces(state: EntityState, operations: tuple[Operation, ...]) -> pb.EntityBatchRequest:
    """The older form of a request: the events of the newer one have no place for a trace context."""
    return pb.EntityBatchRequest(
        instanceId=state.id,
        entityState=string(state.state),
        operations=[_with_trace(operation) for operation in operations],
    )


def _with_trace(operation: Operation) -> pb.OperationRequest:
    event = pb.HistoryEvent.FromString(operation.event)
    is_call = event.HasField("entityOperationCalled")
    asked = event.entityOperationCalled if is_call else event.entityOperationSignaled
    return pb.OperationRequest(
        operation=asked.operation,
        requestId=asked.requestId,
        input=asked.input if asked.HasField("input") else None,
        traceContext=None if operation.trace is None else pb.TraceContext.FromString(operation.trace),
    )


def signal(
    entity_id: EntityId,
    name: str,
    data: str | None,
    request_id: str,
    trace_context: pb.TraceContext | None,
) -> Operation:
    """A signal as something for an entity's inbox."""
    event = pb.HistoryEvent(
        eventId=-1,
        entityOperationSignaled=pb.EntityOperationSignaledEvent(
            requestId=request_id, operation=name, input=string(data), targetInstanceId=string(entity_id)
        ),
    )
    trace = None if trace_context is None else trace_context.SerializeToString()
    return Operation(0, event.SerializeToString(), request_id, trace=trace)
