"""Forgetting what a journal holds while no backend runs on it."""

from datetime import datetime

from steprig.durabletask.records import ENTITY, ORCHESTRATION, EntityForgotten, InstanceForgotten
from steprig.kernel import Journal


def forget_all(journal: Journal, now: datetime) -> None:
    """Record that every orchestration and every entity is gone."""
    journal.append(
        now,
        *((stream, InstanceForgotten("reset")) for stream in journal.streams(ORCHESTRATION, going_on=True)),
        *((stream, EntityForgotten("reset")) for stream in journal.streams(ENTITY, going_on=True)),
    )
