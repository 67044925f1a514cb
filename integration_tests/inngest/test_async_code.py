"""The dev server in async code: its loop goes on while the server starts and stops."""

import asyncio

import httpx
import pytest

from steprig.inngest import DevServer


def test_a_dev_server_is_started_and_stopped_while_the_loop_goes_on():
    async def scenario():
        turns, over = 0, asyncio.Event()

        async def count():
            nonlocal turns
            while not over.is_set():
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        async with DevServer() as dev:
            while_starting = turns - before
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{dev.origin}/dev")
            before = turns
        while_stopping = turns - before
        over.set()
        await counting
        return answer.status_code, dev.is_running, while_starting, while_stopping

    status, is_running, while_starting, while_stopping = asyncio.run(scenario())

    assert (status, is_running) == (200, False)
    assert while_starting > 1
    assert while_stopping > 1


def test_a_dev_server_stops_when_the_code_within_fails():
    dev = DevServer()

    async def scenario():
        async with dev:
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(scenario())

    assert not dev.is_running
