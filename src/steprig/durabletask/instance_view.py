"""An orchestration as clients see it."""

from steprig.durabletask import history
from steprig.durabletask.pb import pb
from steprig.durabletask.state import InstanceState
from steprig.durabletask.wire import string, timestamp


def response(state: InstanceState | None, *, payloads: bool) -> pb.GetInstanceResponse:
    """The answer to who asks for one; `payloads` says whether its input and output are wanted."""
    if state is None:
        return pb.GetInstanceResponse(exists=False)
    return pb.GetInstanceResponse(exists=True, orchestrationState=view(state, payloads=payloads))


def view(state: InstanceState, *, payloads: bool) -> pb.OrchestrationState:
    """All that is told about it."""
    seen = pb.OrchestrationState(
        instanceId=state.instance_id,
        name=state.name,
        version=string(state.version),
        orchestrationStatus=int(state.status),  # type: ignore[arg-type]
        createdTimestamp=timestamp(state.created_at),
        lastUpdatedTimestamp=timestamp(state.updated_at),
        customStatus=string(state.custom_status),
        executionId=string(state.execution_id),
        tags=state.tags,
    )
    if state.start_at is not None:
        seen.scheduledStartTimestamp.CopyFrom(timestamp(state.start_at))
    if state.completed_at is not None:
        seen.completedTimestamp.CopyFrom(timestamp(state.completed_at))
    if state.parent is not None:
        seen.parentInstanceId.value = state.parent.instance_id
    if state.failure is not None:
        seen.failureDetails.ParseFromString(state.failure)
    if payloads:
        _add_payloads(seen, state)
    return seen


def _add_payloads(seen: pb.OrchestrationState, state: InstanceState) -> None:
    started = history.started_in(state.started)
    if started.HasField("input"):
        seen.input.CopyFrom(started.input)
    if state.output is not None:
        seen.output.value = state.output
