"""Locks, waiters and turns, and what becomes of them when something else ends."""

from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import pb
from steprig.durabletask.records import InstanceId
from steprig.durabletask.waiters import Waiters
from steprig.durabletask.wire import string
from steprig.kernel import VirtualClock

from .simulated import Simulation, end, simulate


def lock(section: str, holder: str, *entities: str) -> pb.OrchestratorAction:
    asked = pb.EntityLockRequestedEvent(
        criticalSectionId=section, lockSet=entities, position=0, parentInstanceId=string(holder)
    )
    return pb.OrchestratorAction(id=1, sendEntityMessage=pb.SendEntityMessageAction(entityLockRequested=asked))


def granted(item: pb.WorkItem | None) -> str:
    assert item is not None
    return item.orchestratorRequest.newEvents[-1].entityLockGranted.criticalSectionId


def test_a_section_begins_when_all_its_entities_are_locked():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("one")
        sim.answer(sim.take(worker), lock("first", "one", "@e@b"))
        held = sim.take(worker)
        assert granted(held) == "first"
        sim.start("two")
        sim.answer(sim.take(worker), lock("second", "two", "@e@a", "@e@b"))
        assert sim.take(worker) is None

        sim.answer(held, end())

        assert granted(sim.take(worker)) == "second"

    simulate(body)


def test_who_is_terminated_while_it_waits_for_a_lock_never_gets_it():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        held = None
        for name in ("one", "two", "three"):
            sim.start(name)
            sim.answer(sim.take(worker), lock(f"of {name}", name, "@e@a"))
            held = held or sim.take(worker)
        sim.clients.terminate_instance(pb.TerminateRequest(instanceId="two"))

        sim.answer(held, end())

        assert granted(sim.take(worker)) == "of three"

    simulate(body)


def test_the_answer_to_a_turn_that_was_terminated_meanwhile_changes_nothing():
    def body(sim: Simulation) -> None:
        worker = sim.connect()
        sim.start("one")
        item = sim.take(worker)
        sim.clients.terminate_instance(pb.TerminateRequest(instanceId="one"))
        before = sim.engine.instances.get("one").state

        sim.answer(item, end('"late"'))

        assert before.status is OrchestrationStatus.TERMINATED
        assert sim.engine.instances.get("one").state is before

    simulate(body)


def test_a_waiter_is_told_once():
    told = []

    class Waiter:
        def told(self, state):
            told.append(state)

        def refused(self, problem):
            raise AssertionError(problem)

    def body(sim: Simulation) -> None:
        sim.start("one")
        state = sim.engine.instances.get("one").state
        with VirtualClock() as clock:
            waiters = Waiters(clock)
            waiters.add(InstanceId("one"), lambda state: True, Waiter())
            waiters.changed(state)
            waiters.changed(state)
            waiters.gone(InstanceId("one"))
            waiters.close()

        assert told == [state]

    simulate(body)


def test_who_waits_is_sent_away_at_the_end():
    refused = []

    class Waiter:
        def told(self, state):
            raise AssertionError(state)

        def refused(self, problem):
            refused.append(problem.code.name)

    with VirtualClock() as clock:
        waiters = Waiters(clock)
        waiters.add(InstanceId("one"), lambda state: True, Waiter())
        waiters.close()
        waiters.close()

    assert refused == ["UNAVAILABLE"]
