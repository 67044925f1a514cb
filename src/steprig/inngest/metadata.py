"""What runs and steps are annotated with: scores, experiments, warnings, and what users say (`MetadataSet`)."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.decision import Decision
from steprig.inngest.events import NULL
from steprig.inngest.limits import MAX_METADATA_BYTES, MAX_RUN_METADATA_BYTES
from steprig.inngest.opcodes import Op, StepId
from steprig.inngest.records import MetadataOp, MetadataScope, MetadataSet, Values
from steprig.inngest.wire import UNREADABLE

_LONGEST_KIND = 128
_LONGEST_SCORE = 128
_PREFIX, _SCORE, _WARNING = "inngest.", "inngest.score", "inngest.warning"
_EXPERIMENT, _WARNINGS = "inngest.experiment", "inngest.warnings"
_ALLOWED = frozenset(
    {
        "inngest.ai",
        "inngest.http",
        "inngest.http.timing",
        "inngest.response_headers",
        _WARNINGS,
        _EXPERIMENT,
        _SCORE,
    }
)
"""The kinds of the platform's own that an SDK may set, beside those of single scores and warnings."""

_NOT_IN_SCORES = re.compile(r"[\x00-\x1f\x7f']")


class MetadataError(SteprigError, ValueError):
    """Metadata that cannot be set."""


class MetadataTooLargeError(MetadataError):
    """Metadata for which there is no room. The text is the dev server's."""


class Update(msgspec.Struct, frozen=True):
    """A change as an SDK sends it."""

    kind: str
    op: MetadataOp
    values: Values


class ScopedUpdate(Update, frozen=True):
    """A change that a step's opcode carries."""

    scope: Literal["run", "step", "step_attempt", "extended_trace"] = "step"


class Target(msgspec.Struct, frozen=True):
    """What is annotated."""

    scope: MetadataScope
    step: StepId | None = None
    attempt: int | None = None


def checked(updates: list[Update], target: Target, used: int) -> list[MetadataSet]:
    """What to record of changes.

    Args:
        updates: As they were sent.
        target: What they are about.
        used: Bytes that the run's metadata has already.

    Raises:
        MetadataTooLargeError: There is no room for one of them.
        MetadataError: One of them may not be set, and none is.
    """
    found = [_entry(kind, values, update.op, target) for update in updates for kind, values in _split(update)]
    for entry in found:
        if entry.size > MAX_METADATA_BYTES:
            raise MetadataTooLargeError("Metadata span exceeds maximum size of 64KB")
    if used + sum(entry.size for entry in found) > MAX_RUN_METADATA_BYTES:
        raise MetadataTooLargeError("Cumulative metadata size exceeds limit")
    return found


def take(decision: Decision, op: Op) -> None:
    """Keep what an opcode says of its step. What is wrong with it does the run no harm, and is dropped."""
    if op.metadata == NULL:
        return
    try:
        updates = _UPDATES.decode(op.metadata)
    except UNREADABLE:
        return
    for update in updates:
        target = Target("run") if update.scope == "run" else Target("step", op.id)
        try:
            found = checked([update], target, decision.state.metadata_bytes)
        except MetadataError:
            continue
        for entry in found:
            decision.add(entry)


def combined(known: Mapping[str, msgspec.Raw], change: MetadataSet) -> Values:
    """The values of a kind after a change."""
    match change.op:
        case "set":
            return dict(change.values)
        case "merge":
            return {**known, **change.values}
        case "delete":
            return {key: value for key, value in known.items() if key not in change.values}
        case "add":
            return {**known, **{key: _sum(known.get(key), value) for key, value in change.values.items()}}


def _entry(kind: str, values: Values, op: MetadataOp, target: Target) -> MetadataSet:
    return MetadataSet(step=target.step, attempt=target.attempt, scope=target.scope, kind=kind, op=op, values=values)


def _split(update: Update) -> Iterator[tuple[str, Values]]:
    """The kinds that a change is about: each score and each warning is one of its own."""
    _check(update)
    if update.kind == _SCORE:
        for name in sorted(update.values):
            yield f"{_SCORE}.{name}", _members(update.values[name])
    elif update.kind == _WARNINGS:
        for code in sorted(update.values):
            yield f"{_WARNING}.{code}", {code: update.values[code]}
    else:
        yield update.kind, update.values


def _check(update: Update) -> None:
    kind = update.kind
    if len(kind.encode()) > _LONGEST_KIND:
        raise MetadataError("kind exceeds maximum length")
    if kind == _SCORE:
        for name, value in update.values.items():
            _check_score(name, _members(value).get("value"))
    elif kind.startswith(f"{_SCORE}."):
        _check_score(kind.removeprefix(f"{_SCORE}."), update.values.get("value"))
    elif kind.startswith(_PREFIX) and kind not in _ALLOWED and not kind.startswith(f"{_WARNING}."):
        raise MetadataError(f"kind {kind!r} is not allowed")


def _check_score(name: str, value: msgspec.Raw | None) -> None:
    if not name.strip() or len(name.encode()) > _LONGEST_SCORE or _NOT_IN_SCORES.search(name):
        raise MetadataError(f"invalid score name {name!r}")
    number = None if value is None else msgspec.json.decode(value)
    if not isinstance(number, bool | int | float) or not math.isfinite(number):
        raise MetadataError(f"invalid score value for {name!r}: expected a finite number or a boolean")


def _members(value: msgspec.Raw) -> Values:
    """The members of an object; what is none is the `value` itself."""
    try:
        return _VALUES.decode(value)
    except msgspec.ValidationError:
        return {"value": value}


def _sum(known: msgspec.Raw | None, added: msgspec.Raw) -> msgspec.Raw:
    try:
        before = msgspec.json.decode(known or b"null", type=float)
    except msgspec.ValidationError:
        return added
    try:
        return msgspec.Raw(msgspec.json.encode(before + msgspec.json.decode(added, type=float)))
    except msgspec.ValidationError:
        return known or added


_UPDATES = msgspec.json.Decoder(list[ScopedUpdate])
_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
