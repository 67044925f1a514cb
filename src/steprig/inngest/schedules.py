"""Cron triggers on the clock."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from steprig.inngest.apps import Apps
from steprig.inngest.cron import parse_cron
from steprig.inngest.durations import parse_duration
from steprig.inngest.functions import Slug
from steprig.kernel import Rig, Timer, TimerKind


class Tick(NamedTuple):
    """A function is due."""

    function: Slug
    cron: str
    scheduled_at: datetime
    """When the cron expression says."""
    fire_at: datetime
    """When the function is started: later by its jitter."""


Fire = Callable[[Tick], None]


class Schedules:
    """Keeps a schedule for each cron trigger of each registered function.

    The timers are of the background kind: a virtual clock passes ticks in their order, but does not run away
    along them.

    Args:
        rig: Gives the clock.
        apps: Says which triggers there are.
        fire: Starts a function.
        seed: Gives other jitter than another seed, and the same as the same one.
    """

    def __init__(self, rig: Rig, apps: Apps, fire: Fire, seed: int | None = None) -> None:
        self._rig = rig
        self._apps = apps
        self._fire = fire
        self._seed = seed
        self._schedules: dict[_Trigger, _Schedule] = {}

    def refresh(self) -> None:
        """Keep a schedule for triggers that are new, and none for those that are gone."""
        wanted = {
            _Trigger(function.id, trigger.cron, trigger.jitter)
            for app in self._apps
            for function in app.functions
            for trigger in function.triggers
            if trigger.cron is not None
        }
        for trigger in self._schedules.keys() - wanted:
            self._schedules.pop(trigger).stop()
        for trigger in wanted - self._schedules.keys():
            self._schedules[trigger] = _Schedule(self._rig, trigger, self._fire, self._seed)

    def stop(self) -> None:
        """Cancel every timer."""
        for schedule in self._schedules.values():
            schedule.stop()
        self._schedules.clear()


class _Trigger(NamedTuple):
    function: Slug
    cron: str
    jitter: str | None

    def late_by(self, scheduled_at: datetime, seed: int | None) -> timedelta:
        """How much later than scheduled it fires: whole seconds up to its jitter, the same for the same time."""
        if self.jitter is None:
            return timedelta()
        most = int(parse_duration(self.jitter).total_seconds())
        random = Random(f"{seed} {self.function} {self.cron} {scheduled_at.isoformat()}")
        return timedelta(seconds=random.randint(0, most))


class _Schedule:
    """The ticks of one trigger, which may come more often than the jitter of one is long."""

    def __init__(self, rig: Rig, trigger: _Trigger, fire: Fire, seed: int | None) -> None:
        self._rig = rig
        self._trigger = trigger
        self._fire = fire
        self._seed = seed
        self._cron = parse_cron(trigger.cron)
        self._timers: set[Timer] = set()
        self._wait_for_next()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _wait_for_next(self) -> None:
        at = self._cron.next_after(self._rig.clock.now())
        self._call_at(at, lambda: self._come_due(at))

    def _come_due(self, at: datetime) -> None:
        self._wait_for_next()
        tick = Tick(self._trigger.function, self._trigger.cron, at, at + self._trigger.late_by(at, self._seed))
        if tick.fire_at == at:
            self._fire(tick)
        else:
            self._call_at(tick.fire_at, lambda: self._fire(tick))

    def _call_at(self, when: datetime, then: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            then()

        label = f"cron {self._trigger.cron!r} of {self._trigger.function}"
        timer = self._rig.call_at(when, fire, kind=TimerKind.BACKGROUND, label=label)
        self._timers.add(timer)
