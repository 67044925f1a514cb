"""Test async workflows, whatever runs them: a test case, mocks that know their calls, fixtures, and assertions.

The names below are imported on first use, so that ``import steprig.workflows`` costs nothing.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.kernel import WorkflowRunner
    from steprig.workflows.async_assertions import AsyncAssertions
    from steprig.workflows.async_utils import AsyncTestUtils
    from steprig.workflows.cache import MockCache
    from steprig.workflows.calls import CallRecord
    from steprig.workflows.database import DatabaseFixture
    from steprig.workflows.docker_postgres import HAS_DOCKER
    from steprig.workflows.errors import (
        DockerUnavailableError,
        NotSetUpError,
        OutputPathError,
        UnknownResourceError,
        UnusableWorkflowError,
        WorkflowInputError,
        WorkflowStepError,
    )
    from steprig.workflows.fixtures import AsyncWorkflowFixtures
    from steprig.workflows.http_mock import HttpCall, HttpStatusError, MockHttpClient, MockResponse
    from steprig.workflows.http_server import TestHttpServer
    from steprig.workflows.mock_registry import MockResourceRegistry
    from steprig.workflows.mocks import MockResource
    from steprig.workflows.result import WorkflowTestResult
    from steprig.workflows.run import WorkflowRun
    from steprig.workflows.runners import register_runner, unregister_runner
    from steprig.workflows.test_case import AsyncWorkflowTestCase

__all__ = [
    "HAS_DOCKER",
    "AsyncAssertions",
    "AsyncTestUtils",
    "AsyncWorkflowFixtures",
    "AsyncWorkflowTestCase",
    "CallRecord",
    "DatabaseFixture",
    "DockerUnavailableError",
    "HttpCall",
    "HttpStatusError",
    "MockCache",
    "MockHttpClient",
    "MockResource",
    "MockResourceRegistry",
    "MockResponse",
    "NotSetUpError",
    "OutputPathError",
    "TestHttpServer",
    "UnknownResourceError",
    "UnusableWorkflowError",
    "WorkflowInputError",
    "WorkflowRun",
    "WorkflowRunner",
    "WorkflowStepError",
    "WorkflowTestResult",
    "register_runner",
    "unregister_runner",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "async_assertions": ("AsyncAssertions",),
        "async_utils": ("AsyncTestUtils",),
        "cache": ("MockCache",),
        "calls": ("CallRecord",),
        "database": ("DatabaseFixture",),
        "docker_postgres": ("HAS_DOCKER",),
        "errors": (
            "DockerUnavailableError",
            "NotSetUpError",
            "OutputPathError",
            "UnknownResourceError",
            "UnusableWorkflowError",
            "WorkflowInputError",
            "WorkflowStepError",
        ),
        "fixtures": ("AsyncWorkflowFixtures",),
        "http_mock": ("HttpCall", "HttpStatusError", "MockHttpClient", "MockResponse"),
        "http_server": ("TestHttpServer",),
        "mock_registry": ("MockResourceRegistry",),
        "mocks": ("MockResource",),
        "result": ("WorkflowTestResult",),
        "run": ("WorkflowRun",),
        "runners": ("WorkflowRunner", "register_runner", "unregister_runner"),
        "test_case": ("AsyncWorkflowTestCase",),
    },
    extra="workflows",
)
