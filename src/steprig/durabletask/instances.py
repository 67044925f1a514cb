"""The orchestrations that there are, each with what goes with it while the backend runs."""

import time
from collections.abc import Callable, Iterable, Iterator

from steprig.durabletask import history
from steprig.durabletask.filters import Kind
from steprig.durabletask.pb import pb
from steprig.durabletask.records import InstanceId, SectionId
from steprig.durabletask.state import InstanceState
from steprig.durabletask.turns import Turn, cut, request, work_item
from steprig.durabletask.wire import string
from steprig.durabletask.work import Item
from steprig.kernel import Clock, Stream, Timer


class Instance:
    """One execution of an orchestration."""

    __slots__ = (
        "is_gone",
        "is_held",
        "results",
        "running",
        "state",
        "stream",
        "timers",
        "turn",
        "turn_seconds",
    )

    def __init__(self, stream: Stream, state: InstanceState) -> None:
        self.stream = stream
        self.state = state
        self.is_gone = False
        """True once it was forgotten, or another execution goes on in its place."""
        self.is_held = False
        """True until its time to start has come."""
        self.turn: TurnItem | None = None
        """The turn that is queued, or that a worker has."""
        self.running: dict[int, ActivityItem] = {}
        """The activities that are queued, or that workers have, by occurrence."""
        self.timers: dict[int, Timer] = {}
        self.results = 0
        """How many of the inbox, which no worker was told yet, are results of activities."""
        self.turn_seconds = 0.0
        """Real seconds that its last turn took."""


class TurnItem(Item):
    """A turn of an orchestration."""

    __slots__ = ("_clock", "_give_up", "actions", "began", "instance", "needs_history", "turn")

    def __init__(self, instance: Instance, clock: Clock, give_up: Callable[["TurnItem", str], None]) -> None:
        state = instance.state
        super().__init__((Kind.ORCHESTRATION, state.name, state.version))
        self.instance = instance
        self.turn: Turn | None = None
        """What the worker was told that has it."""
        self.began = 0.0
        """When that was, by `time.monotonic`."""
        self.actions: list[pb.OrchestratorAction] = []
        """What that worker has answered so far, where it does so in pieces."""
        self.needs_history = False
        """The worker has asked for the past."""
        self._clock = clock
        self._give_up = give_up

    @property
    def label(self) -> str:
        """See `Item.label`."""
        return f"turn of {self.instance.state.name} ({self.instance.state.instance_id})"

    def write(self, token: str, *, streams_history: bool) -> bytes | None:
        """See `Item.write`."""
        state = self.instance.state
        if self.instance.is_gone or not state.wants_turn:
            self.instance.turn = None
            return None
        self.actions = []
        self.instance.results = 0
        self.began = time.monotonic()
        self.turn = cut(state, history.orchestrator_started(self._clock.stamp()))
        return work_item(request(state, self.turn, streamed=streams_history and not self.needs_history), token)

    def give_up(self, reason: str) -> None:
        """See `Item.give_up`."""
        self._give_up(self, reason)


class ActivityItem(Item):
    """An activity to run."""

    __slots__ = ("_give_up", "_scheduled", "instance", "occurrence", "task_id")

    def __init__(
        self,
        instance: Instance,
        occurrence: int,
        event: pb.HistoryEvent,
        give_up: Callable[["ActivityItem", str], None],
    ) -> None:
        scheduled = event.taskScheduled
        version = scheduled.version.value if scheduled.HasField("version") else None
        super().__init__((Kind.ACTIVITY, scheduled.name, version))
        self.instance = instance
        self.occurrence = occurrence
        self.task_id = event.eventId
        self._scheduled = scheduled
        self._give_up = give_up

    @property
    def label(self) -> str:
        """See `Item.label`."""
        return f"activity {self._scheduled.name}"

    def write(self, token: str, *, streams_history: bool) -> bytes | None:
        """See `Item.write`."""
        state, scheduled = self.instance.state, self._scheduled
        request = pb.ActivityRequest(
            name=scheduled.name,
            version=scheduled.version if scheduled.HasField("version") else None,
            input=scheduled.input if scheduled.HasField("input") else None,
            orchestrationInstance=pb.OrchestrationInstance(
                instanceId=state.instance_id, executionId=string(state.execution_id)
            ),
            taskId=self.task_id,
            parentTraceContext=scheduled.parentTraceContext if scheduled.HasField("parentTraceContext") else None,
            tags=scheduled.tags or None,
        )
        item = pb.WorkItem(activityRequest=request, completionToken=token)
        return item.SerializeToString()  # type: ignore[no-any-return]

    def give_up(self, reason: str) -> None:
        """See `Item.give_up`."""
        self._give_up(self, reason)


class Instances:
    """The latest execution of each orchestration, by its id."""

    def __init__(self) -> None:
        self._by_id: dict[InstanceId, Instance] = {}
        self._children: dict[InstanceId, dict[InstanceId, None]] = {}

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._by_id.values())

    def get(self, instance_id: str) -> Instance | None:
        """The orchestration with this id."""
        return self._by_id.get(InstanceId(instance_id))

    def add(self, instance: Instance) -> None:
        """An orchestration exists, or another execution of it."""
        state = instance.state
        self._by_id[state.instance_id] = instance
        if state.parent is not None:
            self._children.setdefault(state.parent.instance_id, {})[state.instance_id] = None

    def remove(self, instance: Instance) -> None:
        """An orchestration is no more."""
        state = instance.state
        del self._by_id[state.instance_id]
        if state.parent is not None and (siblings := self._children.get(state.parent.instance_id)) is not None:
            siblings.pop(state.instance_id, None)
            if not siblings:
                del self._children[state.parent.instance_id]

    def with_descendants(self, instance: Instance) -> Iterable[Instance]:
        """An orchestration and all below it that exist, parents first."""
        found = {instance.state.instance_id: instance}
        waiting = [instance.state.instance_id]
        while waiting:
            for child_id in self._children.get(waiting.pop(0), ()):
                child = self._by_id.get(child_id)
                if child is not None and child_id not in found:
                    found[child_id] = child
                    waiting.append(child_id)
        return found.values()


def sections_of(state: InstanceState) -> list[tuple[SectionId, str]]:
    """Each lock that an orchestration has, or has asked for: the section, and the entity."""
    return [(section, entity) for section, entities in state.sections.items() for entity in entities]
