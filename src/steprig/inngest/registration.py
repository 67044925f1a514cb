"""From what an SDK says of its app to an `App`, or to what is wrong with it (Inngest SDK spec 4.3)."""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.cron import CronError, parse_cron
from steprig.inngest.durations import DurationError, parse_batch_duration, parse_duration
from steprig.inngest.expressions import Expression, ExpressionError, validate_cancel_expression
from steprig.inngest.functions import App, AppName, Function, Trigger
from steprig.inngest.limits import MAX_CANCEL_ENTRIES, MAX_CONCURRENCY_ENTRIES, MAX_TRIGGERS
from steprig.inngest.wire import UNREADABLE, checked

_MEMBERS = dict[str, msgspec.Raw]


class RegistrationError(SteprigError, ValueError):
    """An app cannot be registered; nothing of it is. The text begins as the dev server's does."""


class _Sent(msgspec.Struct, kw_only=True):
    """The body of `POST /fn/register`, and of an in-band answer, with keys in lower case."""

    appname: str = ""
    app_id: str = ""
    appversion: str | None = None
    framework: str | None = None
    functions: list[Function] = []
    sdk: str = ""
    sdk_language: str = ""
    sdk_version: str = ""
    url: str = ""


def app_in(body: bytes) -> App:
    """The app that an SDK registers.

    Args:
        body: What it sends to `/fn/register`, or answers to an in-band sync.

    Raises:
        RegistrationError: The body is bad; the message names the function and the field.
    """
    try:
        # Keys are matched whatever their case: the spec says appName, the Python SDK sends appname.
        members = {key.lower(): value for key, value in msgspec.json.decode(checked(body), type=_MEMBERS).items()}
        sent = msgspec.json.decode(msgspec.json.encode(members), type=_Sent)
    except UNREADABLE as error:
        raise RegistrationError(f"Invalid request: {error}") from error
    name = sent.appname or sent.app_id
    if not name:
        raise RegistrationError("App ID required")
    for function in sent.functions:
        for complaint in _complaints(function):
            raise RegistrationError(f"At least one function is invalid: {function.id!r}: {complaint}")
    return _app(AppName(name), sent, body)


def _app(name: AppName, sent: _Sent, body: bytes) -> App:
    language, _, version = sent.sdk.partition(":")
    return App(
        name=name,
        url=sent.url,
        functions=tuple(sent.functions),
        sdk_language=sent.sdk_language or language,
        sdk_version=sent.sdk_version or version,
        framework=sent.framework,
        version=sent.appversion,
        checksum=hashlib.sha256(body).hexdigest(),
    )


def _complaints(function: Function) -> Iterator[str]:
    """What is wrong with a function, the most basic first."""
    if not function.id or not function.name:
        yield "id and name must not be empty"
    if len(function.steps) != 1:
        yield f"steps has {len(function.steps)} entries; expected exactly one"
    if function.batch_events is not None and (other := _rules_out_batches(function)):
        yield f"batchEvents cannot be combined with {other}"
    yield from _too_many(function)
    yield from _bad_triggers(function)
    yield from _unreadable(function)


def _too_many(function: Function) -> Iterator[str]:
    concurrency = function.concurrency if isinstance(function.concurrency, tuple) else ()
    for what, entries, most in (
        ("triggers", function.triggers, MAX_TRIGGERS),
        ("cancel", function.cancel or (), MAX_CANCEL_ENTRIES),
        ("concurrency", concurrency, MAX_CONCURRENCY_ENTRIES),
    ):
        if len(entries) > most:
            yield f"{what} has {len(entries)} entries; at most {most} are allowed"
    for index, entry in enumerate(concurrency):
        if entry.scope != "fn" and not entry.key:
            yield f"concurrency[{index}].key is required with scope {entry.scope!r}"


def _bad_triggers(function: Function) -> Iterator[str]:
    seen: set[Trigger] = set()
    for index, trigger in enumerate(function.triggers):
        if (trigger.event is None) == (trigger.cron is None):
            yield f"triggers[{index}] must have either event or cron"
        if trigger in seen:
            yield f"triggers[{index}] is a duplicate"
        seen.add(trigger)


def _unreadable(function: Function) -> Iterator[str]:
    for where, read, text in _texts(function):
        if not text:
            continue
        try:
            read(text)
        except (DurationError, ExpressionError, CronError) as error:
            yield f"{where}: {error}"


def _texts(function: Function) -> Iterator[tuple[str, Any, str | None]]:
    """Every text of a function's configuration that has a grammar, with what reads it."""
    for index, trigger in enumerate(function.triggers):
        yield f"triggers[{index}].expression", Expression.compile, trigger.expression
        yield f"triggers[{index}].cron", parse_cron, trigger.cron
        yield f"triggers[{index}].jitter", parse_duration, trigger.jitter
    for index, cancel in enumerate(function.cancel or ()):
        yield f"cancel[{index}].if", validate_cancel_expression, cancel.condition
        yield f"cancel[{index}].timeout", parse_duration, cancel.timeout
    if function.batch_events is not None:
        yield "batchEvents.timeout", parse_batch_duration, function.batch_events.timeout
        yield "batchEvents.key", Expression.compile, function.batch_events.key
        yield "batchEvents.if", Expression.compile, function.batch_events.condition
    for name in ("throttle", "rate_limit", "debounce"):
        if (limit := getattr(function, name)) is not None:
            yield f"{name}.period", parse_duration, limit.period
            yield f"{name}.key", Expression.compile, limit.key
    if function.timeouts is not None:
        yield "timeouts.start", parse_duration, function.timeouts.start
        yield "timeouts.finish", parse_duration, function.timeouts.finish
    if function.priority is not None:
        yield "priority.run", Expression.compile, function.priority.run
    if function.singleton is not None:
        yield "singleton.key", Expression.compile, function.singleton.key
    yield "idempotency", Expression.compile, function.idempotency


def _rules_out_batches(function: Function) -> str | None:
    for name in ("cancel", "debounce", "singleton", "priority"):
        if getattr(function, name):
            return name
    return None
