"""History events, encoded. All but confirmations carry the id -1: they answer to an action by its own id."""

from collections.abc import Mapping
from datetime import datetime

from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import pb
from steprig.durabletask.records import ExecutionId, InstanceId, Parent
from steprig.durabletask.wire import string, timestamp

_UNNUMBERED = -1


def encoded(at: datetime, **event_type: object) -> bytes:
    """An event of a time; exactly one keyword names its type."""
    event = pb.HistoryEvent(eventId=_UNNUMBERED, timestamp=timestamp(at), **event_type)  # type: ignore[arg-type]
    return event.SerializeToString()  # type: ignore[no-any-return]


def orchestrator_started(at: datetime) -> bytes:
    """Begins a turn, and tells the orchestration the time."""
    return encoded(at, orchestratorStarted=pb.OrchestratorStartedEvent())


def execution_started(
    at: datetime,
    *,
    instance_id: InstanceId,
    execution_id: ExecutionId,
    name: str,
    version: str | None,
    input: str | None,  # noqa: A002 - the protocol's word
    tags: Mapping[str, str],
    parent: Parent | None = None,
    trace_context: pb.TraceContext | None = None,
    start_at: datetime | None = None,
) -> bytes:
    """What an execution is told first."""
    started = pb.ExecutionStartedEvent(
        name=name,
        version=string(version),
        input=string(input),
        orchestrationInstance=pb.OrchestrationInstance(instanceId=instance_id, executionId=string(execution_id)),
        parentInstance=_parent(parent),
        scheduledStartTimestamp=None if start_at is None else timestamp(start_at),
        parentTraceContext=trace_context,
        tags=tags,
    )
    return encoded(at, executionStarted=started)


def _parent(parent: Parent | None) -> pb.ParentInstanceInfo | None:
    if parent is None:
        return None
    return pb.ParentInstanceInfo(
        taskScheduledId=parent.task_id,
        name=string(parent.name),
        version=string(parent.version),
        orchestrationInstance=pb.OrchestrationInstance(
            instanceId=parent.instance_id, executionId=string(parent.execution_id)
        ),
    )


def started_in(event: bytes) -> pb.ExecutionStartedEvent:
    """The `executionStarted` in an encoded event."""
    parsed = pb.HistoryEvent()
    parsed.MergeFromString(event)
    return parsed.executionStarted


def execution_completed(
    at: datetime, status: OrchestrationStatus, result: str | None, failure: pb.TaskFailureDetails | None
) -> bytes:
    """The last event of an execution."""
    completed = pb.ExecutionCompletedEvent(
        orchestrationStatus=int(status),  # type: ignore[arg-type]
        result=string(result),
        failureDetails=failure,
    )
    return encoded(at, executionCompleted=completed)


def execution_terminated(at: datetime, output: str | None, *, recurse: bool) -> bytes:
    """Somebody has terminated it."""
    return encoded(at, executionTerminated=pb.ExecutionTerminatedEvent(input=string(output), recurse=recurse))


def orchestrator_completed(at: datetime) -> bytes:
    """Ends a turn."""
    return encoded(at, orchestratorCompleted=pb.OrchestratorCompletedEvent())


def event_raised(at: datetime, name: str, data: str | None) -> bytes:
    """An external event."""
    return encoded(at, eventRaised=pb.EventRaisedEvent(name=name, input=string(data)))


def execution_suspended(at: datetime, reason: str | None) -> bytes:
    """Somebody has suspended it."""
    return encoded(at, executionSuspended=pb.ExecutionSuspendedEvent(input=string(reason)))


def execution_resumed(at: datetime, reason: str | None) -> bytes:
    """Somebody has resumed it."""
    return encoded(at, executionResumed=pb.ExecutionResumedEvent(input=string(reason)))


def execution_rewound(at: datetime, reason: str | None, parent_execution: ExecutionId | None = None) -> bytes:
    """Somebody has rewound it, or the orchestration that waits for it."""
    rewound = pb.ExecutionRewoundEvent(reason=string(reason), parentExecutionId=string(parent_execution))
    return encoded(at, executionRewound=rewound)


def timer_fired(at: datetime, timer_id: int, fire_at: datetime) -> bytes:
    """A timer's time has come. `fire_at` is the time that was asked for."""
    return encoded(at, timerFired=pb.TimerFiredEvent(timerId=timer_id, fireAt=timestamp(fire_at)))


def task_completed(at: datetime, task_id: int, response: pb.ActivityResponse) -> bytes:
    """An activity has succeeded."""
    result = response.result if response.HasField("result") else None
    return encoded(at, taskCompleted=pb.TaskCompletedEvent(taskScheduledId=task_id, result=result))


def task_failed(at: datetime, task_id: int, failure: pb.TaskFailureDetails) -> bytes:
    """An activity has failed."""
    return encoded(at, taskFailed=pb.TaskFailedEvent(taskScheduledId=task_id, failureDetails=failure))


def child_completed(at: datetime, task_id: int, result: str | None) -> bytes:
    """A sub-orchestration has succeeded."""
    completed = pb.SubOrchestrationInstanceCompletedEvent(taskScheduledId=task_id, result=string(result))
    return encoded(at, subOrchestrationInstanceCompleted=completed)


def child_failed(at: datetime, task_id: int, failure: pb.TaskFailureDetails) -> bytes:
    """A sub-orchestration has failed, or could not be created."""
    failed = pb.SubOrchestrationInstanceFailedEvent(taskScheduledId=task_id, failureDetails=failure)
    return encoded(at, subOrchestrationInstanceFailed=failed)


def call_completed(at: datetime, request_id: str, output: str | None) -> bytes:
    """An entity has done what it was called for."""
    completed = pb.EntityOperationCompletedEvent(requestId=request_id, output=string(output))
    return encoded(at, entityOperationCompleted=completed)


def call_failed(at: datetime, request_id: str, failure: pb.TaskFailureDetails) -> bytes:
    """An entity could not do what it was called for."""
    failed = pb.EntityOperationFailedEvent(requestId=request_id, failureDetails=failure)
    return encoded(at, entityOperationFailed=failed)


def lock_granted(at: datetime, section: str) -> bytes:
    """Every entity of a critical section is locked."""
    return encoded(at, entityLockGranted=pb.EntityLockGrantedEvent(criticalSectionId=section))


def failure(error_type: str, message: str) -> pb.TaskFailureDetails:
    """Why something failed that no worker was asked about."""
    return pb.TaskFailureDetails(errorType=error_type, errorMessage=message)
