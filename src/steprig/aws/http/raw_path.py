"""Paths whose labels contain slashes."""

from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send


class RawPath:
    """Lets routes see the path as it was sent.

    An ARN is one label of a path, with its slashes percent-encoded: it has to be split off first, and decoded then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            raw: bytes | None = scope.get("raw_path")
            path = quote(scope["path"]) if raw is None else raw.decode("ascii", "replace")
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)


def label(request: Request, name: str) -> str:
    """A label of the path."""
    return unquote(str(request.path_params[name]))
