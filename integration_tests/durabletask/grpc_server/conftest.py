"""A server with methods for tests."""

import pytest

from .serving import RawClient, Serving


@pytest.fixture
def serving():
    serving = Serving()
    yield serving
    serving.close()


@pytest.fixture
def raw(serving):
    """Makes connections whose frames are made by hand."""
    clients = []

    def connect(**options):
        clients.append(RawClient(serving.port, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
