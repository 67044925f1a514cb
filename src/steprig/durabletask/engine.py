"""The engine: takes what happens to orchestrations, records what is decided, and does what follows.

Everything here runs on the rig's loop, and nothing in it awaits. What an orchestration's state is, and what is
decided about it, is pure and lives in `state` and `turns`; the engine adds the time, the ids, and the effects.
What one call changes, in however many streams, is recorded together.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from steprig.durabletask import history, turns
from steprig.durabletask.activities import Activities
from steprig.durabletask.creating import NewInstance, created
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
from steprig.durabletask.families import Families
from steprig.durabletask.gathering import Gathering
from steprig.durabletask.instances import Instance, Instances, TurnItem, sections_of
from steprig.durabletask.pb import pb
from steprig.durabletask.records import (
    ORCHESTRATION,
    CallAnswered,
    EventReceived,
    InstanceCreated,
    InstanceEnded,
    InstanceForgotten,
    InstanceId,
    LocksGranted,
    RequestId,
    Rewound,
    SectionId,
    TimerFired,
    TimerSet,
    TurnCommitted,
)
from steprig.durabletask.state import InstanceState, advance
from steprig.durabletask.state import created as state_of
from steprig.durabletask.waiters import Waiters
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
        self.families = Families(self)
        self.activities = Activities(self)
        self.gathering = Gathering(rig, self._queue_turn)
        self.is_stopped = False
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
            self.record(instance, now, EventReceived(history.event_raised(now, name, data)))
            self.consider(instance)

    def control(self, instance: Instance, event: bytes, now: datetime) -> None:
        """Suspend or resume an orchestration."""
        self.record(instance, now, EventReceived(event, is_control=True))
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
            self.record(instance, self.clock.stamp(), InstanceForgotten(reason))
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
        instance.turn_seconds = time.monotonic() - item.began
        try:
            with self.rig.journal.together():
                self.commit(instance, turns.commit(instance.state, item.turn, response, self.given()))
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
                    self.activities.begin(instance, entry)
                for timer in entry.timers if not instance.is_gone else ():
                    self.set_timer(instance, timer)
                for message in messages:
                    self._send(instance, message)
            case InstanceEnded():
                instance.results = 0
                self._cancel_timers(instance)
                self.families.tell_parent(instance)
            case Rewound():
                self.go_on(instance)
                self.families.rewind_children(instance)

    def go_on(self, instance: Instance) -> None:
        """See to all that an orchestration waits for and that is not under way: after a restart, or a rewind."""
        state = instance.state
        self.activities.go_on(instance)
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
            self.record(instance, now, TimerFired(timer.timer_id, event))
            self.consider(instance)

    def _send(self, sender: Instance, message: Message) -> None:
        match message:
            case ChildCreated():
                self.families.begin_child(sender, message.child, message.action)
            case EventSent():
                target = self.instances.get(message.instance_id)
                if target is not None and not target.state.status.is_terminal:
                    self.record(target, self.clock.stamp(), EventReceived(message.event))
                    self.consider(target)
            case OperationSent():
                self.entities.send(message.entity_id, message.operation, message.due)
            case Unlocked():
                self.entities.unlock(message.entity_id, message.section)
            case Terminated():
                target = self.instances.get(message.instance_id)
                if target is not None:
                    self.terminate(target, message.output, recurse=message.recurse)

    # --- What entities do -----------------------------------------------------------------------------

    def answer_call(self, caller: InstanceId, request_id: str, event: bytes, now: datetime) -> None:
        """An entity has done, or failed to do, what an orchestration has called it for."""
        instance = self.instances.get(caller)
        if instance is not None and RequestId(request_id) in instance.state.calls:
            self.record(instance, now, CallAnswered(RequestId(request_id), event))
            self.consider(instance)

    def grant_locks(self, holder: InstanceId, section: SectionId) -> None:
        """All entities of a critical section are locked."""
        instance = self.instances.get(holder)
        if instance is not None and section in instance.state.ungranted:
            now = self.clock.stamp()
            self.record(instance, now, LocksGranted(section, history.lock_granted(now, section)))
            self.consider(instance)

    def wants_locks(self, holder: InstanceId, section: SectionId) -> bool:
        """Whether an orchestration goes on in a critical section, or waits for it."""
        instance = self.instances.get(holder)
        if instance is None or instance.state.status.is_terminal:
            return False
        return section in instance.state.sections

    # --- Inside ---------------------------------------------------------------------------------------

    def record(self, instance: Instance, now: datetime, entry: Entry) -> None:
        """Record what has happened to an orchestration."""
        self.rig.journal.append(now, (instance.stream, entry))
        instance.state = advance(instance.state, entry, now)

    def consider(self, instance: Instance) -> None:
        """Queue a turn if the orchestration has to be told something, and no worker has it."""
        is_wanted = instance.state.wants_turn and not instance.is_held and not instance.is_gone
        if is_wanted and instance.turn is None and not self.gathering.hold(instance):
            self._queue_turn(instance)

    def _queue_turn(self, instance: Instance) -> None:
        instance.turn = TurnItem(instance, self.clock, self._give_up_turn)
        self.dispatcher.put(instance.turn)
        self.gathering.end(instance)

    def _leave(self, instance: Instance) -> None:
        instance.is_gone = True
        self._drop_turn(instance)
        self._cancel_timers(instance)

    def _drop_turn(self, instance: Instance) -> None:
        self.gathering.end(instance)
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

    def _workers_changed(self) -> None:
        self.waiters.workers_changed(self.dispatcher.has_workers)

    def stop(self) -> None:
        """End every stream and wait, and drop every timer."""
        self.is_stopped = True
        self.dispatcher.close()
        self.waiters.close()
        for instance in self.instances:
            self._cancel_timers(instance)
            self.gathering.end(instance)
        self.entities.stop()
