"""What follows from a turn of an orchestration. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from steprig.durabletask import history
from steprig.durabletask.actions import Actions
from steprig.durabletask.decision import Decision, Given
from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import pb
from steprig.durabletask.records import (
    ExecutionId,
    InstanceCreated,
    InstanceEnded,
    TurnCommitted,
)
from steprig.durabletask.rewinding import rewound
from steprig.durabletask.state import InstanceState
from steprig.durabletask.wire import NEW, PAST, framed, string, varint


class Turn(NamedTuple):
    """What a worker was told: where it begins, and how much of the inbox."""

    started: bytes
    taken: int


def cut(state: InstanceState, started: bytes) -> Turn:
    """The next turn: all of the inbox, but a rewinding worker must be told of that alone."""
    return Turn(started, 1 if state.is_rewinding else len(state.inbox))


def request(state: InstanceState, turn: Turn, *, streamed: bool = False) -> bytes:
    """The encoded `OrchestratorRequest`; `streamed` leaves the past out, which the worker then asks for."""
    head = pb.OrchestratorRequest(
        instanceId=state.instance_id,
        executionId=string(state.execution_id),
        requiresHistoryStreaming=streamed,
        orchestrationTraceContext=(
            None if state.trace is None else pb.OrchestrationTraceContext.FromString(state.trace)
        ),
    ).SerializeToString()
    past = () if streamed else state.history
    return b"".join((head, *past, framed(NEW, (turn.started, *state.inbox[: turn.taken]))))


def work_item(body: bytes, token: str) -> bytes:
    """The encoded `WorkItem` around a request for an orchestrator."""
    tail = pb.WorkItem(completionToken=token).SerializeToString()
    return b"".join((b"\x0a", varint(len(body)), body, tail))


def commit(state: InstanceState, turn: Turn, response: pb.OrchestratorResponse, given: Given) -> Decision:
    """Take in what a worker answers to a turn. An answer that cannot be ends the orchestration, which would else stand
    still for ever: its turn is over."""
    try:
        return _taken(state, turn, response, given)
    except (OverflowError, ValueError) as error:
        problem = f"what the worker answered to a turn of orchestration '{state.instance_id}' cannot be: {error}"
        return fail(state, "InvalidAnswerError", problem, given)


def _taken(state: InstanceState, turn: Turn, response: pb.OrchestratorResponse, given: Given) -> Decision:
    decision = Decision(state, given)
    actions = Actions(decision)
    for action in response.actions:
        actions.take(action)
    if actions.rewound is not None:
        decision.add(rewound(state, actions.rewound))
        return decision
    told = (turn.started, *state.inbox[: turn.taken])
    _end_turn(actions, given)
    events = len(told) + len(actions.past.pastEvents)
    if state.events + events > given.max_history_size:
        end(decision, OrchestrationStatus.FAILED, failure=_too_long(state, events, given.max_history_size))
        return decision
    decision.messages = actions.messages
    decision.add(_committed(state, turn, told, response, actions, events))
    if actions.completion is not None:
        _complete(decision, actions.completion)
    return decision


def _end_turn(actions: Actions, given: Given) -> None:
    completed = actions.past.pastEvents.add()
    completed.MergeFromString(history.orchestrator_completed(given.now))


def _committed(
    state: InstanceState,
    turn: Turn,
    told: Sequence[bytes],
    response: pb.OrchestratorResponse,
    actions: Actions,
    events: int,
) -> TurnCommitted:
    trace = response.orchestrationTraceContext if response.HasField("orchestrationTraceContext") else None
    return TurnCommitted(
        taken=turn.taken,
        history=framed(PAST, told) + actions.past.SerializeToString(),
        events=events,
        status=_status_after(state, turn),
        custom_status=response.customStatus.value if response.HasField("customStatus") else None,
        trace=state.trace if trace is None else trace.SerializeToString(),
        activities=tuple(actions.activities),
        timers=tuple(actions.timers),
        children=tuple(actions.children),
        calls=tuple(actions.calls),
        sections=tuple(actions.sections),
        unlocked=tuple(actions.unlocked),
    )


def _status_after(state: InstanceState, turn: Turn) -> OrchestrationStatus:
    """Suspended or not, as the last that it was told of either says."""
    for position in reversed(state.controls):
        if position < state.told + turn.taken:
            event = pb.HistoryEvent.FromString(state.inbox[position - state.told])
            is_suspended = event.WhichOneof("eventType") == "executionSuspended"
            return OrchestrationStatus.SUSPENDED if is_suspended else OrchestrationStatus.RUNNING
    return OrchestrationStatus.RUNNING if state.status is OrchestrationStatus.PENDING else state.status


def _complete(decision: Decision, action: pb.CompleteOrchestrationAction) -> None:
    status = OrchestrationStatus(action.orchestrationStatus)
    if status is OrchestrationStatus.CONTINUED_AS_NEW:
        result = action.result.value if action.HasField("result") else None
        last = history.execution_completed(decision.given.now, status, result, None)
        decision.continue_as(_continuing(decision, action), framed(PAST, (last,)))
        return
    if not status.is_terminal:
        raise ValueError(f"{status.name} is no status to end with")
    end(
        decision,
        status,
        output=action.result.value if action.HasField("result") else None,
        failure=action.failureDetails if action.HasField("failureDetails") else None,
    )


def end(
    decision: Decision,
    status: OrchestrationStatus,
    *,
    output: str | None = None,
    failure: pb.TaskFailureDetails | None = None,
    told: tuple[bytes, ...] = (),
) -> None:
    """The orchestration is over.

    Args:
        decision: In which it ends.
        status: How.
        output: The result, as the worker has encoded it.
        failure: Why it has failed.
        told: What goes into the history before its end.
    """
    last = history.execution_completed(decision.given.now, status, output, failure)
    decision.add(
        InstanceEnded(
            status=status,
            history=framed(PAST, (*told, last)),
            events=len(told) + 1,
            output=output,
            failure=None if failure is None else failure.SerializeToString(),
        )
    )


def terminate(state: InstanceState, output: str | None, given: Given, *, recurse: bool) -> Decision:
    """End an orchestration from outside, whatever it is doing: no worker is asked."""
    decision = Decision(state, given)
    told = (
        history.orchestrator_started(given.now),
        *state.inbox,
        history.execution_terminated(given.now, output, recurse=recurse),
        history.orchestrator_completed(given.now),
    )
    end(decision, OrchestrationStatus.TERMINATED, output=output, told=told)
    return decision


def fail(state: InstanceState, error_type: str, message: str, given: Given) -> Decision:
    """End an orchestration that cannot go on."""
    decision = Decision(state, given)
    end(decision, OrchestrationStatus.FAILED, failure=history.failure(error_type, message))
    return decision


def _too_long(state: InstanceState, events: int, limit: int) -> pb.TaskFailureDetails:
    return history.failure(
        "HistorySizeExceededError",
        f"the history of orchestration '{state.instance_id}' would have {state.events + events} events, more than "
        f"max_history_size={limit}; continue as new in time, or pass a larger max_history_size",
    )


def _continuing(decision: Decision, action: pb.CompleteOrchestrationAction) -> InstanceCreated:
    state, given = decision.state, decision.given
    started = history.started_in(state.started)
    execution_id = ExecutionId(given.new_id())
    version = action.newVersion.value if action.HasField("newVersion") else state.version
    event = history.execution_started(
        given.now,
        instance_id=state.instance_id,
        execution_id=execution_id,
        name=state.name,
        version=version,
        input=action.result.value if action.HasField("result") else None,
        tags=dict(action.tags) or state.tags,
        parent=state.parent,
        trace_context=started.parentTraceContext if started.HasField("parentTraceContext") else None,
    )
    carried = tuple(carried.SerializeToString() for carried in action.carryoverEvents)
    survivors, controls = _survivors(state, 1 + len(carried))
    return InstanceCreated(
        instance_id=state.instance_id,
        execution_id=execution_id,
        name=state.name,
        started=event,
        created_at=state.created_at,
        version=version,
        tags=dict(action.tags) or dict(state.tags),
        parent=state.parent,
        inbox=carried + survivors,
        controls=controls,
        custom_status=state.custom_status,
        continues=True,
        original=state.original,
    )


def _survivors(state: InstanceState, position: int) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """What came from outside during the last turn, and which positions of controls that gives in the next inbox.

    What an execution has begun itself concerns no other one: the next one's ids begin at 1 again.
    """
    survivors: list[bytes] = []
    controls: list[int] = []
    for event in state.inbox:
        kind = pb.HistoryEvent.FromString(event).WhichOneof("eventType")
        if kind in _CONTROLS:
            controls.append(position + len(survivors))
        if kind == "eventRaised" or kind in _CONTROLS:
            survivors.append(event)
    return tuple(survivors), tuple(controls)


_CONTROLS = ("executionSuspended", "executionResumed")
