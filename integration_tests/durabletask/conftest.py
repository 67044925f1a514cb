"""Backends with the SDK's own clients and workers."""

import pytest

from steprig.durabletask import create_test_backend
from steprig.kernel import MemoryJournal, SqliteJournal, VirtualClock

from .stage import RawWorker, Stage


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def journal(request, tmp_path_factory):
    """What is true of a backend is true of one that outlives its process."""
    if request.param == "memory":
        yield MemoryJournal()
    else:
        journal = SqliteJournal(tmp_path_factory.mktemp("journal") / "journal.db")
        yield journal
        journal.close()


@pytest.fixture(scope="module")
def shared(request, journal):
    """A stage for all tests of a module, with a worker that has the module's `FUNCTIONS`."""
    with VirtualClock() as clock, create_test_backend(0, clock=clock, journal=journal) as backend:
        stage = Stage(backend)
        configure = getattr(request.module, "configure", lambda worker: None)
        worker = stage.worker(request.module.FUNCTIONS, **getattr(request.module, "OPTIONS", {}))
        configure(worker)
        stage.start(worker)
        yield stage
        stage.close()


@pytest.fixture
def stage():
    """A stage of a test's own, without a worker."""
    with VirtualClock() as clock, create_test_backend(0, clock=clock, lease_grace=0.05) as backend:
        stage = Stage(backend)
        yield stage
        stage.close()


@pytest.fixture
def raw(stage):
    """Makes workers that answer when a test says so."""
    workers = []

    def open_worker(**request):
        workers.append(RawWorker(stage, **request))
        return workers[-1]

    yield open_worker
    for worker in workers:
        worker.close()
