"""Runners that reach their function over HTTP, on servers that skip waits."""

from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from steprig.aws import (
    DurableFunctionCloudTestRunner,
    DurableFunctionTestRunner,
    DurableFunctionWebTestRunner,
    WebRunner,
)

NAME = "test-function"


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def deployed(opened, monkeypatch):
    """Makes a server with functions of which nothing is known but the endpoint, and the credentials boto3 finds."""

    def deploy(handler, *, timeout=None, skip_time=True, **others):
        runner = WebRunner(skip_time=skip_time)
        runner.register_durable_function(NAME, handler, timeout)
        for name, other in others.items():
            runner.register_durable_function(name, other)
        opened.enter_context(runner)
        for name, value in runner.environment.items():
            if name != "AWS_ENDPOINT_URL_LAMBDA":
                monkeypatch.setenv(name, value)
        return runner

    return deploy


@pytest.fixture
def cloud(opened, deployed):
    """Makes a runner of a function that is deployed."""

    def run(handler, **options):
        places = {name: options.pop(name) for name in ("timeout", "skip_time") if name in options}
        endpoint = deployed(handler, **places).endpoint_url
        runner = DurableFunctionCloudTestRunner(NAME, lambda_endpoint=endpoint, **{"visible_within": 0, **options})
        return opened.enter_context(runner)

    return run


@pytest.fixture
def local(opened):
    return lambda handler, **options: opened.enter_context(DurableFunctionTestRunner(handler, **options))


@pytest.fixture
def web(opened):
    return lambda handler, **options: opened.enter_context(DurableFunctionWebTestRunner(handler, **options))


@pytest.fixture(params=["local", "web", "cloud"])
def anywhere(request):
    """Makes a runner, of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["web", "cloud"])
def elsewhere(request):
    """The name of the kind, and what makes a runner of it that speaks HTTP."""
    return SimpleNamespace(kind=request.param, of=request.getfixturevalue(request.param))
