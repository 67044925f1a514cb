"""A second port that leads to the first: some look for the gateway on a port of its own."""

import asyncio
from functools import partial

from steprig.live.listening import end_listening

_CHUNK = 1 << 16


class Relay:
    """Listens on a port, and carries what comes there to another port and back.

    Args:
        host: The address to listen at.
        port: The port to listen on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._carriers: set[asyncio.Task[None]] = set()

    async def start(self, target: tuple[str, int]) -> None:
        """Listen.

        Args:
            target: Host and port to carry to.

        Raises:
            OSError: The port is taken.
        """
        self._server = await asyncio.start_server(partial(self._carry, target), self._host, self._port)

    async def stop(self) -> None:
        """End every connection."""
        if self._server is not None:
            await end_listening([self._server])
        carriers = list(self._carriers)
        for task in carriers:
            task.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)

    async def _carry(self, target: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server's callback runs as a task"
        self._carriers.add(task)
        try:
            target_reader, target_writer = await asyncio.open_connection(*target)
            await asyncio.gather(_pump(reader, target_writer), _pump(target_reader, writer))
        except OSError:
            pass  # one of the two sides has gone, and the other one sees it
        finally:
            self._carriers.discard(task)
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
