"""Realtime channels: tokens that let a client subscribe, and the messages that subscribers get."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.limits import ACCOUNT_ID, ENVIRONMENT_ID
from steprig.inngest.wire import UNREADABLE

TOKEN_LIFE: Final = timedelta(seconds=60)


class RealtimeTokenError(SteprigError):
    """A subscription token is not this server's, or not valid any more."""


class Topic(msgspec.Struct, frozen=True):
    """What can be subscribed to."""

    channel: str
    name: str
    kind: str = "run"


class Message(msgspec.Struct, frozen=True):
    """What subscribers get."""

    channel: str
    topic: str
    data: msgspec.Raw
    created_at: datetime
    kind: str = "data"
    env_id: str = ENVIRONMENT_ID


class _Claims(msgspec.Struct):
    sub: str
    iss: str
    iat: int
    exp: int
    topics: Sequence[Topic]
    env: str = ENVIRONMENT_ID


class Tokens:
    """Issues and reads subscription tokens: JWTs, signed with a secret that only this server has."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def issue(self, topics: Sequence[Topic], now: datetime) -> str:
        """A token for these topics, valid for `TOKEN_LIFE`."""
        issued = int(now.timestamp())
        expires = issued + int(TOKEN_LIFE.total_seconds())
        claims = _Claims(ACCOUNT_ID, "rt.inngest.com", issued, expires, topics)
        signed = b".".join((_HEADER, _in_base64(msgspec.json.encode(claims))))
        return b".".join((signed, self._signature(signed))).decode()

    def read(self, token: str, now: datetime) -> Sequence[Topic]:
        """The topics of a token.

        Raises:
            RealtimeTokenError: It was not issued here, was altered, or has expired.
        """
        signed, _, signature = token.encode().rpartition(b".")
        if not hmac.compare_digest(signature, self._signature(signed)):
            raise RealtimeTokenError("the subscription token is not this server's; get one from /v1/realtime/token")
        try:
            claims = _CLAIMS.decode(_from_base64(signed.partition(b".")[2]))
        except (*UNREADABLE, ValueError) as error:
            raise RealtimeTokenError(f"the subscription token cannot be read: {error}") from None
        if now.timestamp() >= claims.exp:
            raise RealtimeTokenError("the subscription token has expired; get a new one from /v1/realtime/token")
        return claims.topics

    def _signature(self, signed: bytes) -> bytes:
        return _in_base64(hmac.digest(self._secret, signed, hashlib.sha256))


Messages = asyncio.Queue[Message]


class Channels:
    """Passes messages on to those who have subscribed by then. Nothing is kept for later."""

    def __init__(self) -> None:
        self._subscribers: dict[tuple[str, str], list[Messages]] = {}

    def publish(self, message: Message) -> int:
        """Pass a message on. Returns to how many."""
        subscribers = self._subscribers.get((message.channel, message.topic), ())
        for messages in subscribers:
            messages.put_nowait(message)
        return len(subscribers)

    @contextmanager
    def subscribed(self, topics: Sequence[Topic]) -> Iterator[Messages]:
        """The messages of these topics, for the length of a `with` block."""
        messages: Messages = asyncio.Queue()
        keys = {(topic.channel, topic.name) for topic in topics}
        for key in keys:
            self._subscribers.setdefault(key, []).append(messages)
        try:
            yield messages
        finally:
            for key in keys:
                self._leave(key, messages)

    def _leave(self, key: tuple[str, str], messages: Messages) -> None:
        subscribers = [other for other in self._subscribers[key] if other is not messages]
        if subscribers:
            self._subscribers[key] = subscribers
        else:
            del self._subscribers[key]


def _in_base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _from_base64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


_HEADER = _in_base64(b'{"alg":"HS256","typ":"JWT"}')
_CLAIMS = msgspec.json.Decoder(_Claims)
