"""What a function's configuration must not be (Inngest SDK spec 4.3), in the dev server's words where it has them."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from steprig.inngest.cron import CronError, parse_cron
from steprig.inngest.durations import DurationError, parse_batch_duration, parse_duration
from steprig.inngest.expressions import Expression, ExpressionError, validate_cancel_expression
from steprig.inngest.functions import Function, Trigger
from steprig.inngest.limits import (
    MAX_CANCEL_ENTRIES,
    MAX_CONCURRENCY_ENTRIES,
    MAX_CRON_JITTER,
    MAX_DEBOUNCE,
    MAX_RATE_LIMIT_PERIOD,
    MAX_TRIGGERS,
    MIN_BATCH_SIZE,
    MIN_BATCH_TIMEOUT,
    MIN_CRON_JITTER,
    MIN_DEBOUNCE,
)

_Reader = Callable[[str], object]
_SCHEMES = ("http", "https", "ws", "wss")


def complaints(function: Function) -> Iterator[str]:
    """What is wrong with a function, the most basic first."""
    yield from _bad_steps(function)
    yield from _bad_triggers(function)
    yield from _bad_concurrency(function)
    if len(function.cancel or ()) > MAX_CANCEL_ENTRIES:
        yield f"This function exceeds the max number of cancellation events: {MAX_CANCEL_ENTRIES}"
    if function.batch_events is not None and (other := _rules_out_batches(function)):
        yield f"batchEvents cannot be combined with {other}"
    unreadable = list(_unreadable(function))
    yield from unreadable
    if not unreadable:
        yield from _out_of_range(function)


def _bad_steps(function: Function) -> Iterator[str]:
    if not function.id:
        yield "A function ID is required"
    if not function.name:
        yield "A function name is required"
    if len(function.steps) != 1:
        yield f"Functions must contain one step, not {len(function.steps)}"
    for step in function.steps.values():
        if not step.name:
            yield "All steps must have a name"
        try:
            scheme = urlsplit(step.runtime.url).scheme
        except ValueError:
            yield f"Steps must have a valid URI, not {step.runtime.url!r}"
            continue
        if scheme not in _SCHEMES:
            yield f"Non-supported step schema: {scheme!r}; expected one of {', '.join(_SCHEMES)}"


def _bad_triggers(function: Function) -> Iterator[str]:
    if len(function.triggers) > MAX_TRIGGERS:
        yield f"This function exceeds the max number of triggers: {MAX_TRIGGERS}"
    for index, trigger in enumerate(function.triggers):
        if trigger.event is not None and trigger.cron is not None:
            yield f"triggers[{index}]: A trigger cannot have both an event and a cron trigger"
        if not trigger.event and not trigger.cron:
            yield f"triggers[{index}]: A trigger must supply an event name or a cron schedule"
    for trigger, count in Counter(function.triggers).items():
        if count > 1:
            yield f"duplicate trigger {_name(trigger)}"


def _bad_concurrency(function: Function) -> Iterator[str]:
    limits = function.concurrency_limits
    if len(limits) > MAX_CONCURRENCY_ENTRIES:
        yield f"There are more concurrency limits specified than the allowed max of: {MAX_CONCURRENCY_ENTRIES}"
    for index, entry in enumerate(limits):
        if entry.scope != "fn" and not entry.key:
            yield f"concurrency[{index}]: A concurrency key must be specified for {entry.scope} scoped limits"
        if entry.limit < 0:
            yield f"concurrency[{index}].limit is {entry.limit}; expected 1 or more, or 0 for no limit"


def _rules_out_batches(function: Function) -> str | None:
    for name in ("cancel", "debounce", "singleton", "priority"):
        if getattr(function, name):
            return name
    return None


def _unreadable(function: Function) -> Iterator[str]:
    for where, read, text in _texts(function):
        if not text:
            continue
        try:
            read(text)
        except (DurationError, ExpressionError, CronError) as error:
            yield f"{where}: {error}"


def _texts(function: Function) -> Iterator[tuple[str, _Reader, str | None]]:
    """Every text of a function's configuration that has a grammar, with what reads it."""
    for index, trigger in enumerate(function.triggers):
        yield f"triggers[{index}].expression", Expression.compile, trigger.expression
        yield f"triggers[{index}].cron", parse_cron, trigger.cron
        yield f"triggers[{index}].jitter", parse_duration, trigger.jitter
    for index, cancel in enumerate(function.cancel or ()):
        yield f"cancel[{index}].if", validate_cancel_expression, cancel.condition
        yield f"cancel[{index}].timeout", parse_duration, cancel.timeout
    for index, limit in enumerate(function.concurrency_limits):
        yield f"concurrency[{index}].key", Expression.compile, limit.key
    if (batch := function.batch_events) is not None:
        yield "batchEvents.timeout", parse_batch_duration, batch.timeout
        yield "batchEvents.key", Expression.compile, batch.key
        yield "batchEvents.if", Expression.compile, batch.condition
    for name, rule in (
        ("throttle", function.throttle),
        ("rateLimit", function.rate_limit),
        ("debounce", function.debounce),
    ):
        if rule is not None:
            yield f"{name}.period", parse_duration, rule.period
            yield f"{name}.key", Expression.compile, rule.key
    if function.debounce is not None:
        yield "debounce.timeout", parse_duration, function.debounce.timeout
    if function.timeouts is not None:
        yield "timeouts.start", parse_duration, function.timeouts.start
        yield "timeouts.finish", parse_duration, function.timeouts.finish
    if function.priority is not None:
        yield "priority.run", Expression.compile, function.priority.run
    if function.singleton is not None:
        yield "singleton.key", Expression.compile, function.singleton.key
    yield "idempotency", Expression.compile, function.idempotency


