"""The engine: takes what happens to orchestrations, records what is decided, and does what follows.

Everything here runs on the rig's loop, and nothing in it awaits. What an orchestration's state is, and what is
decided about it, is pure and lives in `state` and `turns`; the engine adds the time, the ids, and the effects.
What one call changes, in however many streams, is recorded together.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from steprig.durabletask import history, turns
from steprig.durabletask.creating import NewInstance, child_of, created
from steprig.durabletask.decision import (
    ChildCreated,
    Decision,
    EventSent,
    Given,
    Message,
    OperationSent,
    Terminated,
    Unlocked,
)
from steprig.durabletask.dispatch import LEASE_GRACE, Dispatcher
from steprig.durabletask.entities import Entities
from steprig.durabletask.instances import ActivityItem, Instance, Instances, TurnItem, sections_of
from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import pb
from steprig.durabletask.records import (
    ORCHESTRATION,
    ActivityEnded,
    CallAnswered,
    Child,
    ChildEnded,
    EventReceived,
    InstanceCreated,
    InstanceEnded,
    InstanceForgotten,
    InstanceId,
    LocksGranted,
    RequestId,
    RewindRequested,
    Rewound,
    SectionId,
    TimerFired,
    TimerSet,
    TurnCommitted,
)
from steprig.durabletask.rewinding import OpenTasks
from steprig.durabletask.state import InstanceState, advance
from steprig.durabletask.state import created as state_of
from steprig.durabletask.waiters import Waiters
from steprig.durabletask.wire import events_in
from steprig.kernel import Entry, Rig, Stream, Timer, TimerKind, stream_of

_log = logging.getLogger(__name__)

_Callback = Callable[[], None]
_Reason = Literal["purged", "replaced", "restarted", "reset"]

_START = -1
"""The key of the timer of an orchestration's start, among those that it creates."""


