"""How far each rate limit is used up: a fold over the marks that runs and held events carry."""

from datetime import datetime
from typing import NamedTuple

from steprig.inngest.expressions import ExpressionError
from steprig.inngest.flow.policy import Fields, Limited
from steprig.inngest.flow.rates import Horizons
from steprig.inngest.functions import Slug


class Mark(NamedTuple):
    """How far a rate limit is used up by an event."""

    place: tuple[str, ...]
    """The function and the key."""
    horizon: datetime
    """See `Rate`."""


class RateLimits:
    """Says which events are within their rate."""

    def __init__(self) -> None:
        self._horizons = Horizons()

    def take(self, limit: Limited | None, slug: Slug, fields: Fields, now: datetime) -> tuple[bool, Mark | None]:
        """Whether an event may start a function, and its mark where it counts."""
        if limit is None:
            return True, None
        try:
            key = limit.key.of(fields, now)
        except ExpressionError:
            return False, None  # as on the real server: an event whose key has no value is dropped
        if key is None:
            return True, None
        horizon = self._horizons.get((slug, key))
        if limit.rate.allows_at(horizon, now) > now:
            return False, None
        mark = Mark((slug, key), limit.rate.after_one(horizon, now))
        self._horizons.put(mark.place, mark.horizon, now)
        return True, mark

    def restore(self, mark: Mark | None, now: datetime) -> None:
        """Take in what was recorded before."""
        if mark is not None and mark.horizon > now:
            self._horizons.put(mark.place, mark.horizon, now)
