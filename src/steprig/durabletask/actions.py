"""What an orchestration asks for in a turn: each action's confirmation in the history, and what it leads to."""

import logging
from collections.abc import Callable

from steprig.durabletask import history
from steprig.durabletask.decision import (
    ChildCreated,
    Decision,
    EventSent,
    Message,
    OperationSent,
    Terminated,
    Unlocked,
)
from steprig.durabletask.pb import Timestamp, pb
from steprig.durabletask.records import (
    Child,
    EntityId,
    InstanceId,
    Operation,
    RequestId,
    Section,
    SectionId,
    TimerSet,
)
from steprig.durabletask.wire import moment, timestamp

_log = logging.getLogger(__name__)


class Actions:
    """The actions of one turn. Confirmations go into `past`, in the order of the actions."""

    def __init__(self, decision: Decision) -> None:
        self.past = pb.OrchestratorRequest()
        self.messages: list[Message] = []
        self.activities: list[int] = []
        self.timers: list[TimerSet] = []
        self.children: list[Child] = []
        self.calls: list[RequestId] = []
        self.sections: list[Section] = []
        self.unlocked: list[tuple[SectionId, EntityId]] = []
        self.completion: pb.CompleteOrchestrationAction | None = None
        self.rewound: pb.RewindOrchestrationAction | None = None
        self._instance_id = decision.state.instance_id
        self._now = decision.given.now
        self._timestamp: Timestamp = timestamp(decision.given.now)

    def take(self, action: pb.OrchestratorAction) -> None:
        """Take one in."""
        kind = action.WhichOneof("orchestratorActionType")
        if kind is None:
            _log.warning("orchestration %s sent an action of a type that is unknown here", self._instance_id)
            return
        _TAKE[kind](self, action)

    def _confirmed(self, action: pb.OrchestratorAction) -> pb.HistoryEvent:
        event: pb.HistoryEvent = self.past.pastEvents.add(eventId=action.id, timestamp=self._timestamp)
        return event

    def _schedule_task(self, action: pb.OrchestratorAction) -> None:
        asked, scheduled = action.scheduleTask, self._confirmed(action).taskScheduled
        scheduled.name = asked.name
        if asked.HasField("version"):
            scheduled.version.CopyFrom(asked.version)
        if asked.HasField("input"):
            scheduled.input.CopyFrom(asked.input)
        if asked.HasField("parentTraceContext"):
            scheduled.parentTraceContext.CopyFrom(asked.parentTraceContext)
        if asked.tags:
            scheduled.tags.update(asked.tags)
        self.activities.append(action.id)

    def _create_timer(self, action: pb.OrchestratorAction) -> None:
        self._confirmed(action).timerCreated.fireAt.CopyFrom(action.createTimer.fireAt)
        self.timers.append(TimerSet(action.id, moment(action.createTimer.fireAt)))

    def _create_child(self, action: pb.OrchestratorAction) -> None:
        asked, created = action.createSubOrchestration, self._confirmed(action).subOrchestrationInstanceCreated
        created.instanceId = asked.instanceId
        created.name = asked.name
        if asked.HasField("version"):
            created.version.CopyFrom(asked.version)
        if asked.HasField("input"):
            created.input.CopyFrom(asked.input)
        if asked.HasField("parentTraceContext"):
            created.parentTraceContext.CopyFrom(asked.parentTraceContext)
        if asked.tags:
            created.tags.update(asked.tags)
        child = Child(action.id, InstanceId(asked.instanceId))
        self.children.append(child)
        self.messages.append(ChildCreated(child, asked))

    def _send_event(self, action: pb.OrchestratorAction) -> None:
        asked, sent = action.sendEvent, self._confirmed(action).eventSent
        target = sent.instanceId = asked.instance.instanceId
        sent.name = asked.name
        data = asked.data.value if asked.HasField("data") else None
        if data is not None:
            sent.input.value = data
        self.messages.append(EventSent(InstanceId(target), history.event_raised(self._now, asked.name, data)))

    def _send_entity_message(self, action: pb.OrchestratorAction) -> None:
        kind = action.sendEntityMessage.WhichOneof("EntityMessageType")
        if kind is not None:
            event = self._confirmed(action)
            getattr(event, kind).CopyFrom(getattr(action.sendEntityMessage, kind))
            _SEND[kind](self, event)

    def _call_entity(self, event: pb.HistoryEvent) -> None:
        called = event.entityOperationCalled
        self.calls.append(RequestId(called.requestId))
        due = moment(called.scheduledTime) if called.HasField("scheduledTime") else None
        operation = Operation(0, event.SerializeToString(), called.requestId, caller=self._instance_id)
        self.messages.append(OperationSent(EntityId(called.targetInstanceId.value), operation, due))

    def _signal_entity(self, event: pb.HistoryEvent) -> None:
        signaled = event.entityOperationSignaled
        due = moment(signaled.scheduledTime) if signaled.HasField("scheduledTime") else None
        operation = Operation(0, event.SerializeToString(), signaled.requestId)
        self.messages.append(OperationSent(EntityId(signaled.targetInstanceId.value), operation, due))

    def _request_locks(self, event: pb.HistoryEvent) -> None:
        asked = event.entityLockRequested
        section = Section(
            SectionId(asked.criticalSectionId), tuple(EntityId(entity) for entity in dict.fromkeys(asked.lockSet))
        )
        if section.entities:
            self.sections.append(section)
            operation = Operation(0, b"", caller=self._instance_id, section=section)
            self.messages.append(OperationSent(section.entities[0], operation, None))

    def _unlock(self, event: pb.HistoryEvent) -> None:
        sent = event.entityUnlockSent
        section, entity = SectionId(sent.criticalSectionId), EntityId(sent.targetInstanceId.value)
        self.unlocked.append((section, entity))
        self.messages.append(Unlocked(entity, section))

    def _complete(self, action: pb.OrchestratorAction) -> None:
        self.completion = action.completeOrchestration

    def _terminate(self, action: pb.OrchestratorAction) -> None:
        asked = action.terminateOrchestration
        reason = asked.reason.value if asked.HasField("reason") else None
        self.messages.append(Terminated(InstanceId(asked.instanceId), reason, asked.recurse))

    def _rewind(self, action: pb.OrchestratorAction) -> None:
        self.rewound = action.rewindOrchestration


_TAKE: dict[str, Callable[[Actions, pb.OrchestratorAction], None]] = {
    "scheduleTask": Actions._schedule_task,
    "createTimer": Actions._create_timer,
    "createSubOrchestration": Actions._create_child,
    "sendEvent": Actions._send_event,
    "sendEntityMessage": Actions._send_entity_message,
    "completeOrchestration": Actions._complete,
    "terminateOrchestration": Actions._terminate,
    "rewindOrchestration": Actions._rewind,
}

_SEND: dict[str, Callable[[Actions, pb.HistoryEvent], None]] = {
    "entityOperationCalled": Actions._call_entity,
    "entityOperationSignaled": Actions._signal_entity,
    "entityLockRequested": Actions._request_locks,
    "entityUnlockSent": Actions._unlock,
}
