"""Runners on every journal, with the SDK as it is and hurried."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version

import pytest

from steprig.aws.runner import DurableFunctionTestRunner
from steprig.kernel import MemoryJournal, SqliteJournal

Runners = Callable[..., DurableFunctionTestRunner]


def pytest_report_header() -> str:
    """Which SDK the tests run with, as they are to run with several."""
    return f"aws-durable-execution-sdk-python {version('aws-durable-execution-sdk-python')}"


@pytest.fixture
def runner_of() -> Iterator[Runners]:
    """Makes a runner, and closes it after the test."""
    with ExitStack() as opened:
        yield lambda handler, **options: opened.enter_context(DurableFunctionTestRunner(handler, **options))


@pytest.fixture(params=["memory", "sqlite"])
def any_journal(request, tmp_path):
    journal = MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "journal.db")
    yield journal
    journal.close()
