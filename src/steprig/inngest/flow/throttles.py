"""How often the runs of a function may start."""

from datetime import datetime
from typing import NamedTuple

from steprig.inngest.flow.rates import Horizons, Rate


class Throttle(NamedTuple):
    """What the start of a run falls under."""

    place: tuple[str, ...]
    """The function and the key."""
    rate: Rate


class Throttles:
    """How far each throttle is used up: a fold over the starts of runs."""

    def __init__(self) -> None:
        self._horizons = Horizons()

    def opens_at(self, throttle: Throttle, now: datetime) -> datetime:
        """When the next run may start."""
        return throttle.rate.allows_at(self._horizons.get(throttle.place), now)

    def is_open(self, throttle: Throttle, now: datetime) -> bool:
        """Whether a run may start now."""
        return self.opens_at(throttle, now) <= now

    def take(self, throttle: Throttle, now: datetime) -> None:
        """A run starts."""
        horizon = throttle.rate.after_one(self._horizons.get(throttle.place), now)
        self._horizons.put(throttle.place, horizon, now)
