"""The server: listens, and hands calls to methods."""

import asyncio
from collections.abc import Mapping
from socket import socket

from steprig.durabletask.grpc_server.call import Call
from steprig.durabletask.grpc_server.connection import Connection, Method
from steprig.live.listening import end_listening

__all__ = ["Call", "GrpcServer", "Method"]


class GrpcServer:
    """Answers calls of gRPC on the running loop.

    Args:
        methods: By their full names, "/Service/Method".
    """

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._listening: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def listen(self, *sockets: socket) -> None:
        """Take connections at sockets that listen already."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            self._listening.append(await loop.create_server(lambda: Connection(self), sock=each))

    async def go_away(self) -> None:
        """Take no more connections, and have clients begin no more calls. Those on their way are taken still."""
        await self._stop_listening()
        for connection in list(self._connections):
            connection.go_away()

    async def stop(self, grace: float) -> None:
        """Take no more calls, and end; calls get `grace` real seconds to end by themselves."""
        await self.go_away()
        try:
            async with asyncio.timeout(grace):
                await self._is_empty.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await self._is_empty.wait()

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, []
        await end_listening(listening)

    # --- For connections --------------------------------------------------------------------------------

    def find(self, path: str) -> Method | None:
        """See `Owner`."""
        return self._methods.get(path)

    def opened(self, connection: Connection) -> None:
        """See `Owner`."""
        self._connections.add(connection)
        self._is_empty.clear()

    def closed(self, connection: Connection) -> None:
        """See `Owner`."""
        self._connections.discard(connection)
        if not self._connections:
            self._is_empty.set()
