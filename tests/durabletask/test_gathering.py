"""Whatever is done to an orchestration whose turn is held back: that turn is neither lost nor queued twice."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.durabletask import gathering
from steprig.durabletask.instances import Instance, TurnItem
from steprig.durabletask.pb import pb
from steprig.durabletask.wire import events_in

from .simulated import Simulation, activity, check_folds, end, simulate
from .test_interleavings import World, play

LABEL = "results for any (one)"


def one(sim: Simulation) -> Instance:
    instance = sim.engine.instances.get("one")
    assert instance is not None
    return instance


def is_held(sim: Simulation) -> bool:
    return LABEL in sim.engine.clock.in_flight


def check_turn(sim: Simulation) -> None:
    """An orchestration that has to be told something has one turn, which is queued, leased, or held back."""
    instance = one(sim)
    wanted = instance.state.wants_turn
    assert (instance.turn is not None) + is_held(sim) == wanted
    turns = [item for item in sim.engine.dispatcher._all() if isinstance(item, TurnItem) and not item.is_over]
    assert {*turns} == ({instance.turn} if instance.turn is not None else set())


def rewound(item: pb.WorkItem) -> pb.OrchestratorAction:
    """What a worker answers that is told of a rewind: the history without its end."""
    kept = [event for event in item.orchestratorRequest.pastEvents if not event.HasField("executionCompleted")]
    return pb.OrchestratorAction(id=1, rewindOrchestration=pb.RewindOrchestrationAction(newHistory=kept))


def is_told_of_rewind(item: pb.WorkItem) -> bool:
    return any(event.HasField("executionRewound") for event in item.orchestratorRequest.newEvents)


def ending(status: int) -> pb.OrchestratorAction:
    action = end()
    action.completeOrchestration.orchestrationStatus = status
    return action


class Tried(World):
    """A fan-out on which clients and workers try everything."""

    may_lose_events = False
    """An event that comes as an execution ends is told to none."""

    def begin(self, sim: Simulation) -> None:
        super().begin(sim)
        check_turn(sim)

    async def move(self, sim: Simulation, name: str, which: int) -> None:
        if name in TRIALS:
            TRIALS[name](self, sim)
            check_folds(sim.engine)
        else:
            await super().move(sim, name, which)
        check_turn(sim)

    def event(self, sim: Simulation) -> None:
        if not one(sim).state.status.is_terminal:
            self.sent.append(f"e{len(self.sent)}")
            sim.clients.raise_event(pb.RaiseEventRequest(instanceId="one", name=self.sent[-1]))

    def suspend(self, sim: Simulation) -> None:
        sim.clients.suspend_instance(pb.SuspendRequest(instanceId="one"))

    def resume(self, sim: Simulation) -> None:
        sim.clients.resume_instance(pb.ResumeRequest(instanceId="one"))

    def rewind(self, sim: Simulation) -> None:
        if one(sim).state.status.name == "FAILED":
            sim.clients.rewind_instance(pb.RewindInstanceRequest(instanceId="one"))

    def terminate(self, sim: Simulation) -> None:
        sim.clients.terminate_instance(pb.TerminateRequest(instanceId="one"))

    def replace(self, sim: Simulation) -> None:
        any_status = pb.OrchestrationIdReusePolicy(replaceableStatus=pb.OrchestrationStatus.values())
        sim.start("one", orchestrationIdReusePolicy=any_status)
        self.sent = []

    def reset(self, sim: Simulation) -> None:
        sim.engine.reset()
        sim.start("one")
        self.sent = []

    def repeat(self, sim: Simulation) -> None:
        """A worker has lost the past."""
        for item in self.given_turns():
            sim.engine.complete_turn(
                pb.OrchestratorResponse(completionToken=item.completionToken, requiresHistory=True)
            )

    def fail(self, sim: Simulation) -> None:
        self.end_turns(sim, ending(pb.ORCHESTRATION_STATUS_FAILED))

    def continue_as_new(self, sim: Simulation) -> None:
        self.end_turns(sim, ending(pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW))

    def end_turns(self, sim: Simulation, action: pb.OrchestratorAction) -> None:
        for item in self.given_turns():
            sim.answer(item, rewound(item) if is_told_of_rewind(item) else action)
            self.may_lose_events = True

    def given_turns(self) -> list[pb.WorkItem]:
        """The turns that workers have: one, and those that count no more."""
        turns = [pair for pair in self.held if pair[1].HasField("orchestratorRequest")]
        self.held = [pair for pair in self.held if pair not in turns]
        return [item for _, item in turns]

    def answer(self, sim: Simulation, item: pb.WorkItem) -> None:
        request = item.orchestratorRequest
        if item.HasField("activityRequest"):
            sim.finish(item, str(item.activityRequest.taskId))
        elif is_told_of_rewind(item):
            sim.answer(item, rewound(item))
        elif any(event.HasField("taskScheduled") for event in request.pastEvents):
            sim.answer(item)
        else:
            sim.answer(item, *[activity(number) for number in range(1, self.tasks + 1)])

    async def drain(self, sim: Simulation) -> None:
        self.rewind(sim)
        self.resume(sim)
        if not one(sim).state.status.is_terminal:
            await super().drain(sim)
            assert not one(sim).state.wants_turn
            assert not is_held(sim)

    def check(self, history: tuple[bytes, ...]) -> None:
        told = [event for piece in history for event in events_in(piece)]
        results = [event.taskCompleted.taskScheduledId for event in told if event.HasField("taskCompleted")]
        assert sorted(results) == list(range(1, self.tasks + 1))
        names = [event.eventRaised.name for event in told if event.HasField("eventRaised")]
        assert names == [name for name in self.sent if name in names or not self.may_lose_events]


TRIALS: dict[str, Callable[[Tried, Simulation], None]] = {
    "event": Tried.event,
    "suspend": Tried.suspend,
    "resume": Tried.resume,
    "rewind": Tried.rewind,
    "terminate": Tried.terminate,
    "replace": Tried.replace,
    "reset": Tried.reset,
    "repeat": Tried.repeat,
    "fail": Tried.fail,
    "continue as new": Tried.continue_as_new,
}
WORK = ("take", "answer", "abandon", "connect", "disconnect", "settle", "late", "restart")


def begun(sim: Simulation, number: int) -> list[pb.WorkItem]:
    """Activities of an orchestration whose last turn took a second."""
    sim.start("one")
    worker = sim.connect()
    turn = sim.take(worker)
    assert turn is not None
    sim.answer(turn, *[activity(task_id) for task_id in range(1, number + 1)])
    one(sim).turn_seconds = 1.0
    return [item for _ in range(number) if (item := sim.take(worker)) is not None]


def pass_time(sim: Simulation, seconds: float) -> None:
    """Nothing else happens meanwhile."""
    end = sim.engine.rig.loop.time() + seconds
    while sim.engine.rig.loop.time() < end:
        pass


async def look(sim: Simulation) -> None:
    """Let the loop do what is due."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_turn_is_held_back_while_results_come_and_no_longer(monkeypatch):
    monkeypatch.setattr(gathering, "LONGEST", 3600.0)
    monkeypatch.setattr(gathering, "_QUIET", 0.005)

    async def body(sim: Simulation) -> None:
        activities = begun(sim, 4)
        sim.finish(activities[0], "1")
        for result in activities[1:3]:
            pass_time(sim, 0.01)
            sim.finish(result, "2")
            await look(sim)
            assert is_held(sim)
            assert one(sim).turn is None
        pass_time(sim, 0.01)
        await look(sim)

        assert not is_held(sim)
        assert one(sim).turn is not None

    simulate(body)


