"""Between the protocol's messages and Python's values."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from steprig.durabletask.pb import StringValue, Timestamp, pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

PAST = b"\x1a"
"""The key of `OrchestratorRequest.pastEvents`. Histories are kept as that field's bytes, ready to be sent."""

NEW = b"\x22"
"""The key of `OrchestratorRequest.newEvents`."""


def string(value: str | None) -> StringValue | None:
    """Optional text as the wire has it; None stays unset."""
    return None if value is None else StringValue(value=value)


def timestamp(at: datetime) -> Timestamp:
    """A time as the wire has it."""
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def moment(stamp: Timestamp) -> datetime:
    """A time from the wire, rounded up to the microsecond: what is to happen at it must not happen before it.

    Raises:
        OverflowError: It is no time that Python can tell.
    """
    seconds, nanos = int(stamp.seconds), int(stamp.nanos)
    return _EPOCH + timedelta(seconds=seconds) - (-nanos // 1000) * _MICROSECOND


def framed(key: bytes, encoded: Iterable[bytes]) -> bytes:
    """Encoded messages as the bytes of a repeated field."""
    parts: list[bytes] = []
    for message in encoded:
        parts += (key, varint(len(message)), message)
    return b"".join(parts)


def varint(number: int) -> bytes:
    """A length as protobuf writes it."""
    if number < 0x80:
        return _ONE_BYTE[number]
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def events_in(history: bytes) -> Iterable[pb.HistoryEvent]:
    """The events in a piece of history."""
    parsed = pb.OrchestratorRequest()
    parsed.MergeFromString(history)
    events: Iterable[pb.HistoryEvent] = parsed.pastEvents
    return events


_ONE_BYTE = [bytes([number]) for number in range(0x80)]
