"""Runs a workflow outside of a test case."""

from collections.abc import Mapping
from typing import Any

from steprig.workflows.cleanup import CleanupStack, raise_all
from steprig.workflows.execution import execute
from steprig.workflows.kept import Kept
from steprig.workflows.mock_registry import MockResourceRegistry
from steprig.workflows.resources import TestResources


async def assert_workflow_succeeds(
    workflow: object, inputs: Mapping[str, Any] | None = None, runtime: Any = None, timeout: float | None = 30.0
) -> dict[str, Any]:
    """Run a workflow, and fail with its errors unless it succeeds.

    Args:
        workflow: As for `AsyncWorkflowTestCase.execute_workflow`.
        inputs: Its inputs.
        runtime: A runtime of kailash, whose resources the workflow gets; the run has one of its own.
        timeout: Seconds; None for no limit.

    Returns:
        What each node gave.
    """
    cleanups = CleanupStack()
    resources = getattr(runtime, "resource_registry", None) or TestResources(MockResourceRegistry(), cleanups)
    try:
        result = await execute(workflow, inputs, resources, Kept(cleanups), timeout=timeout, capture_logs=True)
    finally:
        errors = await cleanups.run()
    raise_all(errors, "what the workflow ran on could not be closed")
    if result.status != "success":
        raise AssertionError(f"the workflow failed: {result.error}\n{result.get_logs()}")
    return result.outputs