@pytest.mark.parametrize(
    ("longest", "turn_seconds", "quiet"),
    [(0.02, 1.0, 0.005), (3600.0, 0.0002, 5.0)],
    ids=["any", "one that costs little"],
)
def test_a_turn_is_held_back_no_longer_than_it_may_be_though_results_come(monkeypatch, longest, turn_seconds, quiet):
    monkeypatch.setattr(gathering, "LONGEST", longest)
    monkeypatch.setattr(gathering, "_QUIET", quiet)

    async def body(sim: Simulation) -> None:
        activities = begun(sim, 30)
        one(sim).turn_seconds = turn_seconds
        sim.finish(activities.pop(), "1")
        pass_time(sim, 0.03)
        while one(sim).turn is None:
            sim.finish(activities.pop(), "1")
            await asyncio.sleep(0)

        assert len(activities) > 20

    simulate(body)


def test_a_slow_turn_does_not_make_the_next_one_wait_for_long(monkeypatch):
    monkeypatch.setattr(gathering, "LONGEST", 0.005)

    async def body(sim: Simulation) -> None:
        activities = begun(sim, 2)
        one(sim).turn_seconds = 1e6
        sim.finish(activities[0], "1")
        pass_time(sim, 0.01)
        await look(sim)

        assert one(sim).turn is not None

    simulate(body)


def test_nobody_looks_for_results_of_a_turn_that_is_held_back_no_more(monkeypatch):
    monkeypatch.setattr(gathering, "_QUIET", 0.005)
    errors = []

    async def body(sim: Simulation) -> None:
        sim.engine.rig.loop.set_exception_handler(lambda _, context: errors.append(context))
        activities = begun(sim, 2)
        sim.finish(activities[0], "1")
        sim.clients.raise_event(pb.RaiseEventRequest(instanceId="one", name="go"))
        assert not is_held(sim)
        pass_time(sim, 0.01)
        await look(sim)

    simulate(body)
    assert errors == []


@pytest.mark.parametrize("quiet", [gathering._QUIET, 1e12], ids=["hasty", "patient"])
@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(("take", "answer") * 4 + WORK + (*TRIALS,)), st.integers(0, 5)), max_size=80),
)
def test_a_turn_is_neither_lost_nor_queued_twice(quiet, tasks, moves):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "_QUIET", quiet)
        patch.setattr(gathering, "LONGEST", 3600.0)
        play(Tried(tasks), moves)