def _out_of_range(function: Function) -> Iterator[str]:
    """Values that can be read, and are too small or too large."""
    yield from _bad_batch(function)
    yield from _bad_rates(function)
    yield from _bad_debounce(function)
    for where, text in _durations(function):
        if text and parse_duration(text) < timedelta():
            yield f"{where} is {text!r}; expected no negative duration"
    for index, trigger in enumerate(function.triggers):
        if trigger.jitter and not MIN_CRON_JITTER <= parse_duration(trigger.jitter) <= MAX_CRON_JITTER:
            yield f"triggers[{index}].jitter is {trigger.jitter!r}; expected 1s to 5m"


def _bad_batch(function: Function) -> Iterator[str]:
    if (batch := function.batch_events) is None:
        return
    if batch.max_size < MIN_BATCH_SIZE:
        yield f"batchEvents.maxSize: batch size cannot be smaller than {MIN_BATCH_SIZE}: {batch.max_size}"
    if not batch.timeout:
        yield "batchEvents.timeout: invalid timeout string: "
    elif parse_batch_duration(batch.timeout) < MIN_BATCH_TIMEOUT:
        yield "batchEvents.timeout: batch timeout should be more than 1s"


def _bad_rates(function: Function) -> Iterator[str]:
    if (limit := function.rate_limit) is not None:
        if limit.limit <= 0:
            yield "rateLimit.limit: limit must be greater than 0"
        if not limit.period:
            yield "rateLimit.period: period must be specified"
        elif parse_duration(limit.period) > MAX_RATE_LIMIT_PERIOD:
            yield "rateLimit.period: period must be less than 24h0m0s"
        elif parse_duration(limit.period) <= timedelta():
            yield "rateLimit.period: period must be greater than 0s"
    if (throttle := function.throttle) is not None:
        for name, number in (("limit", throttle.limit), ("burst", throttle.burst)):
            if number < 0:
                yield f"throttle.{name} is {number}; expected 0 or more"
        if not throttle.period or parse_duration(throttle.period) <= timedelta():
            yield "throttle.period: period must be greater than 0s"


def _bad_debounce(function: Function) -> Iterator[str]:
    if (debounce := function.debounce) is None:
        return
    period = parse_duration(debounce.period) if debounce.period else timedelta()
    if period < MIN_DEBOUNCE:
        yield f"The debounce period of '{debounce.period}' is less than the min of: 1s"
    if period > MAX_DEBOUNCE:
        yield f"The debounce period of '{debounce.period}' is greater than the max of: 168h0m0s"


def _durations(function: Function) -> Iterator[tuple[str, str | None]]:
    if function.debounce is not None:
        yield "debounce.timeout", function.debounce.timeout
    if function.timeouts is not None:
        yield "timeouts.start", function.timeouts.start
        yield "timeouts.finish", function.timeouts.finish
    for index, cancel in enumerate(function.cancel or ()):
        yield f"cancel[{index}].timeout", cancel.timeout


def _name(trigger: Trigger) -> str:
    kind: tuple[str, Any] = ("event", trigger.event) if trigger.event is not None else ("cron", trigger.cron)
    return f"{kind[0]}: {kind[1]}"
