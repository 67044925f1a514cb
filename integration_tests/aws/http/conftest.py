"""Servers on real sockets, with boto3 as their client."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import httpx
import pytest

from steprig.aws import WebRunner

from .stage import PATIENCE, Held, config


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client_of(opened) -> Callable[[WebRunner], object]:
    """Makes a boto3 client of a server."""
    return lambda runner: opened.enter_context(closing(runner.client()))


@pytest.fixture
def raw_of(opened) -> Callable[[WebRunner], httpx.Client]:
    """Makes a client that sends what it is told, whatever boto3 would say to it."""
    return lambda runner: opened.enter_context(httpx.Client(base_url=runner.endpoint_url, timeout=PATIENCE))


@pytest.fixture
def server(opened) -> Callable[..., WebRunner]:
    """Starts a server with durable functions and others, that skips waits unless told. A clock is closed after it."""

    def serve(durable=(), plain=(), *, timeout=None, store=None, clock=None, **options) -> WebRunner:
        told = config(**{"skip_time": clock is None, **options})
        if clock is not None:
            opened.callback(clock.close)
        runner = WebRunner(told, store=store, clock=clock)
        for name, handler in dict(durable).items():
            runner.register_durable_function(name, handler, timeout)
        for name, handler in dict(plain).items():
            runner.register_function(name, handler)
        return opened.enter_context(runner)

    return serve


@pytest.fixture
def held() -> Iterator[Held]:
    function = Held()
    yield function
    for _ in range(10):
        function.returns(None)  # lets go of whatever the test has left
