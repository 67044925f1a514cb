"""A function's flow control, read once when it registers."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from steprig.inngest.durations import parse_batch_duration, parse_duration
from steprig.inngest.expressions import Expression, ExpressionError, key_text, substitute
from steprig.inngest.flow.rates import Rate, rate_limit_rate, throttle_rate
from steprig.inngest.functions import Function
from steprig.inngest.limits import IDEMPOTENCY_WINDOW, MAX_PRIORITY

Fields = Mapping[str, Any]
"""An event, decoded."""


class Key(NamedTuple):
    """What tells apart things that are limited separately; one for all where there is no expression."""

    source: str | None = None

    def of(self, event: Fields, now: datetime) -> str | None:
        """The key of an event, None where its value is false.

        Raises:
            ExpressionError: The expression has no value for this event.
        """
        if self.source is None:
            return ""
        value = Expression.compile(self.source).evaluate(now=now, event=event)
        return None if value is False else key_text(value)

    def of_any(self, event: Fields, now: datetime) -> str:
        """As `of`, where a key that is false or has no value is one like any other."""
        try:
            return self.of(event, now) or ""
        except ExpressionError:
            return ""


class Slot(NamedTuple):
    """One of a function's concurrency limits."""

    limit: int
    key: Key
    scope: Literal["fn", "env", "account"]


class Limited(NamedTuple):
    """A rate, and what it counts separately."""

    rate: Rate
    key: Key


class Debounce(NamedTuple):
    """How long it has to be quiet, and how long at most it may take."""

    period: timedelta
    timeout: timedelta | None
    key: Key


class Batch(NamedTuple):
    """How many events make a run, and how long at most it waits for them."""

    size: int
    timeout: timedelta
    key: Key
    condition: str | None

    def takes(self, event: Fields, now: datetime) -> bool:
        """Whether an event is to be batched at all."""
        return self.condition is None or Expression.compile(self.condition).matches(now=now, event=event)


class Singleton(NamedTuple):
    """One run at a time."""

    mode: Literal["skip", "cancel"]
    key: Key


class CancelWhen(NamedTuple):
    """An event that cancels one run."""

    event: str
    condition: str | None
    until: datetime | None


class CancelOn(NamedTuple):
    """An event that cancels runs."""

    event: str
    condition: str | None
    timeout: timedelta | None

    def of_run(self, trigger: Fields, now: datetime) -> CancelWhen:
        """What it means for a run that `trigger` starts: its values are written into the condition."""
        condition = substitute(self.condition, trigger) if self.condition else None
        return CancelWhen(self.event, condition, None if self.timeout is None else now + self.timeout)


class Policy(NamedTuple):
    """All of a function's flow control."""

    slots: tuple[Slot, ...] = ()
    throttle: Limited | None = None
    rate_limit: Limited | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    singleton: Singleton | None = None
    priority: str | None = None
    cancel_on: tuple[CancelOn, ...] = ()
    start_timeout: timedelta | None = None
    finish_timeout: timedelta | None = None

    @property
    def is_open(self) -> bool:
        """Whether every event starts a run at once, with nothing to control."""
        return self == _OPEN

    def priority_of(self, event: Fields, now: datetime) -> int:
        """How many seconds earlier a run counts as queued; 0 where the expression gives no whole number."""
        if self.priority is None:
            return 0
        try:
            value = Expression.compile(self.priority).evaluate(now=now, event=event)
        except ExpressionError:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            return 0
        return max(-MAX_PRIORITY, min(MAX_PRIORITY, int(value)))


_OPEN = Policy()


def policy_of(function: Function) -> Policy:
    """Read a function's configuration, which registration has checked."""
    timeouts = function.timeouts
    return Policy(
        slots=_slots(function),
        throttle=_throttle(function),
        rate_limit=_rate_limit(function),
        debounce=_debounce(function),
        batch=_batch(function),
        singleton=Singleton(function.singleton.mode, _key(function.singleton.key)) if function.singleton else None,
        priority=(function.priority.run or None) if function.priority else None,
        cancel_on=tuple(
            CancelOn(cancel.event, cancel.condition or None, _duration(cancel.timeout))
            for cancel in function.cancel or ()
        ),
        start_timeout=_duration(timeouts.start) if timeouts else None,
        finish_timeout=_duration(timeouts.finish) if timeouts else None,
    )


def _slots(function: Function) -> tuple[Slot, ...]:
    return tuple(
        Slot(entry.limit, _key(entry.key), entry.scope) for entry in function.concurrency_limits if entry.limit > 0
    )


def _throttle(function: Function) -> Limited | None:
    if (throttle := function.throttle) is None:
        return None
    limit = max(1, throttle.limit)  # the real server reads 0 as 1
    return Limited(throttle_rate(limit, parse_duration(throttle.period), throttle.burst), _key(throttle.key))


def _rate_limit(function: Function) -> Limited | None:
    if function.idempotency:
        return Limited(rate_limit_rate(1, IDEMPOTENCY_WINDOW), _key(function.idempotency))
    if (limit := function.rate_limit) is None:
        return None
    return Limited(rate_limit_rate(limit.limit, parse_duration(limit.period)), _key(limit.key))


def _debounce(function: Function) -> Debounce | None:
    if (debounce := function.debounce) is None:
        return None
    return Debounce(parse_duration(debounce.period), _duration(debounce.timeout), _key(debounce.key))


def _batch(function: Function) -> Batch | None:
    if (batch := function.batch_events) is None:
        return None
    return Batch(batch.max_size, parse_batch_duration(batch.timeout), _key(batch.key), batch.condition or None)


def _key(source: str | None) -> Key:
    return Key(source or None)


def _duration(text: str | None) -> timedelta | None:
    return parse_duration(text) if text else None
