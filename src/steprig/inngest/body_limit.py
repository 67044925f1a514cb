"""Requests that are too large to be taken in."""

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steprig.inngest.routes.answers import Json, failure


class BodyTooLargeError(Exception):
    """The body of a request goes beyond the limit."""


class BodyLimit:
    """Refuses a body that is larger than allowed, without keeping more of it than that.

    A length that is declared is refused before anything is read. The server drops what still comes, so that a
    client which writes all of its request before it reads gets its answer, too.

    Args:
        app: Never sees more than the limit of a body.
        max_bytes: The limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = self._max_bytes

        async def receive_within_limit() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise BodyTooLargeError
            return message

        try:
            if _declared_length(scope) > self._max_bytes:
                raise BodyTooLargeError
            await self._app(scope, receive_within_limit, send)
        except BodyTooLargeError:
            await self._refusal(scope["path"])(scope, receive, send)

    def _refusal(self, path: str) -> Response:
        text = f"Request body is over the max size: Max {self._max_bytes} bytes"
        if path.startswith("/e/"):
            return Json({"ids": [""], "status": 400, "error": text}, 400)
        return failure(413, text)


def _declared_length(scope: Scope) -> int:
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(declared) if declared.isdigit() else 0
