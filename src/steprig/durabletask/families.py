"""Orchestrations and the sub-orchestrations that they wait for."""

from typing import TYPE_CHECKING

from steprig.durabletask import history
from steprig.durabletask.creating import child_of
from steprig.durabletask.instances import Instance
from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import pb
from steprig.durabletask.records import Child, ChildEnded, RewindRequested
from steprig.durabletask.rewinding import OpenTasks
from steprig.durabletask.state import InstanceState
from steprig.durabletask.wire import events_in

if TYPE_CHECKING:
    from steprig.durabletask.engine import Engine


class Families:
    """Begins children, and tells parents of their end. A part of the engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def begin_child(self, parent: Instance, child: Child, action: pb.CreateSubOrchestrationAction) -> None:
        """Begin a sub-orchestration; its parent is told if that cannot be."""
        new = child_of(parent.state, child.task_id, action)
        old = self._engine.instances.get(new.instance_id)
        problem = None
        if new.instance_id.startswith("@"):
            problem = f"the instance id '{new.instance_id}' begins with '@', as only those of entities do"
        elif old is not None and not old.state.status.is_terminal:
            problem = f"there is an orchestration with instance id '{new.instance_id}' already, and it goes on"
        if problem is None:
            self._engine.create(new)
        else:
            self._child_ended(parent, child, history.failure("InstanceAlreadyExistsError", problem))

    def tell_parent(self, instance: Instance) -> None:
        """An orchestration is over: whoever waits for it is told, with its failure whole."""
        state = instance.state
        parent = None if state.parent is None else self._engine.instances.get(state.parent.instance_id)
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
        now = self._engine.clock.stamp()
        if failure is None:
            event = history.child_completed(now, child.task_id, output)
        elif state.status.is_terminal:
            event = b""  # should the parent be rewound, so is the child
        else:
            event = history.child_failed(now, child.task_id, failure)
        self._engine.record(parent, now, ChildEnded(child.task_id, event))
        self._engine.consider(parent)

    def rewind_children(self, parent: Instance) -> None:
        """Go back in the sub-orchestrations that have failed, and begin those anew that are gone."""
        left = OpenTasks(event for piece in parent.state.history for event in events_in(piece))
        for task_id in parent.state.children:
            made = left.children[task_id]
            child = self._engine.instances.get(made.instanceId)
            if child is None:
                self._engine.create(child_of(parent.state, task_id, made))
            elif child.state.status is OrchestrationStatus.FAILED:
                self.rewind(child, None, parent.state)
            elif child.state.status.is_terminal:
                self.tell_parent(child)

    def rewind(self, instance: Instance, reason: str | None, parent: InstanceState | None = None) -> None:
        """Have a failed orchestration go back to where it failed."""
        now = self._engine.clock.stamp()
        event = history.execution_rewound(now, reason, None if parent is None else parent.execution_id)
        self._engine.record(instance, now, RewindRequested(event))
        self._engine.waiters.changed(instance.state)
        self._engine.consider(instance)
