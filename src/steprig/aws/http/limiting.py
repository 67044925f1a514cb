"""Requests that are too large to be taken in, and a name for each request."""

from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steprig.aws.errors import RequestTooLargeException
from steprig.aws.http.answers import refusal


class RequestId:
    """Names every request in its answer, by which a log tells of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        request_id = str(uuid4())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-amzn-RequestId"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses a body that is larger than allowed, without keeping more of it than that.

    Args:
        app: Never sees more than the limit of a body.
        most: The limit, in bytes.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = self._most

        async def receive_within_limit() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise _TooLargeError
            return message

        try:
            if _declared_length(scope) > self._most:
                raise _TooLargeError
            await self._app(scope, receive_within_limit, send)
        except _TooLargeError:
            error = RequestTooLargeException(f"Request must be smaller than {self._most} bytes.")
            await refusal(error)(scope, receive, send)


class _TooLargeError(Exception):
    """The body of a request goes beyond the limit."""


def _declared_length(scope: Scope) -> int:
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(declared) if declared.isdigit() else 0
