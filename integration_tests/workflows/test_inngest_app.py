"""The app that serves Inngest functions as workflows, on the loop of a test."""

import asyncio
import contextlib
import gc
import socket

import httpx
import pytest

from steprig.inngest.workflow_app import Calls, serving

from .inngest_shop import client, ship


@pytest.mark.parametrize("turns", range(6))
def test_an_app_that_ends_while_somebody_connects_leaves_nothing_open(turns):
    async def main():
        with socket.socket() as caller:
            caller.setblocking(False)
            async with serving(client, [ship], Calls(ship.id)) as url:
                address = httpx.URL(url)
                with contextlib.suppress(BlockingIOError):
                    caller.connect((address.host, address.port))
                for _ in range(turns):
                    await asyncio.sleep(0)

    for _ in range(5):
        asyncio.run(asyncio.wait_for(main(), 10))
    gc.collect()  # a transport left open would be a ResourceWarning, and so an error
