"""How often something may happen: the generic cell rate algorithm, which needs one time for each key."""

from datetime import datetime, timedelta
from typing import NamedTuple


class Rate(NamedTuple):
    """So many at once, then one for each interval.

    The state of a key is its horizon: the time at which the bucket would be full again. None stands for a full one.
    """

    capacity: int
    interval: timedelta

    def allows_at(self, horizon: datetime | None, now: datetime) -> datetime:
        """The first time, `now` or later, at which one more may happen."""
        if horizon is None:
            return now
        return max(now, horizon - self.interval * (self.capacity - 1))

    def after_one(self, horizon: datetime | None, now: datetime) -> datetime:
        """The horizon after one more has happened, or was given its place in the row."""
        return max(horizon or now, now) + self.interval


def throttle_rate(limit: int, period: timedelta, burst: int) -> Rate:
    """Of `throttle`: the burst comes on top of the limit."""
    return Rate(limit + burst, period / limit)


def rate_limit_rate(limit: int, period: timedelta) -> Rate:
    """Of `rateLimit`: one, and a tenth of the limit more, at once."""
    return Rate(1 + limit // 10, period / limit)


class Horizons:
    """The horizon of each key, forgotten when it has passed."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, ...], datetime] = {}
        self._sweep_at = 1024

    def get(self, key: tuple[str, ...]) -> datetime | None:
        """The horizon of a key."""
        return self._by_key.get(key)

    def put(self, key: tuple[str, ...], horizon: datetime, now: datetime) -> None:
        """Move a key's horizon."""
        self._by_key[key] = horizon
        if len(self._by_key) >= self._sweep_at:
            self._by_key = {known: at for known, at in self._by_key.items() if at > now}
            self._sweep_at = max(1024, 2 * len(self._by_key))
