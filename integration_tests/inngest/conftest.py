"""Apps on real frameworks, with the real SDK, on a dev server of each test's own."""

import socket
import warnings

import pytest
import trustme

from steprig.inngest.dev_server import DevServer
from steprig.kernel import VirtualClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
    from . import js_app
    from .stacks import STACKS
    from .stage import Stage


@pytest.fixture(scope="session", autouse=True)
def few_certificates(tmp_path_factory):
    """Nothing here speaks TLS, and to load the usual bundle for every HTTP client takes longer than a test."""
    bundle = tmp_path_factory.mktemp("tls") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(bundle)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(bundle))
        yield


@pytest.fixture(scope="session")
def packages():
    """The folder of the Node app with what npm has installed."""
    return js_app.installed()


@pytest.fixture
def dev():
    """A dev server whose sleeps take no time."""
    with VirtualClock() as clock, DevServer(clock=clock) as server:
        yield server


@pytest.fixture(params=STACKS, ids=[stack.name for stack in STACKS])
def stage(request, dev):
    """Every test that takes this runs once on each framework."""
    stage = Stage(request.param, dev)
    yield stage
    stage.close()


@pytest.fixture
def one_stage(dev):
    """For what does not depend on how functions are served."""
    stage = Stage(STACKS[0], dev)
    yield stage
    stage.close()


@pytest.fixture
def free_port():
    """A port that nobody listens on, for a server in another process."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
