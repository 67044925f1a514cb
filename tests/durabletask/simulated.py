"""An engine without a network: the rig, the dispatcher and the engine as they are, and workers made of calls."""

import asyncio
from collections.abc import Callable
from typing import Any

from steprig.durabletask import entity_state, state
from steprig.durabletask.engine import Engine
from steprig.durabletask.pb import pb
from steprig.durabletask.records import ENTITY, ORCHESTRATION
from steprig.durabletask.resuming import resume
from steprig.durabletask.rpc_instances import InstanceRpcs
from steprig.durabletask.streams import Outlet, WorkerStream
from steprig.kernel import Journal, MemoryJournal, Rig, VirtualClock


class _Platform:
    engine: Engine

    async def start(self, rig: Rig) -> None:
        self.engine = Engine(rig, max_history_size=10_000, lease_grace=0.0)
        resume(self.engine)

    async def stop(self) -> None:
        self.engine.stop()


class _ByHand:
    """The outlet of a worker that takes items itself."""

    is_ready = False

    def send(self, message: bytes) -> None:
        raise AssertionError("it is not ready")

    def end(self) -> None:
        pass


class Keeping:
    """The outlet of a worker that takes whatever it is sent."""

    def __init__(self) -> None:
        self.is_ready = True
        self.items: list[pb.WorkItem] = []

    def send(self, message: bytes) -> None:
        self.items.append(pb.WorkItem.FromString(message))

    def end(self) -> None:
        pass


class Simulation:
    """What a test does with an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clients = InstanceRpcs(engine)
        self.streams: list[WorkerStream] = []

    def connect(self, outlet: Outlet | None = None, **request: Any) -> WorkerStream:
        stream = self.engine.dispatcher.connect(pb.GetWorkItemsRequest(**request), outlet or _ByHand())
        self.streams.append(stream)
        return stream

    def disconnect(self, stream: WorkerStream) -> None:
        self.streams.remove(stream)
        self.engine.dispatcher.disconnect(stream)

    def take(self, stream: WorkerStream) -> pb.WorkItem | None:
        encoded = self.engine.dispatcher.take(stream)
        return None if encoded is None else pb.WorkItem.FromString(encoded)

    def start(self, instance_id: str, **request: Any) -> None:
        self.clients.start_instance(pb.CreateInstanceRequest(instanceId=instance_id, name="any", **request))

    def answer(self, item: pb.WorkItem, *actions: pb.OrchestratorAction) -> None:
        self.engine.complete_turn(pb.OrchestratorResponse(completionToken=item.completionToken, actions=actions))

    def finish(self, item: pb.WorkItem, result: str) -> None:
        response = pb.ActivityResponse(completionToken=item.completionToken)
        response.result.value = result
        self.engine.activities.complete(response)


async def comes_true(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it is about tells nobody
            await asyncio.sleep(0)


async def grace_passes(sim: Simulation) -> None:
    """Wait until nothing is kept for workers any more that are gone."""
    await comes_true(lambda: not sim.engine.dispatcher._later)


def simulate(body: Callable[[Simulation], Any], journal: Journal | None = None) -> Journal:
    """Run `body`, which may be a coroutine function, on an engine; returns the journal."""
    journal = journal if journal is not None else MemoryJournal()

    async def run() -> None:
        platform = _Platform()
        with VirtualClock() as clock:
            async with Rig(platform, clock=clock, journal=journal):
                done = body(Simulation(platform.engine))
                if done is not None:
                    await done

    asyncio.run(run())
    return journal


def check_folds(engine: Engine) -> None:
    """The state that the engine has is the one that the journal's records give."""
    journal = engine.rig.journal
    for kind, fold, live in (
        (ORCHESTRATION, state.fold, {one.stream: one.state for one in engine.instances}),
        (ENTITY, entity_state.fold, {one.stream: one.state for one in engine.entities}),
    ):
        going_on = journal.streams(kind, going_on=True)
        assert set(going_on) == set(live)
        for stream in going_on:
            folded: Any = None
            for record in journal.read(stream):
                folded = fold(folded, record.entry, record.at)
            assert folded == live[stream]


def activity(task_id: int) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=task_id, scheduleTask=pb.ScheduleTaskAction(name="do"))


def end(result: str = "1") -> pb.OrchestratorAction:
    action = pb.OrchestratorAction(id=99)
    action.completeOrchestration.orchestrationStatus = pb.ORCHESTRATION_STATUS_COMPLETED
    action.completeOrchestration.result.value = result
    return action
