"""Whatever the order of answers, abandons, lost workers and restarts: nothing is lost, and nothing counts twice."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.durabletask.earlier import earlier_execution
from steprig.durabletask.pb import pb
from steprig.durabletask.records import ORCHESTRATION, ActivityEnded
from steprig.durabletask.wire import events_in
from steprig.kernel import MemoryJournal

from .simulated import Simulation, activity, check_folds, end, simulate

MOVES = ("take", "answer", "abandon", "connect", "disconnect", "event", "settle", "late", "restart")


class World:
    """A fan-out and a stream of events, under a hostile order of things."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.held: list[tuple[object, pb.WorkItem]] = []
        self.lost: list[pb.WorkItem] = []
        self.answered: list[int] = []
        self.sent: list[str] = []

    def begin(self, sim: Simulation) -> None:
        if sim.engine.instances.get("one") is None:
            sim.start("one")
        sim.connect()

    async def move(self, sim: Simulation, name: str, which: int) -> None:
        if name == "connect" and len(sim.streams) < 3:
            sim.connect()
        elif name == "disconnect" and sim.streams:
            stream = sim.streams[which % len(sim.streams)]
            sim.disconnect(stream)
            self.lost += [item for holder, item in self.held if holder is stream]
            self.held = [pair for pair in self.held if pair[0] is not stream]
        elif name == "take" and sim.streams:
            stream = sim.streams[which % len(sim.streams)]
            item = sim.take(stream)
            if item is not None:
                self.held.append((stream, item))
        elif name == "answer" and self.held:
            _, item = self.held.pop(which % len(self.held))
            self.answer(sim, item)
        elif name == "abandon" and self.held:
            _, item = self.held.pop(which % len(self.held))
            sim.engine.dispatcher.abandon(item.completionToken)
        elif name == "late" and self.lost:
            self.answer(sim, self.lost.pop(which % len(self.lost)))
        elif name == "event":
            self.sent.append(f"e{len(self.sent)}")
            sim.clients.raise_event(pb.RaiseEventRequest(instanceId="one", name=self.sent[-1]))
        elif name == "settle":
            await asyncio.sleep(0.001)
        check_folds(sim.engine)

    def answer(self, sim: Simulation, item: pb.WorkItem) -> None:
        if item.HasField("orchestratorRequest"):
            is_first = not item.orchestratorRequest.pastEvents
            sim.answer(item, *([activity(n) for n in range(1, self.tasks + 1)] if is_first else []))
        else:
            sim.finish(item, str(item.activityRequest.taskId))

    async def drain(self, sim: Simulation) -> None:
        """Let an honest worker finish everything."""
        for stream in list(sim.streams):
            sim.disconnect(stream)
        worker = sim.connect()
        state = None
        for _ in range(2000):
            while (item := sim.take(worker)) is not None:
                self.answer(sim, item)
            for resting in list(sim.engine.dispatcher._resting):
                sim.engine.dispatcher._wake_up(resting)
            instance = sim.engine.instances.get("one")
            assert instance is not None
            state = instance.state
            if state.history and not (state.activities or state.inbox or state.owes_turn):
                break
            await asyncio.sleep(0.001)
        assert state is not None
        check_folds(sim.engine)
        self.check(state.history)

    def check(self, history: tuple[bytes, ...]) -> None:
        events = [event for piece in history for event in events_in(piece)]
        results = [e.taskCompleted.taskScheduledId for e in events if e.HasField("taskCompleted")]
        assert sorted(results) == list(range(1, self.tasks + 1))
        assert [e.eventRaised.name for e in events if e.HasField("eventRaised")] == self.sent
        assert sum(e.HasField("executionStarted") for e in events) == 1
        assert sum(e.HasField("taskScheduled") for e in events) == self.tasks


def play(world: World, moves: list[tuple[str, int]]) -> MemoryJournal:
    """Make the moves, a restart between lives, and have an honest worker end what is left. Returns the journal."""
    journal = MemoryJournal()
    parts: list[list[tuple[str, int]]] = [[]]
    for name, which in moves:
        if name == "restart":
            parts.append([])
        else:
            parts[-1].append((name, which))

    for index, part in enumerate(parts):
        last = index == len(parts) - 1

        async def live(sim, part=part, is_last=last):
            world.lost += [item for _, item in world.held]
            world.held.clear()
            world.begin(sim)
            for name, which in part:
                await world.move(sim, name, which)
            if is_last:
                await world.drain(sim)

        simulate(live, journal)
    return journal


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 6), st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 5)), max_size=60))
def test_nothing_is_lost_or_counted_twice(tasks, moves):
    journal = play(World(tasks), moves)

    ended = [
        record.entry.occurrence
        for stream in journal.streams(ORCHESTRATION)
        for record in journal.read(stream)
        if isinstance(record.entry, ActivityEnded)
    ]
    assert sorted(ended) == list(range(tasks))


def test_a_restart_after_each_append_resumes():
    """Whatever was recorded last, the orchestration comes to its end."""

    def whole(sim):
        sim.start("one")
        worker = sim.connect()
        sim.answer(sim.take(worker), activity(1), activity(2))
        first, second = sim.take(worker), sim.take(worker)
        sim.finish(second, "2")
        sim.finish(first, "1")
        sim.answer(sim.take(worker), end())

    full = simulate(whole)
    records = [record for stream in full.streams(ORCHESTRATION) for record in full.read(stream)]
    for length in range(1, len(records) + 1):
        if length < len(records) and records[length].at == records[length - 1].at:
            continue  # what is recorded in one append is there as a whole
        journal = MemoryJournal()
        for record in records[:length]:
            journal.append(record.at, (record.stream, record.entry))

        def go_on(sim):
            worker = sim.connect()
            while (item := sim.take(worker)) is not None:
                if item.HasField("activityRequest"):
                    sim.finish(item, str(item.activityRequest.taskId))
                    continue
                request = item.orchestratorRequest
                events = [*request.pastEvents, *request.newEvents]
                results = sum(event.HasField("taskCompleted") for event in events)
                if not request.pastEvents:
                    sim.answer(item, activity(1), activity(2))
                else:
                    sim.answer(item, *([end()] if results == 2 else []))
            state = sim.engine.instances.get("one").state
            assert state.status.name == "COMPLETED"
            check_folds(sim.engine)

        simulate(go_on, journal)


def test_an_execution_that_has_continued_is_found():
    def body(sim):
        sim.start("one")
        worker = sim.connect()
        first = sim.engine.instances.get("one").state.execution_id
        action = end("2")
        action.completeOrchestration.orchestrationStatus = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
        sim.answer(sim.take(worker), action)
        found = earlier_execution(sim.engine.rig.journal, "one", first)
        assert found is not None
        assert found.execution_id == first
        assert earlier_execution(sim.engine.rig.journal, "one", "never") is None

    simulate(body)
