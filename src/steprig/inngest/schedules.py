"""Cron triggers on the clock."""

from collections.abc import Callable
from datetime import datetime

from steprig.inngest.apps import Apps
from steprig.inngest.cron import parse_cron
from steprig.inngest.functions import Slug
from steprig.kernel import Rig, Timer, TimerKind

Fire = Callable[[Slug, str, datetime], None]
"""Told of a tick: the function, the cron expression, and the time of the schedule."""


class Schedules:
    """Keeps one timer for each cron trigger of each registered function.

    The timers are of the background kind: a virtual clock passes ticks in their order, but does not run away
    along them.

    Args:
        rig: Gives the clock.
        apps: Says which triggers there are.
        fire: Starts a function.
    """

    def __init__(self, rig: Rig, apps: Apps, fire: Fire) -> None:
        self._rig = rig
        self._apps = apps
        self._fire = fire
        self._timers: dict[tuple[Slug, str], Timer] = {}

    def refresh(self) -> None:
        """Set timers for triggers that are new and cancel those of triggers that are gone."""
        wanted = {
            (function.id, trigger.cron)
            for app in self._apps
            for function in app.functions
            for trigger in function.triggers
            if trigger.cron is not None
        }
        for key in self._timers.keys() - wanted:
            self._timers.pop(key).cancel()
        for key in wanted - self._timers.keys():
            self._set(*key)

    def stop(self) -> None:
        """Cancel every timer."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _set(self, slug: Slug, cron: str) -> None:
        at = parse_cron(cron).next_after(self._rig.clock.now())

        def tick() -> None:
            self._set(slug, cron)
            self._fire(slug, cron, at)

        label = f"cron {cron!r} of {slug}"
        self._timers[slug, cron] = self._rig.call_at(at, tick, kind=TimerKind.BACKGROUND, label=label)
