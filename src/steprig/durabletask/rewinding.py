"""Going back to where an orchestration failed. Pure."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from steprig.durabletask.pb import pb
from steprig.durabletask.records import ExecutionId, InstanceId, Rewound
from steprig.durabletask.state import InstanceState
from steprig.durabletask.wire import moment


class OpenTasks:
    """What a history, and what is about to be told, leave without a result."""

    def __init__(self, events: Iterable[pb.HistoryEvent]) -> None:
        self.activities: Counter[int] = Counter()
        """How often each task id is scheduled and has no result."""
        self.timers: dict[int, datetime] = {}
        self.children: dict[int, pb.SubOrchestrationInstanceCreatedEvent] = {}
        self.execution_id = ExecutionId("")
        for event in events:
            self._take(event)

    def _take(self, event: pb.HistoryEvent) -> None:
        match event.WhichOneof("eventType"):
            case "taskScheduled":
                self.activities[event.eventId] += 1
            case "taskCompleted":
                self.activities[event.taskCompleted.taskScheduledId] -= 1
            case "taskFailed":
                self.activities[event.taskFailed.taskScheduledId] -= 1
            case "timerCreated":
                self.timers[event.eventId] = moment(event.timerCreated.fireAt)
            case "timerFired":
                self.timers.pop(event.timerFired.timerId, None)
            case "subOrchestrationInstanceCreated":
                self.children[event.eventId] = event.subOrchestrationInstanceCreated
            case "subOrchestrationInstanceCompleted":
                self.children.pop(event.subOrchestrationInstanceCompleted.taskScheduledId, None)
            case "executionStarted":
                self.execution_id = ExecutionId(event.executionStarted.orchestrationInstance.executionId.value)


def open_tasks(state: InstanceState, kept: Iterable[pb.HistoryEvent]) -> OpenTasks:
    """What an orchestration waits for once only these events are left of its history.

    Results that came while it was failed are in its inbox.
    """
    told = [pb.HistoryEvent.FromString(event) for event in state.inbox]
    return OpenTasks([*kept, *told])


def rewound(state: InstanceState, action: pb.RewindOrchestrationAction) -> Rewound:
    """Take in what a worker leaves of a history."""
    left = open_tasks(state, action.newHistory)
    return Rewound(
        execution_id=left.execution_id or state.execution_id,
        history=pb.OrchestratorRequest(pastEvents=action.newHistory).SerializeToString(),
        events=len(action.newHistory),
        activities=_activities(state, left),
        timers=left.timers,
        children={task_id: InstanceId(created.instanceId) for task_id, created in left.children.items()},
    )


def _activities(state: InstanceState, left: OpenTasks) -> dict[int, int]:
    """Those that run still, and those that have to run again."""
    missing = +left.activities
    activities: dict[int, int] = {}
    for occurrence, task_id in state.activities.items():
        if missing[task_id] > 0:
            missing[task_id] -= 1
            activities[occurrence] = task_id
    for occurrence, task_id in enumerate(missing.elements(), state.occurrences):
        activities[occurrence] = task_id
    return activities
