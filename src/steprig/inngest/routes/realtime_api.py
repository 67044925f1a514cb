"""Realtime: tokens, publishing, and subscriptions by WebSocket and by server-sent events (`/v1/realtime/...`)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from steprig.inngest.platform import InngestPlatform
from steprig.inngest.realtime import Channels, Subscriber, Tokens, Topic
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.routes.publishing import Publication
from steprig.inngest.tokens import TokenError
from steprig.inngest.wire import UNREADABLE, checked

_KEEP_ALIVE: Final = 15.0
"""Seconds between two signs of life on a stream of server-sent events on which nothing else goes out."""

_TOPICS = msgspec.json.Decoder(list[Topic])


class _Asked(msgspec.Struct):
    """What a subscriber may say on its socket."""

    kind: Literal["sub", "unsub"]
    data: msgspec.Raw
    """A token with topics to add, or the topics to leave."""


def realtime_routes(platform: InngestPlatform, tokens: Tokens) -> list[BaseRoute]:
    """The routes of realtime."""
    channels = Channels()

    def topics_of(connection: HTTPConnection) -> Sequence[Topic]:
        token = connection.query_params.get("token") or _bearer(connection)
        return tokens.read(token)

    async def issue(request: Request) -> Response:
        if not platform.options.admits(request.headers.get("authorization")):
            return _NOT_AUTHENTICATED
        try:
            topics = _TOPICS.decode(checked(await request.body()))
        except UNREADABLE as error:
            return failure(400, f"Invalid request: must provide a list of topics: {error}")
        return Json({"jwt": tokens.issue(topics)}, 201)

    async def publish(request: Request) -> Response:
        if not _may_publish(platform, tokens, request):
            return _NOT_AUTHENTICATED
        publication = Publication.of(request, platform.rig.clock)
        if publication is None:
            return failure(400, "expected the query parameters channel and topic")
        if request.headers.get("content-type") == "text/stream":
            with contextlib.suppress(ClientDisconnect):
                await publication.stream(channels, request.stream())
        else:
            publication.publish(channels, await request.body())
        return Response(status_code=200)

    async def tee(request: Request) -> Response:
        if not _may_publish(platform, tokens, request):
            return _NOT_AUTHENTICATED
        if not (channel := request.query_params.get("channel")):
            return failure(400, "channel query parameter required")
        with contextlib.suppress(ClientDisconnect):
            async for piece in request.stream():
                channels.write(channel, piece)
        return Response(status_code=200)

    async def connect(socket: WebSocket) -> None:
        try:
            topics = topics_of(socket)
        except TokenError as error:
            await socket.close(1008, f"Not authenticated: {error}")  # 403: Uvicorn logs any other refusal as a fault
            return
        with channels.subscribed(topics) as subscriber:
            await socket.accept()
            await _serve(subscriber, socket, tokens)

    async def follow(request: Request) -> Response:
        try:
            topics = topics_of(request)
        except TokenError as error:
            return failure(401, f"Not authenticated: {error}")
        subscriber = Subscriber(channels)
        subscriber.subscribe(topics)  # before the answer begins: what is published from then on is not to be missed
        headers = {"Cache-Control": "no-cache"}
        return StreamingResponse(_as_events(subscriber), media_type="text/event-stream", headers=headers)

    return [
        Route("/v1/realtime/token", issue, methods=["POST"]),
        Route("/v1/realtime/publish", publish, methods=["POST"]),
        Route("/v1/realtime/publish/tee", tee, methods=["POST"]),
        Route("/v1/realtime/sse", follow, methods=["GET"]),
        WebSocketRoute("/v1/realtime/connect", connect),
    ]


_NOT_AUTHENTICATED: Final = failure(401, "Not authenticated")


def _bearer(connection: HTTPConnection) -> str:
    return connection.headers.get("authorization", "").removeprefix("Bearer ")


def _may_publish(platform: InngestPlatform, tokens: Tokens, request: Request) -> bool:
    """Whoever has the signing key may, where there is one. A subscription token is for subscribing alone."""
    with contextlib.suppress(TokenError):
        tokens.read(_bearer(request))
        return False
    return platform.options.admits(request.headers.get("authorization"))


async def _serve(subscriber: Subscriber, socket: WebSocket, tokens: Tokens) -> None:
    """Send what is published, and heed what is said, until the subscriber leaves."""
    sending = asyncio.ensure_future(_send_all(subscriber, socket))
    try:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                _heed(await socket.receive_text(), subscriber, tokens)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def _heed(text: str, subscriber: Subscriber, tokens: Tokens) -> None:
    """Change what a subscriber gets. What nobody understands, or is not allowed, changes nothing."""
    with contextlib.suppress(*UNREADABLE, TokenError):
        asked = msgspec.json.decode(text, type=_Asked)
        if asked.kind == "sub":
            token = msgspec.json.decode(asked.data, type=str)
            subscriber.subscribe(tokens.read(token))
        else:
            subscriber.unsubscribe(_TOPICS.decode(asked.data))


async def _send_all(subscriber: Subscriber, socket: WebSocket) -> None:
    while True:
        await socket.send_text((await subscriber.frames.get()).content.decode(errors="replace"))


async def _as_events(subscriber: Subscriber) -> AsyncIterator[bytes]:
    try:
        while True:
            try:
                frame = await asyncio.wait_for(subscriber.frames.get(), _KEEP_ALIVE)
            except TimeoutError:
                yield b":\n\n"
            else:
                yield frame.content if frame.is_raw else b"data: " + frame.content + b"\n\n"
    finally:
        subscriber.close()
