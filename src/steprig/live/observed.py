"""The application as uvicorn calls it, with an eye on what uvicorn forgets or cannot know."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from uvicorn._types import ASGI3Application

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_logger = logging.getLogger("uvicorn.error")


class ObservedApp:
    """Passes every call on and notes three things.

    - the exception of the lifespan, of which uvicorn keeps only the text;
    - which tasks serve a stream (server-sent events, WebSocket), as those never end by themselves;
    - that requests are being cut, so that the cancellation is answered rather than logged as a bug.
    """

    def __init__(self, app: ASGI3Application) -> None:
        self.hang_up: Callable[[Message], None] = _leave_open
        self._app: Callable[[Message, Receive, Send], Awaitable[None]] = app  # type: ignore[assignment]
        self.lifespan_error: BaseException | None = None
        self.lifespan_task: asyncio.Task[Any] | None = None
        self.startup_complete = False
        self.streams: dict[asyncio.Task[Any], Message] = {}
        self.cutting = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        response_started = False
        if scope["type"] == "websocket":
            self._note_stream(task, scope)

        def noting_send(message: Message) -> Awaitable[None]:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
                if _is_event_stream(message):
                    self._note_stream(task, scope)
            return _send_in_turn(send, message) if self.cutting else send(message)

        try:
            await self._app(scope, receive, noting_send)
        except asyncio.CancelledError:
            if not self.cutting:
                raise
            # That a stream is cut is how it ends; that a request is, one may want to know.
            level = logging.INFO if task in self.streams else logging.WARNING
            _logger.log(level, "Cancelled at shutdown: %s %s", scope.get("method", "WebSocket"), scope["path"])
            if scope["type"] == "http" and not response_started:
                await _refuse(send)
            # uvicorn complains of a response that is not complete, unless the client is gone.
            self.hang_up(scope)
            await asyncio.sleep(0)

    def _note_stream(self, task: asyncio.Task[Any], scope: Message) -> None:
        self.streams[task] = scope
        task.add_done_callback(self._forget_stream)

    def _forget_stream(self, task: asyncio.Task[Any]) -> None:
        self.streams.pop(task, None)

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        self.lifespan_task = asyncio.current_task()
        understood = answered = False

        async def noting_receive() -> Message:
            nonlocal understood
            understood = True
            return await receive()

        async def noting_send(message: Message) -> None:
            nonlocal answered
            answered = True
            self.startup_complete |= message["type"] == "lifespan.startup.complete"
            await send(message)

        try:
            await self._app(scope, noting_receive, noting_send)
        except BaseException as error:
            self.lifespan_error = error
            if understood and not answered:
                # Under lifespan="auto" uvicorn takes any exception for "not supported" and serves
                # on. One who has asked for the message supports it, and has failed.
                _logger.warning("The application's lifespan raised %r before it had started", error)
            raise


def _leave_open(scope: Message) -> None:
    """Hang up on no one: there is no server yet."""


async def _send_in_turn(send: Send, message: Message) -> None:
    """Send, but let others run. Sending to a client that is gone never waits, so that an endless
    stream would keep the loop from everything else, its own end included."""
    await asyncio.sleep(0)
    await send(message)


def _is_event_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )


async def _refuse(send: Send) -> None:
    """Tell the client why there is no answer; a cut connection would look like a crash."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"The server is shutting down"})
