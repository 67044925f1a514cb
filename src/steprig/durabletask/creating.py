"""What an orchestration begins with. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from steprig.durabletask import history
from steprig.durabletask.decision import Given
from steprig.durabletask.pb import pb
from steprig.durabletask.records import ExecutionId, InstanceCreated, InstanceId, Parent
from steprig.durabletask.state import InstanceState


class NewInstance(NamedTuple):
    """An orchestration that somebody asks for."""

    instance_id: InstanceId
    name: str
    version: str | None = None
    input: str | None = None
    tags: Mapping[str, str] = {}
    parent: Parent | None = None
    trace_context: pb.TraceContext | None = None
    start_at: datetime | None = None
    execution_id: ExecutionId | None = None


def created(new: NewInstance, given: Given) -> InstanceCreated:
    """The record of its creation."""
    execution_id = new.execution_id or ExecutionId(given.new_id())
    started = history.execution_started(
        given.now,
        instance_id=new.instance_id,
        execution_id=execution_id,
        name=new.name,
        version=new.version,
        input=new.input,
        tags=new.tags,
        parent=new.parent,
        trace_context=new.trace_context,
        start_at=new.start_at,
    )
    return InstanceCreated(
        instance_id=new.instance_id,
        execution_id=execution_id,
        name=new.name,
        started=started,
        created_at=given.now,
        version=new.version,
        tags=dict(new.tags),
        parent=new.parent,
        start_at=new.start_at,
    )


def child_of(
    parent: InstanceState,
    task_id: int,
    asked: pb.CreateSubOrchestrationAction | pb.SubOrchestrationInstanceCreatedEvent,
) -> NewInstance:
    """The sub-orchestration that an orchestration asks for."""
    return NewInstance(
        instance_id=InstanceId(asked.instanceId),
        name=asked.name,
        version=asked.version.value if asked.HasField("version") else None,
        input=asked.input.value if asked.HasField("input") else None,
        tags=dict(asked.tags),
        parent=Parent(parent.instance_id, parent.execution_id, task_id, parent.name, parent.version),
        trace_context=asked.parentTraceContext if asked.HasField("parentTraceContext") else None,
    )


def again(state: InstanceState, instance_id: InstanceId) -> NewInstance:
    """An orchestration from its start, with what it was given then. Nobody waits for it."""
    started = history.started_in(state.original)
    return NewInstance(
        instance_id=instance_id,
        name=started.name,
        version=started.version.value if started.HasField("version") else None,
        input=started.input.value if started.HasField("input") else None,
        tags=dict(started.tags),
        trace_context=started.parentTraceContext if started.HasField("parentTraceContext") else None,
    )
