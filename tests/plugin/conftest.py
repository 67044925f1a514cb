"""What the tests of fixtures share: each runs the tests of a project of its own."""

import pytest


@pytest.fixture
def empty_project(pytester, monkeypatch):
    """A project on the path, whose tests run with no plugin that they do not need."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p no:hypothesispytest -p no:anyio")
    pytester.syspathinsert()
    return pytester


@pytest.fixture
def run(pytester):
    """Run one test module of the project."""

    def write_and_run(source, *arguments):
        pytester.makepyfile(source)
        return pytester.runpytest(*arguments)

    return write_and_run


@pytest.fixture
def ini(pytester):
    """Write the project's configuration."""

    def write(**options):
        lines = [f"{name} = {value}" for name, value in options.items()]
        pytester.makeini("\n".join(["[pytest]", *lines]))

    return write
