"""Tells an orchestration the results of its activities together, where they come one after the other.

A worker begins every turn at the beginning, so that a turn for each few of a thousand results costs it more than all
else. A turn that would tell nothing but such results is held back while activities of the orchestration still run and
results keep coming.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from steprig.durabletask.instances import Instance
from steprig.kernel import Rig, Work

LONGEST = 3.0
"""Real seconds that a turn is held back at most."""

_WORTH = 100.0
"""How many times the time of the last turn it is held back at most: one that costs little need not wait long."""

_QUIET = 0.5
"""What part of the time of the last turn has to pass without a result, to hold the next one back no longer."""


@dataclass(slots=True)
class _Held:
    work: Work
    end: float
    """By the loop's clock."""
    seen: int = 0
    """How many results there were when it was looked last."""
    timer: asyncio.TimerHandle | None = None


class Gathering:
    """Holds turns back. A part of the engine.

    Args:
        rig: Where it runs. Its clock stands still while a turn is held back.
        go_on: Queues the turn.
    """

    def __init__(self, rig: Rig, go_on: Callable[[Instance], None]) -> None:
        self._rig = rig
        self._go_on = go_on
        self._held: dict[Instance, _Held] = {}

    def hold(self, instance: Instance) -> bool:
        """Hold the next turn back if that is worth it. Whether it is held back."""
        quiet = instance.turn_seconds * _QUIET
        if not quiet or not instance.running or not _tells_results_alone(instance):
            return False
        if instance not in self._held:
            work = self._rig.clock.working(f"results for {instance.state.name} ({instance.state.instance_id})")
            longest = min(LONGEST, instance.turn_seconds * _WORTH)
            self._held[instance] = _Held(work, self._rig.loop.time() + longest)
            self._look_later(instance, quiet)
        return True

    def end(self, instance: Instance) -> None:
        """Hold the turn back no longer."""
        if (held := self._held.pop(instance, None)) is not None:
            assert held.timer is not None, "set as it is held"
            held.timer.cancel()
            held.work.done()

    def _look_later(self, instance: Instance, quiet: float) -> None:
        held = self._held[instance]
        held.seen = instance.results
        seconds = min(quiet, held.end - self._rig.loop.time())
        held.timer = self._rig.loop.call_later(seconds, self._look, instance, quiet)

    def _look(self, instance: Instance, quiet: float) -> None:
        held = self._held[instance]
        if instance.results > held.seen and self._rig.loop.time() < held.end:
            self._look_later(instance, quiet)
        else:
            self._go_on(instance)


def _tells_results_alone(instance: Instance) -> bool:
    """One that was rewound has to run again, whatever it is told."""
    return len(instance.state.inbox) == instance.results and not instance.state.owes_turn
