"""In cloud mode the API asks for the signing key, as the real server does."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from steprig.inngest.options import Options
from steprig.inngest.routes.answers import failure

_GUARDED = ("/v1/events", "/v1/runs", "/v1/cancellations", "/v1/signals", "/v1/apps", "/v0/runs", "/fn")
"""What else needs a key looks for it itself. Browsers have none: GraphQL is open to everybody."""


class KeyGuard:
    """Refuses requests to the API that come without the key.

    Args:
        app: What is guarded.
        options: Which kind of server it is, and its keys.
    """

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        refused = self._options.kind == "cloud" and scope["type"] == "http" and not self._may_pass(scope)
        await (failure(401, "Authentication failed") if refused else self._app)(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        path = scope["path"]
        guarded = any(path == prefix or path.startswith(f"{prefix}/") for prefix in _GUARDED)
        return not guarded or self._options.admits(HTTPConnection(scope).headers.get("authorization"))
