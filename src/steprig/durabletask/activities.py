"""The activities that orchestrations wait for."""

from datetime import datetime
from typing import TYPE_CHECKING

from steprig.durabletask import history
from steprig.durabletask.instances import ActivityItem, Instance
from steprig.durabletask.pb import pb
from steprig.durabletask.records import ActivityEnded, TurnCommitted
from steprig.durabletask.wire import events_in

if TYPE_CHECKING:
    from steprig.durabletask.engine import Engine


class Activities:
    """Queues activities, and takes in their results. A part of the engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def complete(self, response: pb.ActivityResponse) -> None:
        """Take in an activity's result. One that nobody waits for changes nothing."""
        item = self._engine.dispatcher.find(response.completionToken)
        if not isinstance(item, ActivityItem):
            return
        self._engine.dispatcher.settle(response.completionToken)
        now = self._engine.clock.stamp()
        if response.HasField("failureDetails"):
            self._ended(item, now, history.task_failed(now, item.task_id, response.failureDetails), True)
        else:
            self._ended(item, now, history.task_completed(now, item.task_id, response), False)

    def _ended(self, item: ActivityItem, now: datetime, event: bytes, has_failed: bool) -> None:
        """What fails after its orchestration has is run again when that is rewound, so its failure is not kept."""
        instance = item.instance
        try:
            instance.running.pop(item.occurrence, None)
            if instance.is_gone:
                return
            if item.occurrence in instance.state.activities:
                late = instance.state.status.is_terminal and has_failed
                self._engine.record(instance, now, ActivityEnded(item.occurrence, b"" if late else event))
                instance.results += not late
            self._engine.consider(instance)
        finally:
            item.finish()

    def begin(self, instance: Instance, entry: TurnCommitted) -> None:
        """Queue those that a turn has scheduled."""
        first = instance.state.occurrences - len(entry.activities)
        scheduled = (event for event in events_in(entry.history) if event.HasField("taskScheduled"))
        for occurrence, event in enumerate(scheduled, first):
            self._run(instance, occurrence, event)

    def _run(self, instance: Instance, occurrence: int, event: pb.HistoryEvent) -> None:
        item = instance.running[occurrence] = ActivityItem(instance, occurrence, event, self._give_up)
        self._engine.dispatcher.put(item)

    def go_on(self, instance: Instance) -> None:
        """Queue those that an orchestration waits for, and that are neither queued nor leased."""
        state = instance.state
        missing = {occ: task_id for occ, task_id in state.activities.items() if occ not in instance.running}
        if missing:
            scheduled = {
                event.eventId: event
                for piece in state.history
                for event in events_in(piece)
                if event.HasField("taskScheduled")
            }
            for occurrence, task_id in missing.items():
                self._run(instance, occurrence, scheduled[task_id])

    def _give_up(self, item: ActivityItem, reason: str) -> None:
        now = self._engine.clock.stamp()
        failure = history.failure("WorkItemTooLargeError", reason)
        self._ended(item, now, history.task_failed(now, item.task_id, failure), True)
