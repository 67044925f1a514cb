"""Realtime: tokens, publishing, and subscriptions by WebSocket and by server-sent events (`/v1/realtime/...`)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from steprig.inngest.platform import InngestPlatform
from steprig.inngest.realtime import Channels, Message, Messages, RealtimeTokenError, Tokens, Topic
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.wire import UNREADABLE, checked

_POLICY_VIOLATION = 1008

_TOPICS = msgspec.json.Decoder(list[Topic])
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)


def realtime_routes(platform: InngestPlatform) -> list[BaseRoute]:
    """The routes of realtime."""
    tokens, channels = Tokens(), Channels()

    async def issue(request: Request) -> Response:
        try:
            topics = _TOPICS.decode(checked(await request.body()))
        except UNREADABLE as error:
            return failure(400, f'expected [{{"channel": ..., "name": ..., "kind": "run"}}]: {error}')
        return Json({"jwt": tokens.issue(topics, platform.rig.clock.now())}, 201)

    async def publish(request: Request) -> Response:
        channel, topic = (request.query_params.get(name, "") for name in ("channel", "topic"))
        if not channel or not topic:
            return failure(400, "expected the query parameters channel and topic")
        try:
            data = _ANY_JSON.decode(checked(await request.body()))
        except UNREADABLE as error:
            return failure(400, f"expected JSON: {error}")
        channels.publish(Message(channel, topic, data, platform.rig.clock.now()))
        return Response(status_code=200)

    async def connect(socket: WebSocket) -> None:
        try:
            topics = _subscription(platform, tokens, socket)
        except RealtimeTokenError as error:
            await socket.close(_POLICY_VIOLATION, str(error))
            return
        with channels.subscribed(topics) as messages:
            await socket.accept()
            await _pass_on(messages, socket)

    async def stream(request: Request) -> Response:
        try:
            topics = _subscription(platform, tokens, request)
        except RealtimeTokenError as error:
            return failure(401, str(error))
        return StreamingResponse(_as_events(channels, topics), media_type="text/event-stream")

    return [
        Route("/v1/realtime/token", issue, methods=["POST"]),
        Route("/v1/realtime/publish", publish, methods=["POST"]),
        Route("/v1/realtime/sse", stream, methods=["GET"]),
        WebSocketRoute("/v1/realtime/connect", connect),
    ]


def _subscription(platform: InngestPlatform, tokens: Tokens, connection: HTTPConnection) -> Sequence[Topic]:
    bearer = connection.headers.get("authorization", "").removeprefix("Bearer ")
    return tokens.read(connection.query_params.get("token") or bearer, platform.rig.clock.now())


async def _pass_on(messages: Messages, socket: WebSocket) -> None:
    """Send messages until the subscriber leaves."""
    sending = asyncio.ensure_future(_send_all(messages, socket))
    try:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await socket.receive_text()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send_all(messages: Messages, socket: WebSocket) -> None:
    while True:
        await socket.send_text(msgspec.json.encode(await messages.get()).decode())


async def _as_events(channels: Channels, topics: Sequence[Topic]) -> AsyncIterator[bytes]:
    with channels.subscribed(topics) as messages:
        yield b": subscribed\n\n"
        while True:
            yield b"data: " + msgspec.json.encode(await messages.get()) + b"\n\n"
