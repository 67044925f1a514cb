"""Servers of asyncio that end while a client connects."""

import asyncio
import contextlib
import gc
import socket

import pytest

from steprig.live.listening import end_listening

TURNS = range(8)
"""Of the loop, between a client's connecting and the end: from one that nobody has accepted to one that is served."""


class Closing(asyncio.Protocol):
    """Keeps its transport, which the test closes."""

    def __init__(self, transports):
        self._transports = transports

    def connection_made(self, transport):
        self._transports.append(transport)


async def connect_and_end(turns):
    """What became of a client: whether its connection came to a protocol, and whether it was left open."""
    transports = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Closing(transports), "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(server.sockets[0].getsockname())
        for _ in range(turns):
            await asyncio.sleep(0)
        await end_listening([server])
        came = bool(transports)
        for transport in transports:
            transport.abort()
        await asyncio.wait_for(server.wait_closed(), 10)
        client.setblocking(True)
        client.settimeout(10)
        try:
            client.sendall(b"G")  # or one that was never accepted would not notice
            return came, client.recv(1) == b""
        except OSError as error:
            return came, not isinstance(error, TimeoutError)


@pytest.mark.parametrize("turns", TURNS)
def test_every_client_that_was_accepted_is_told_of_and_can_be_closed(turns):
    for _ in range(10):
        came, closed = asyncio.run(connect_and_end(turns))
        assert closed
        assert came or turns < 2
    gc.collect()  # a transport left open would be a ResourceWarning, and so an error


def test_a_server_that_is_closed_already_does_no_harm():
    async def main():
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        server.close()
        await end_listening([server])

    asyncio.run(main())
