"""Every test here is also a test that nothing is left: no thread, no descriptor, no handler."""

import asyncio
import gc
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop

LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio")


def open_descriptors():
    return {f"{fd.name} -> {target}" for fd in Path("/proc/self/fd").iterdir() if (target := link(fd))}


def link(fd):
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return None


def state_of_loggers():
    loggers = [logging.getLogger(name) for name in LOGGERS]
    return [(log.level, log.propagate, log.disabled, [*log.handlers], [*log.filters]) for log in loggers]


def until(condition, seconds=5.0):
    """Wait for what another thread or process does; only for what no event tells."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


@pytest.fixture(scope="session", autouse=True)
def uvloop_is_set_up():
    """libuv opens a pipe at its first loop, once for the process."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    # trio keeps idle worker threads for ten seconds, and asyncio's end with the loop of the test.
    threads, descriptors, loggers = set(threading.enumerate()), open_descriptors(), state_of_loggers()
    yield
    gc.collect()

    def stray_threads():
        return {t for t in set(threading.enumerate()) - threads if not t.name.startswith(("Trio thread", "AnyIO"))}

    assert until(lambda: not stray_threads()), stray_threads()
    assert until(lambda: len(open_descriptors()) <= len(descriptors)), open_descriptors() - descriptors
    assert state_of_loggers() == loggers


@pytest.fixture(name="until")
def fixture_until():
    return until


class Gate:
    """Lets a test know that a request has arrived."""

    def __init__(self):
        self.entered = threading.Event()
        self.cancelled = threading.Event()

    async def hold(self, seconds=60.0):
        self.entered.set()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def in_background():
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit
