"""Going on with what was under way when a journal was left, by a backend that was stopped or killed."""

from steprig.durabletask import entity_state, state
from steprig.durabletask.engine import Engine
from steprig.durabletask.entity_batches import Entity
from steprig.durabletask.instances import Instance
from steprig.durabletask.records import ENTITY, ORCHESTRATION


def resume(engine: Engine) -> None:
    """Read what the journal holds, then see to all that is to come: work that was leased is queued again."""
    with engine.clock.working("what was under way"):  # or time would jump to the first of the timers
        instances = _instances(engine)
        entities = _entities(engine)
        for instance in instances:
            engine.attend_start(instance)
            engine.go_on(instance)
            engine.consider(instance)
        for entity in entities:
            engine.entities.consider(entity)


def _instances(engine: Engine) -> list[Instance]:
    found: list[Instance] = []
    journal = engine.rig.journal
    for stream in journal.streams(ORCHESTRATION, going_on=True):
        folded: state.InstanceState | None = None
        for record in journal.read(stream):
            folded = state.fold(folded, record.entry, record.at)
        if folded is not None:
            found.append(Instance(stream, folded))
            engine.instances.add(found[-1])
    return found


def _entities(engine: Engine) -> list[Entity]:
    found: list[Entity] = []
    journal = engine.rig.journal
    for stream in journal.streams(ENTITY, going_on=True):
        folded: entity_state.EntityState | None = None
        records = journal.read(stream)
        for record in records:
            folded = entity_state.fold(folded, record.entry, record.at)
        if folded is not None:
            entity = Entity(stream, folded)
            entity.records = len(records)
            found.append(entity)
            engine.entities.add(entity)
    return found
