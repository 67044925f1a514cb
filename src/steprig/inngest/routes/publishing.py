"""What is published on a realtime channel: one message, or a stream of pieces."""

from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple, Self

import msgspec
from starlette.requests import Request

from steprig.inngest.ids import new_ulid
from steprig.inngest.problems import as_sent
from steprig.inngest.realtime import Channels, Chunk, Message, MessageKind
from steprig.kernel import Clock

_CHUNK = 1024
"""Characters of a stream that are passed on at once."""


class Publication(NamedTuple):
    """Where something is published, and what else is said of it."""

    channel: str
    topics: tuple[str, ...]
    run_id: str | msgspec.UnsetType
    metadata: msgspec.Raw | msgspec.UnsetType
    clock: Clock

    @classmethod
    def of(cls, request: Request, clock: Clock) -> Self | None:
        """What a request's query says. None when that is too little."""
        query = request.query_params
        channel, topics = query.get("channel"), tuple(filter(None, query.getlist("topic")))
        if not channel or not topics:
            return None
        metadata = query.get("metadata")
        return cls(
            channel,
            topics,
            query.get("run_id") or msgspec.UNSET,
            as_sent(metadata.encode()) if metadata else msgspec.UNSET,
            clock,
        )

    def publish(self, channels: Channels, body: bytes) -> None:
        """Publish a message: JSON as it is, anything else as a text."""
        for topic in self.topics:
            channels.publish(self._message("data", topic, as_sent(body)))

    async def stream(self, channels: Channels, body: AsyncIterator[bytes]) -> None:
        """Publish a text piece by piece, as it comes in. Its end is told of even when it breaks off."""
        stream_id = new_ulid(self.clock.now())
        self._announce(channels, "datastream-start", stream_id)
        try:
            async for piece in _texts(body):
                for topic in self.topics:
                    channels.publish(
                        Chunk(channel=self.channel, topic=topic, stream_id=stream_id, data=piece, run_id=self.run_id)
                    )
        finally:
            self._announce(channels, "datastream-end", stream_id)

    def _announce(self, channels: Channels, kind: MessageKind, stream_id: str) -> None:
        for topic in self.topics:
            channels.publish(self._message(kind, topic, msgspec.Raw(msgspec.json.encode(stream_id))))

    def _message(self, kind: MessageKind, topic: str, data: msgspec.Raw) -> Message:
        return Message(
            kind=kind,
            channel=self.channel,
            topic=topic,
            data=data,
            created_at=self.clock.now(),
            run_id=self.run_id,
            metadata=self.metadata,
        )


async def _texts(body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The pieces of a body, none of them cut inside of a character."""
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    async for piece in body:
        for text in _cut(decoder.decode(piece)):
            yield text
    for text in _cut(decoder.decode(b"", final=True)):
        yield text


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHUNK):
        yield text[start : start + _CHUNK]
