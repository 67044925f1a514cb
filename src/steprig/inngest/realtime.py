"""Realtime: tokens that let a client subscribe to channels, and what subscribers get."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from steprig.inngest.ids import new_ulid
from steprig.inngest.limits import ACCOUNT_ID, ENVIRONMENT_ID
from steprig.inngest.tokens import Signer, TokenError

TOKEN_LIFE: Final = timedelta(seconds=60)
STREAM_TOKEN_LIFE: Final = timedelta(minutes=16)
STREAM: Final = "$stream"
"""The topic of a run's channel on which its endpoint streams what it answers."""

_MOST_UNHEARD: Final = 1 << 20
_MOST_STREAMS: Final = 100
"""How many bytes are kept of a stream that nobody follows yet, and of how many streams."""

MessageKind = Literal["data", "datastream-start", "datastream-end"]


class Topic(msgspec.Struct, frozen=True):
    """What can be subscribed to."""

    channel: str
    name: str
    kind: str = "run"
    env_id: str = ENVIRONMENT_ID


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was published, as subscribers get it."""

    kind: MessageKind
    channel: str
    topic: str
    data: msgspec.Raw
    """What was published; of a stream its id."""
    created_at: datetime
    env_id: str = ENVIRONMENT_ID
    run_id: str | msgspec.UnsetType = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a stream."""

    kind: Literal["chunk"] = "chunk"
    channel: str
    topic: str
    stream_id: str
    data: str
    env_id: str = ENVIRONMENT_ID
    run_id: str | msgspec.UnsetType = msgspec.UNSET


class _Claims(msgspec.Struct, kw_only=True):
    iss: Literal["rt.inngest.com"] = "rt.inngest.com"
    sub: str = ACCOUNT_ID
    jti: str
    iat: int
    exp: int
    env: str = ENVIRONMENT_ID
    topics: Sequence[Topic]
    publish: bool = False


class Tokens:
    """Issues and reads subscription tokens.

    How long they last goes by the machine's clock: a virtual one may jump an hour on while a client connects.

    Args:
        signer: Signs them.
        machine_time: Gives the time.
    """

    def __init__(self, signer: Signer, machine_time: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._signer = signer
        self._machine_time = machine_time

    def issue(self, topics: Sequence[Topic], *, life: timedelta = TOKEN_LIFE) -> str:
        """A token for these topics, valid for a time."""
        now = self._machine_time()
        claims = _Claims(
            jti=new_ulid(now),
            iat=int(now.timestamp()),
            exp=int((now + life).timestamp()),
            topics=[Topic(topic.channel, topic.name, topic.kind) for topic in topics],
        )
        return self._signer.sign(claims)

    def read(self, token: str) -> Sequence[Topic]:
        """The topics of a token.

        Raises:
            TokenError: It was not issued here, was altered, or has expired.
        """
        claims = self._signer.read(token, _Claims)
        if self._machine_time().timestamp() >= claims.exp:
            raise TokenError("the subscription token has expired; get a new one from /v1/realtime/token")
        return claims.topics


class Frame(NamedTuple):
    """What is sent to a subscriber."""

    content: bytes
    is_raw: bool
    """True for bytes that are passed on as they came; else they are a JSON object."""


class Subscriber:
    """Somebody who gets what is published on some topics."""

    def __init__(self, channels: "Channels") -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._channels = channels
        self._topics: set[_TopicKey] = set()

    def subscribe(self, topics: Iterable[Topic]) -> None:
        """Get what is published on these, too, from now on."""
        for key in {(topic.channel, topic.name) for topic in topics} - self._topics:
            self._topics.add(key)
            self._channels.join(key, self)

    def unsubscribe(self, topics: Iterable[Topic]) -> None:
        """Get nothing any more of what is published on these."""
        for key in self._topics & {(topic.channel, topic.name) for topic in topics}:
            self._topics.discard(key)
            self._channels.leave(key, self)

    def close(self) -> None:
        """Get nothing any more."""
        for key in self._topics:
            self._channels.leave(key, self)
        self._topics.clear()


_TopicKey = tuple[str, str]


class Channels:
    """Passes on what is published to those who have subscribed by then.

    Nothing is kept for later but what an endpoint streams before anybody follows it: whoever is sent there by the
    endpoint is about to come, and where sleeps take no time the stream may be over by then.
    """

    def __init__(self) -> None:
        self._subscribers: dict[_TopicKey, list[Subscriber]] = {}
        self._unheard: dict[str, bytes] = {}
        """What was streamed, by channel, the newest last."""

    def publish(self, message: Message | Chunk) -> None:
        """Pass a message on."""
        self._send((message.channel, message.topic), Frame(msgspec.json.encode(message), is_raw=False))

    def write(self, channel: str, content: bytes) -> None:
        """Pass bytes on, as they are, to those who follow the stream of a channel."""
        if (channel, STREAM) in self._subscribers:
            self._send((channel, STREAM), Frame(content, is_raw=True))
        else:
            self._unheard[channel] = (self._unheard.pop(channel, b"") + content)[-_MOST_UNHEARD:]
            if len(self._unheard) > _MOST_STREAMS:
                del self._unheard[next(iter(self._unheard))]

    @contextmanager
    def subscribed(self, topics: Sequence[Topic]) -> Iterator[Subscriber]:
        """A subscriber to these topics, for the length of a `with` block."""
        subscriber = Subscriber(self)
        subscriber.subscribe(topics)
        try:
            yield subscriber
        finally:
            subscriber.close()

    def join(self, key: _TopicKey, subscriber: Subscriber) -> None:
        """See `Subscriber.subscribe`."""
        self._subscribers.setdefault(key, []).append(subscriber)
        channel, topic = key
        if topic == STREAM and channel in self._unheard:
            self._send(key, Frame(self._unheard.pop(channel), is_raw=True))

    def leave(self, key: _TopicKey, subscriber: Subscriber) -> None:
        """See `Subscriber.unsubscribe`."""
        others = [other for other in self._subscribers[key] if other is not subscriber]
        if others:
            self._subscribers[key] = others
        else:
            del self._subscribers[key]

    def _send(self, key: _TopicKey, frame: Frame) -> None:
        for subscriber in self._subscribers.get(key, ()):
            subscriber.frames.put_nowait(frame)
