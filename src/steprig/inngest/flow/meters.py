"""How far each rate limit and each throttle is used up: a fold over the marks that runs and held events carry."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from steprig.inngest.expressions import ExpressionError
from steprig.inngest.flow.policy import Fields, Limited
from steprig.inngest.flow.rates import Horizons
from steprig.inngest.functions import Slug


class Mark(NamedTuple):
    """How far a meter is used up by an event."""

    meter: Literal["rate", "throttle"]
    place: tuple[str, ...]
    """The function and the key."""
    horizon: datetime
    """See `Rate`."""


class Meters:
    """Says what is within its rate, and when."""

    def __init__(self) -> None:
        self._horizons = {"rate": Horizons(), "throttle": Horizons()}

    def rate_limited(self, limit: Limited | None, slug: Slug, fields: Fields, now: datetime) -> Mark | bool:
        """The mark of an event that may start a function, True where none is needed, False where it may not."""
        if limit is None:
            return True
        try:
            key = limit.key.of(fields, now)
        except ExpressionError:
            return False  # as on the real server: an event whose key has no value is dropped
        if key is None:
            return True
        horizon = self._horizons["rate"].get((slug, key))
        if limit.rate.allows_at(horizon, now) > now:
            return False
        return self._mark("rate", (slug, key), limit.rate.after_one(horizon, now), now)

    def throttled(self, limit: Limited, slug: Slug, fields: Fields, now: datetime) -> tuple[Mark, datetime]:
        """The mark of a run, and when it may start."""
        place = (slug, limit.key.of_any(fields, now))
        horizon = self._horizons["throttle"].get(place)
        mark = self._mark("throttle", place, limit.rate.after_one(horizon, now), now)
        return mark, limit.rate.allows_at(horizon, now)

    def restore(self, marks: Iterable[Mark], now: datetime) -> None:
        """Take in what was recorded before."""
        for mark in marks:
            if mark.horizon > now:
                self._horizons[mark.meter].put(mark.place, mark.horizon, now)

    def _mark(
        self, meter: Literal["rate", "throttle"], place: tuple[str, ...], horizon: datetime, now: datetime
    ) -> Mark:
        self._horizons[meter].put(place, horizon, now)
        return Mark(meter, place, horizon)
