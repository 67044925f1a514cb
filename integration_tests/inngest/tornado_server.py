"""Tornado brings its own server, on an event loop of its own."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Self

import tornado.httpserver
import tornado.netutil
import tornado.web

_PATIENCE = 5.0


class TornadoServer:
    """Serves a Tornado application in a thread.

    Args:
        app: The application.
        port: Where to listen; by default a free port.
    """

    def __init__(self, app: tornado.web.Application, port: int | None = None) -> None:
        self._app = app
        self._sockets = tornado.netutil.bind_sockets(port or 0, "127.0.0.1")
        self.port: int = self._sockets[0].getsockname()[1]
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), name="tornado", daemon=True)

    def url(self, path: str = "/") -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> Self:
        """Serve. Returns itself once requests are answered."""
        self._thread.start()
        self._loop.result(_PATIENCE)
        return self

    def stop(self) -> None:
        """End, and close every connection. Idempotent."""
        if self._thread.is_alive():
            self._loop.result(_PATIENCE).call_soon_threadsafe(self._stopping.set)
            self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "Tornado does not end"

    async def _serve(self) -> None:
        server = tornado.httpserver.HTTPServer(self._app)
        server.add_sockets(self._sockets)
        self._loop.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        server.stop()
        await server.close_all_connections()
