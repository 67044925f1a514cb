"""What one execution of an orchestration has begun does not concern the next."""

from steprig.durabletask.pb import Timestamp, pb
from steprig.durabletask.records import ContinuedAsNew

from .simulated import Simulation, activity, end, simulate


def child(task_id: int, instance_id: str) -> pb.OrchestratorAction:
    asked = pb.CreateSubOrchestrationAction(instanceId=instance_id, name="child")
    return pb.OrchestratorAction(id=task_id, createSubOrchestration=asked)


def again() -> pb.OrchestratorAction:
    action = pb.OrchestratorAction(id=99)
    action.completeOrchestration.orchestrationStatus = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
    return action


def test_the_end_of_a_child_is_not_told_to_the_next_generation():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("parent")
        sim.answer(sim.take(worker), child(1, "child"), again())
        items = [sim.take(worker), sim.take(worker)]
        turns = {item.orchestratorRequest.instanceId: item for item in items}
        sim.answer(turns["parent"])
        sim.answer(turns["child"], end())

        assert sim.take(worker) is None

    simulate(body)


def test_the_end_of_a_child_is_told_to_the_generation_that_waits():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("parent")
        sim.answer(sim.take(worker), child(1, "child"))
        sim.answer(sim.take(worker), end("7"))

        told = sim.take(worker).orchestratorRequest.newEvents[-1].subOrchestrationInstanceCompleted
        assert (told.taskScheduledId, told.result.value) == (1, "7")

    simulate(body)


def test_timers_end_with_their_generation():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("one")
        timer = pb.OrchestratorAction(id=1, createTimer=pb.CreateTimerAction(fireAt=Timestamp(seconds=4_000_000_000)))
        sim.answer(sim.take(worker), timer)
        assert len(sim.engine.clock.pending) == 1
        sim.clients.raise_event(pb.RaiseEventRequest(instanceId="one", name="go"))

        sim.answer(sim.take(worker), again())

        assert not sim.engine.clock.pending

    simulate(body)


def test_nothing_is_recorded_of_an_execution_that_has_ended_so():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("one")
        stream = sim.engine.instances.get("one").stream
        sim.answer(sim.take(worker), activity(1), again())
        items = [sim.take(worker), sim.take(worker)]
        (late,) = [item for item in items if item.HasField("activityRequest")]
        sim.finish(late, "1")

        assert isinstance(sim.engine.rig.journal.read(stream)[-1].entry, ContinuedAsNew)

    simulate(body)
