"""What is published as a stream, piece by piece."""

import asyncio
import json
from contextlib import suppress

import msgspec
import pytest

from steprig.inngest.realtime import Channels, Topic
from steprig.inngest.routes.publishing import Publication
from steprig.kernel import RealClock


def passed_on(pieces, topics=("t",)):
    """The messages that a subscriber gets of a stream that comes in these pieces."""

    async def stream():
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def follow():
        channels, clock = Channels(), RealClock()
        with channels.subscribed([Topic("c", topic) for topic in topics]) as subscriber:
            publication = Publication("c", topics, msgspec.UNSET, msgspec.UNSET, clock)
            with suppress(ConnectionError):
                await publication.stream(channels, stream())
            return [json.loads(subscriber.frames.get_nowait().content) for _ in range(subscriber.frames.qsize())]

    return asyncio.run(follow())


@pytest.mark.parametrize("size", [1, 2, 3, 5000])
def test_no_character_is_cut_wherever_the_pieces_are(size):
    text = "snow ☃ 🚀 " * 300
    data = text.encode()

    start, *chunks, end = passed_on([data[at : at + size] for at in range(0, len(data), size)])

    assert (start["kind"], end["kind"]) == ("datastream-start", "datastream-end")
    assert "".join(chunk["data"] for chunk in chunks) == text
    assert all(0 < len(chunk["data"]) <= 1024 for chunk in chunks)


def test_what_is_no_text_is_replaced():
    assert [one["data"] for one in passed_on([b"a\xff", b"\xe2\x98"])[1:-1]] == ["a�", "�"]


def test_the_end_of_a_stream_that_breaks_off_is_told_of():
    start, chunk, end = passed_on([b"a", ConnectionError()])

    assert (chunk["data"], end["kind"], end["data"]) == ("a", "datastream-end", start["data"])


def test_a_stream_for_several_topics_has_one_id():
    messages = passed_on([b"a"], topics=("t", "u"))

    assert [(one["kind"], one["topic"]) for one in messages] == [
        (kind, topic) for kind in ("datastream-start", "chunk", "datastream-end") for topic in ("t", "u")
    ]
    assert len({one.get("stream_id", one["data"]) for one in messages}) == 1
