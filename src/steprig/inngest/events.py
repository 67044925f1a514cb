"""Events: what clients send, what runs are given (Inngest SDK spec 2)."""

from collections.abc import Mapping
from typing import Any, NewType

import msgspec

EventId = NewType("EventId", str)
"""The internal ULID of an event as received; the id that a user gives is `Event.id`."""

NULL = msgspec.Raw(b"null")
_EMPTY = msgspec.Raw(b"{}")


class Event(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An accepted event. Its JSON is kept byte for byte: user data is never reshaped."""

    internal_id: EventId
    name: str
    data: msgspec.Raw
    id: str
    """The user's id, else the internal one: the idempotency key of the runs it starts."""
    ts: int
    """Milliseconds since 1970."""
    v: str | None = None
    user: msgspec.Raw = _EMPTY

    def wire(self) -> msgspec.Raw:
        """The event as SDKs get it."""
        return msgspec.Raw(msgspec.json.encode(self._wire()))

    def fields(self) -> Mapping[str, Any]:
        """The event as expressions see it."""
        fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self._wire()))
        return fields

    def _wire(self) -> "_WireEvent":
        return _WireEvent(
            data=self.data, id=self.id, name=self.name, ts=self.ts, user=self.user, v=self.v or msgspec.UNSET
        )


class _WireEvent(msgspec.Struct):
    data: msgspec.Raw
    id: str
    name: str
    ts: int
    user: msgspec.Raw
    v: str | msgspec.UnsetType = msgspec.UNSET