class Engine:
    """Runs orchestrations and entities.

    Args:
        rig: Where it runs; gives the clock, the journal and the loop.
        max_history_size: How many events the history of one execution may have.
        lease_grace: See `dispatch.LEASE_GRACE`.
    """

    def __init__(self, rig: Rig, *, max_history_size: int, lease_grace: float = LEASE_GRACE) -> None:
        self.rig = rig
        self.clock = rig.clock
        self.instances = Instances()
        self.waiters = Waiters(rig.clock)
        self.dispatcher = Dispatcher(rig.clock, self._workers_changed, lease_grace=lease_grace)
        self.entities = Entities(self)
        self._max_history_size = max_history_size

    # --- What clients do ----------------------------------------------------------------------------

    def create(self, new: NewInstance) -> Instance:
        """Begin an orchestration. One that has its id is forgotten."""
        with self.rig.journal.together():
            old = self.instances.get(new.instance_id)
            if old is not None:
                self.terminate(old, None, recurse=False)
                self.forget(old, "replaced")
            return self._begin(created(new, self.given()))

    def raise_event(self, instance: Instance, name: str, data: str | None) -> None:
        """Tell an orchestration an event. One that is over takes none."""
        if not instance.state.status.is_terminal:
            now = self.clock.stamp()
            self._record(instance, now, EventReceived(history.event_raised(now, name, data)))
            self.consider(instance)

    def control(self, instance: Instance, event: bytes, now: datetime) -> None:
        """Suspend or resume an orchestration."""
        self._record(instance, now, EventReceived(event, is_control=True))
        self.consider(instance)

    def terminate(self, instance: Instance, output: str | None, *, recurse: bool) -> None:
        """End an orchestration, and all below it if asked. Those that are over stay as they are."""
        with self.rig.journal.together():
            for one in list(self.instances.with_descendants(instance)) if recurse else [instance]:
                if not one.state.status.is_terminal:
                    self._drop_turn(one)
                    self.commit(one, turns.terminate(one.state, output, self.given(), recurse=recurse))

    def forget(self, instance: Instance, reason: _Reason) -> None:
        """Remove an orchestration and all that it has begun."""
        with self.rig.journal.together():
            before = instance.state
            self._record(instance, self.clock.stamp(), InstanceForgotten(reason))
            self._leave(instance)
            self._release_locks(before)
            for item in list(instance.running.values()):
                self.dispatcher.drop(item)
            self.instances.remove(instance)
            if reason in ("purged", "reset"):
                self.waiters.gone(before.instance_id)

    def reset(self) -> None:
        """Forget everything."""
        now = self.clock.stamp()
        forgotten: list[tuple[Stream, Entry]] = []
        for instance in list(self.instances):
            forgotten.append((instance.stream, InstanceForgotten("reset")))
            self._leave(instance)
        self.dispatcher.drop_all()
        self.rig.journal.append(now, *forgotten, *self.entities.reset())
        self.instances = Instances()
        self.waiters.all_gone()

    # --- What workers do ----------------------------------------------------------------------------

    def complete_turn(self, response: pb.OrchestratorResponse) -> None:
        """Take in the answer to a turn. One that nobody waits for changes nothing."""
        item = self.dispatcher.find(response.completionToken)
        if not isinstance(item, TurnItem) or item.turn is None:
            return
        if response.requiresHistory:
            item.needs_history = True
            self.dispatcher.repeat(response.completionToken)
            return
        if response.isPartial:
            item.actions.extend(response.actions)
            return
        if item.actions:
            actions = [*item.actions, *response.actions]
            del response.actions[:]
            response.actions.extend(actions)
        self.dispatcher.settle(response.completionToken)
        instance, instance.turn = item.instance, None
        try:
            with self.rig.journal.together():
                self.commit(instance, turns.commit(instance.state, item.turn, response, self.given()))
        finally:
            item.finish()

    def complete_activity(self, response: pb.ActivityResponse) -> None:
        """Take in an activity's result. One that nobody waits for changes nothing."""
        item = self.dispatcher.find(response.completionToken)
        if not isinstance(item, ActivityItem):
            return
        self.dispatcher.settle(response.completionToken)
        now = self.clock.stamp()
        if response.HasField("failureDetails"):
            self._activity_ended(item, now, history.task_failed(now, item.task_id, response.failureDetails), True)
        else:
            self._activity_ended(item, now, history.task_completed(now, item.task_id, response), False)

    def _activity_ended(self, item: ActivityItem, now: datetime, event: bytes, has_failed: bool) -> None:
        """What fails after its orchestration has is run again when that is rewound, so its failure is not kept."""
        instance = item.instance
        try:
            instance.running.pop(item.occurrence, None)
            if not instance.is_gone and item.occurrence in instance.state.activities:
                late = instance.state.status.is_terminal and has_failed
                self._record(instance, now, ActivityEnded(item.occurrence, b"" if late else event))
                self.consider(instance)
        finally:
            item.finish()

    # --- What follows ---------------------------------------------------------------------------------

    def given(self) -> Given:
        """What a decision at this moment may not find out by itself."""
        return Given(self.clock.stamp(), self.new_id, self._max_history_size)

    def new_id(self) -> str:
        """An id that nothing has."""
        return uuid.uuid4().hex

    def new_stream(self, kind: str, ident: str) -> Stream:
        """A stream for what has this id; a second one of the same id is called `id#2`."""
        stream, number = stream_of(kind, ident), 1
        while self.rig.journal.read(stream):
            number += 1
            stream = stream_of(kind, f"{ident}#{number}")
        return stream

    def _begin(self, entry: InstanceCreated) -> Instance:
        stream = self.new_stream(ORCHESTRATION, entry.instance_id)
        now = self.clock.stamp()
        self.rig.journal.append(now, (stream, entry))
        instance = Instance(stream, state_of(entry, now))
        self.instances.add(instance)
        self.attend_start(instance)
        self.consider(instance)
        return instance

    def attend_start(self, instance: Instance) -> None:
        """Hold an orchestration back until its time to start has come."""
        start_at = instance.state.start_at
        if start_at is not None and instance.state.told == 0 and start_at > self.clock.now():
            instance.is_held = True
            label = f"start of {instance.state.name} ({instance.state.instance_id})"
            instance.timers[_START] = self.call_at(start_at, lambda: self._start(instance), label)

    def _start(self, instance: Instance) -> None:
        instance.timers.pop(_START, None)
        instance.is_held = False
        self.consider(instance)

    def call_at(self, when: datetime, callback: _Callback, label: str, kind: TimerKind = TimerKind.AMBIGUOUS) -> Timer:
        """Whether it is a delay or somebody's timeout cannot be told; what is past is neither, and comes next."""
        if when > self.clock.now():
            return self.rig.call_at(when, callback, kind=kind, label=label)
        timer = Timer(when, callback, kind, None, label)
        self.rig.loop.call_soon(timer.fire, self.clock.working(label).done)
        return timer

    def commit(self, instance: Instance, decision: Decision) -> None:
        """Record a decision, and do what follows from it."""
        before = instance.state
        records = [(instance.stream, entry) for entry in decision.entries]
        self.rig.journal.append(decision.given.now, *records)
        instance.state = decision.state
        follower = instance
        if decision.next is not None:
            self._leave(instance)
            follower = self._begin(decision.next)
        for entry in decision.entries:
            self._follow(instance, entry, decision.messages)
        if instance.is_gone or decision.state.status.is_terminal:
            self._release_locks(decision.state)
        if decision.state.status is not before.status or follower is not instance:
            self.waiters.changed(follower.state)
        self.consider(follower)

    def _follow(self, instance: Instance, entry: Entry, messages: Sequence[Message]) -> None:
        match entry:
            case TurnCommitted():
                if entry.activities:
                    self._run_new_activities(instance, entry)
                for timer in entry.timers if not instance.is_gone else ():
                    self.set_timer(instance, timer)
                for message in messages:
                    self._send(instance, message)
            case InstanceEnded():
                self._cancel_timers(instance)
                self._tell_parent(instance)
            case Rewound():
                self.go_on(instance)
                self._rewind_children(instance)

    def _run_new_activities(self, instance: Instance, entry: TurnCommitted) -> None:
        first = instance.state.occurrences - len(entry.activities)
        scheduled = (event for event in events_in(entry.history) if event.HasField("taskScheduled"))
        for occurrence, event in enumerate(scheduled, first):
            self._run_activity(instance, occurrence, event)

    def _run_activity(self, instance: Instance, occurrence: int, event: pb.HistoryEvent) -> None:
        item = instance.running[occurrence] = ActivityItem(instance, occurrence, event, self._give_up_activity)
        self.dispatcher.put(item)

    def go_on(self, instance: Instance) -> None:
        """See to all that an orchestration waits for and that is not under way: after a restart, or a rewind."""
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
                self._run_activity(instance, occurrence, scheduled[task_id])
        if not state.status.is_terminal:
            for timer_id, fire_at in state.timers.items():
                self.set_timer(instance, TimerSet(timer_id, fire_at))

    def set_timer(self, instance: Instance, timer: TimerSet) -> None:
        """Have a timer fire when its time has come, never in the turn that has created it."""
        label = f"timer {timer.timer_id} of {instance.state.name} ({instance.state.instance_id})"
        old = instance.timers.pop(timer.timer_id, None)
        if old is not None:
            old.cancel()
        instance.timers[timer.timer_id] = self.call_at(timer.fire_at, lambda: self._fire(instance, timer), label)

    def _fire(self, instance: Instance, timer: TimerSet) -> None:
        if instance.timers.pop(timer.timer_id, None) is not None:
            now = self.clock.stamp()
            event = history.timer_fired(now, timer.timer_id, timer.fire_at)
            self._record(instance, now, TimerFired(timer.timer_id, event))
            self.consider(instance)

    def _send(self, sender: Instance, message: Message) -> None:
        match message:
            case ChildCreated():
                self._create_child(sender, message.child, message.action)
            case EventSent():
                target = self.instances.get(message.instance_id)
                if target is not None and not target.state.status.is_terminal:
                    self._record(target, self.clock.stamp(), EventReceived(message.event))
                    self.consider(target)
            case OperationSent():
                self.entities.send(message.entity_id, message.operation, message.due)
            case Unlocked():
                self.entities.unlock(message.entity_id, message.section)
            case Terminated():
                target = self.instances.get(message.instance_id)
                if target is not None:
                    self.terminate(target, message.output, recurse=message.recurse)

    # --- Parents and children -------------------------------------------------------------------------

    def _create_child(self, parent: Instance, child: Child, action: pb.CreateSubOrchestrationAction) -> None:
        new = child_of(parent.state, child.task_id, action)
        old = self.instances.get(new.instance_id)
        problem = None
        if new.instance_id.startswith("@"):
            problem = f"the instance id '{new.instance_id}' begins with '@', as only those of entities do"
        elif old is not None and not old.state.status.is_terminal:
            problem = f"there is an orchestration with instance id '{new.instance_id}' already, and it goes on"
        if problem is None:
            self.create(new)
        else:
            self._child_ended(parent, child, history.failure("InstanceAlreadyExistsError", problem))

    def _tell_parent(self, instance: Instance) -> None:
        state = instance.state
        parent = None if state.parent is None else self.instances.get(state.parent.instance_id)
        if parent is None or state.parent is None:
            return
        child = Child(state.parent.task_id, state.instance_id)
        if state.status is OrchestrationStatus.COMPLETED:
            self._child_ended(parent, child, None, state.output)
        elif state.failure is not None:
            self._child_ended(parent, child, pb.TaskFailureDetails.FromString(state.failure))
        else:
            message = f"sub-orchestration '{state.instance_id}' was terminated"
            self._child_ended(parent, child, history.failure("SubOrchestrationTerminatedError", message))

    def _child_ended(
        self, parent: Instance, child: Child, failure: pb.TaskFailureDetails | None, output: str | None = None
    ) -> None:
        state = parent.state
        if parent.is_gone or state.children.get(child.task_id) != child.instance_id:
            return
        now = self.clock.stamp()
        if failure is None:
            event = history.child_completed(now, child.task_id, output)
        elif state.status.is_terminal:
            event = b""  # should the parent be rewound, so is the child
        else:
            event = history.child_failed(now, child.task_id, failure)
        self._record(parent, now, ChildEnded(child.task_id, event))
        self.consider(parent)

    def _rewind_children(self, parent: Instance) -> None:
        """Go back in the sub-orchestrations that have failed, and begin those anew that are gone."""
        left = OpenTasks(event for piece in parent.state.history for event in events_in(piece))
        for task_id in parent.state.children:
            made = left.children[task_id]
            child = self.instances.get(made.instanceId)
            if child is None:
                self.create(child_of(parent.state, task_id, made))
            elif child.state.status is OrchestrationStatus.FAILED:
                self.rewind(child, None, parent.state)
            elif child.state.status.is_terminal:
                self._tell_parent(child)

    def rewind(self, instance: Instance, reason: str | None, parent: InstanceState | None = None) -> None:
        """Have a failed orchestration go back to where it failed."""
        now = self.clock.stamp()
        event = history.execution_rewound(now, reason, None if parent is None else parent.execution_id)
        self._record(instance, now, RewindRequested(event))
        self.waiters.changed(instance.state)
        self.consider(instance)

    # --- What entities do -----------------------------------------------------------------------------

    def answer_call(self, caller: InstanceId, request_id: str, event: bytes, now: datetime) -> None:
        """An entity has done, or failed to do, what an orchestration has called it for."""
        instance = self.instances.get(caller)
        if instance is not None and RequestId(request_id) in instance.state.calls:
            self._record(instance, now, CallAnswered(RequestId(request_id), event))
            self.consider(instance)

    def grant_locks(self, holder: InstanceId, section: SectionId) -> None:
        """All entities of a critical section are locked."""
        instance = self.instances.get(holder)
        if instance is not None and section in instance.state.ungranted:
            now = self.clock.stamp()
            self._record(instance, now, LocksGranted(section, history.lock_granted(now, section)))
            self.consider(instance)

    def wants_locks(self, holder: InstanceId, section: SectionId) -> bool:
        """Whether an orchestration goes on in a critical section, or waits for it."""
        instance = self.instances.get(holder)
        if instance is None or instance.state.status.is_terminal:
            return False
        return section in instance.state.sections

    # --- Inside ---------------------------------------------------------------------------------------

    def _record(self, instance: Instance, now: datetime, entry: Entry) -> None:
        self.rig.journal.append(now, (instance.stream, entry))
        instance.state = advance(instance.state, entry, now)

    def consider(self, instance: Instance) -> None:
        """Queue a turn if the orchestration has to be told something, and no worker has it."""
        if instance.turn is None and not instance.is_held and not instance.is_gone and instance.state.wants_turn:
            instance.turn = TurnItem(instance, self.clock, self._give_up_turn)
            self.dispatcher.put(instance.turn)

    def _leave(self, instance: Instance) -> None:
        instance.is_gone = True
        self._drop_turn(instance)
        self._cancel_timers(instance)

    def _drop_turn(self, instance: Instance) -> None:
        if instance.turn is not None:
            self.dispatcher.drop(instance.turn)
            instance.turn = None

    def _cancel_timers(self, instance: Instance) -> None:
        for timer in instance.timers.values():
            timer.cancel()
        instance.timers.clear()
        instance.is_held = False

    def _release_locks(self, state: InstanceState) -> None:
        for section, entity in sections_of(state):
            self.entities.unlock(entity, section)

    def _give_up_turn(self, item: TurnItem, reason: str) -> None:
        instance, instance.turn = item.instance, None
        if not instance.is_gone:
            self.commit(instance, turns.fail(instance.state, "WorkItemTooLargeError", reason, self.given()))

    def _give_up_activity(self, item: ActivityItem, reason: str) -> None:
        now = self.clock.stamp()
        failure = history.failure("WorkItemTooLargeError", reason)
        self._activity_ended(item, now, history.task_failed(now, item.task_id, failure), True)

    def _workers_changed(self) -> None:
        self.waiters.workers_changed(self.dispatcher.has_workers)

    def stop(self) -> None:
        """End every stream and wait, and drop every timer."""
        self.dispatcher.close()
        self.waiters.close()
        for instance in self.instances:
            self._cancel_timers(instance)
        self.entities.stop()
