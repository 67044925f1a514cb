"""How an asyncio server ends without losing a connection that it has just accepted."""

import asyncio
import contextlib
from collections.abc import Sequence

_TURNS = 4
"""Turns of the loop after which every connection that was accepted has been given to its protocol.

asyncio takes three: a task for the connection, the transport, and `connection_made`.
"""


async def end_listening(servers: Sequence[asyncio.AbstractServer]) -> None:
    """Accept no more, and let every connection that was accepted come to its protocol, which can close it.

    asyncio forgets, and leaves open, what it has accepted when its server is closed before it has a transport; and
    a server that waits for its connections waits for ever for one that has come to no protocol.

    Args:
        servers: of the running loop; closed ones do no harm.
    """
    loop = asyncio.get_running_loop()
    for server in servers:
        for listening in getattr(server, "sockets", ()):
            with contextlib.suppress(NotImplementedError):  # not every loop watches sockets by readers
                loop.remove_reader(listening.fileno())
    await _turns()
    for server in servers:
        server.close()
    await _turns()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
