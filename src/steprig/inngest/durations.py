"""Durations, points in time and retry delays, in the forms that Inngest writes them."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from fractions import Fraction

from steprig.errors import SteprigError

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter; Go accepts both
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_NANOSECONDS_WITH_DAYS = _NANOSECONDS | {"d": 86_400_000_000_000, "w": 604_800_000_000_000}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([a-zµμ]+)")
_FORMAT_UNITS = tuple((unit, _NANOSECONDS_WITH_DAYS[unit] // 1_000) for unit in ("w", "d", "h", "m", "s", "ms", "us"))
_MICROSECOND = timedelta(microseconds=1)

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_BACKOFF = tuple(timedelta(seconds=s) for s in (15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200))
_BACKOFF_JITTER = timedelta(seconds=30)
_SHORTEST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(hours=24)
_RETRY_SECONDS_DIGITS = 7


class DurationError(SteprigError, ValueError):
    """A text is not a duration, or not a point in time."""


def parse_duration(text: str, *, days: bool = True) -> timedelta:
    """Read a Go-style duration such as ``1h30m``, ``1.5s``, ``-2m`` or ``1w2d``.

    Args:
        text: Numbers with units, concatenated; a leading sign applies to the whole.
        days: Whether ``d`` (24 hours) and ``w`` (7 days) are units too. Inngest reads
            ``batchEvents.timeout`` without them.

    Returns:
        The duration, truncated to whole microseconds.

    Raises:
        DurationError: The text is no such duration, or is too long for a ``timedelta``.
    """
    units = _NANOSECONDS_WITH_DAYS if days else _NANOSECONDS
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":  # Go's one duration without a unit
        return timedelta()
    total = _nanoseconds(unsigned, units)
    if total is None:
        accepted = ", ".join(unit for unit in units if unit.isascii())
        raise DurationError(f"invalid duration {text!r}: expected numbers with units {accepted}, such as '1h30m'")
    try:
        duration = timedelta(microseconds=int(total / 1_000))
    except OverflowError as error:
        raise DurationError(f"invalid duration {text!r}: expected fewer than a billion days") from error
    return -duration if text.startswith("-") else duration


def parse_batch_duration(text: str) -> timedelta:
    """Read a duration the way Inngest reads ``batchEvents.timeout``: without ``d`` and ``w``.

    Args:
        text: See `parse_duration`.

    Returns:
        The duration.

    Raises:
        DurationError: The text is no such duration.
    """
    return parse_duration(text, days=False)


def format_duration(duration: timedelta) -> str:
    """Write a duration in the form that the Inngest SDKs send: ``90s``, ``2h``, ``1w``.

    The largest unit that divides the duration evenly is used, so `parse_duration` reads back
    exactly what was written.

    Args:
        duration: Any duration; a negative one gets a leading ``-``.

    Returns:
        One whole number with one unit out of ``w d h m s ms us``; ``0s`` for none.
    """
    microseconds = duration // _MICROSECOND
    if microseconds == 0:
        return "0s"
    sign = "-" if microseconds < 0 else ""
    unit, size = next(pair for pair in _FORMAT_UNITS if microseconds % pair[1] == 0)
    return f"{sign}{abs(microseconds) // size}{unit}"


def parse_time(text: str) -> datetime:
    """Read a point in time: RFC 3339, or an HTTP date such as ``Mon, 02 Jan 2006 15:04:05 GMT``.

    Args:
        text: The date with its offset from UTC. Fractions of a second have up to 9 digits, of
            which 6 are kept.

    Returns:
        The time, in UTC.

    Raises:
        DurationError: The text is neither, or names a day or hour that does not exist.
    """
    match = _RFC3339.fullmatch(text)
    try:
        parsed = _rfc3339(match) if match else parsedate_to_datetime(text)
        # An HTTP date in zone -0000 comes back naive, and is in UTC all the same.
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        expected = "an RFC 3339 time such as '2026-01-02T03:04:05.678Z' or an HTTP date"
        raise DurationError(f"invalid time {text!r}: expected {expected}") from error


def parse_time_or_duration(text: str, now: datetime, *, ahead: timedelta = timedelta()) -> datetime:
    """Read an option that may be a point in time or a duration from now.

    Args:
        text: What `parse_time` or `parse_duration` reads.
        now: The moment from which a duration counts.
        ahead: How far `now` is ahead of the clock by which a point in time was told.

    Returns:
        The point in time, on the clock of `now`.

    Raises:
        DurationError: The text is neither.
    """
    try:
        return now + parse_duration(text)
    except DurationError:
        pass
    except OverflowError as error:
        raise DurationError(f"invalid duration {text!r}: it ends after the year 9999") from error
    try:
        return _shifted(parse_time(text), ahead)
    except DurationError as error:
        expected = "a duration such as '1h30m', an RFC 3339 time or an HTTP date"
        raise DurationError(f"invalid time or duration {text!r}: expected {expected}") from error


def backoff(attempt: int, jitter: float) -> timedelta:
    """How long the Inngest dev server waits after a failed attempt.

    Args:
        attempt: The attempt that failed, from 0. Beyond the table its last entry repeats.
        jitter: From 0 to 1; 1 adds 30 seconds. Given, not drawn, so that decisions can be replayed.

    Returns:
        The delay until the next attempt.

    Raises:
        ValueError: ``attempt`` is negative, or ``jitter`` is outside 0..1.
    """
    if attempt < 0:
        raise ValueError(f"attempt must be 0 or more, not {attempt}")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter must be within 0..1, not {jitter}")
    return _BACKOFF[min(attempt, len(_BACKOFF) - 1)] + _BACKOFF_JITTER * jitter


def parse_retry_after(value: str, now: datetime, *, ahead: timedelta = timedelta()) -> datetime | None:
    """When a ``retry-after`` response header asks for the next attempt.

    The real server counts from the current second truncated, so that a delay of ``1`` takes
    anything from 0 to 1 s. Here whole seconds count from ``now`` itself: ``1`` takes 1 s.

    Args:
        value: Whole seconds (at most 7 digits), or a date as in `parse_time`.
        now: The current time, with a time zone.
        ahead: How far `now` is ahead of the clock by which a date was told.

    Returns:
        A time from 1 second to 24 hours after ``now``; None if the header cannot be read, in
        which case the usual backoff applies.
    """
    text = value.strip()
    asked = _retry_delay(text, now, ahead)
    if asked is None:
        return None
    return now + min(max(asked, _SHORTEST_RETRY), _LONGEST_RETRY)


def _nanoseconds(text: str, units: dict[str, int]) -> Fraction | None:
    """The sum of all number-unit pairs; None unless the text is made of nothing else."""
    total = Fraction(0)
    position = 0
    while position < len(text) or position == 0:
        part = _PART.match(text, position)
        if part is None or part[2] not in units:
            return None
        total += Fraction(part[1]) * units[part[2]]
        position = part.end()
    return total


def _rfc3339(match: re.Match[str]) -> datetime:
    day, clock, fraction, zone = match.groups()
    # `fromisoformat` takes 3 or 6 digits on every supported Python.
    return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '')[:6]:0<6}{zone.upper()}")


def _retry_delay(text: str, now: datetime, ahead: timedelta) -> timedelta | None:
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text)) if len(text) <= _RETRY_SECONDS_DIGITS else None
    try:
        return _shifted(parse_time(text), ahead) - now
    except DurationError:
        return None


def _shifted(moment: datetime, ahead: timedelta) -> datetime:
    try:
        return moment + ahead
    except OverflowError:
        return moment
