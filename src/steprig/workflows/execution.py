"""Runs a workflow by its runner, within a time limit, and makes one result of whatever comes."""

import asyncio
import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from steprig.kernel import WorkflowResources, WorkflowRunner
from steprig.workflows.errors import WorkflowInputError
from steprig.workflows.kept import Kept
from steprig.workflows.log_capture import captured_logs
from steprig.workflows.result import WorkflowTestResult
from steprig.workflows.run import WorkflowRun
from steprig.workflows.runners import runner_for

logger = logging.getLogger("steprig.workflows")


async def execute(
    workflow: object,
    inputs: Any,
    resources: WorkflowResources,
    kept: Kept,
    *,
    timeout: float | None,
    capture_logs: bool,
) -> WorkflowTestResult:
    """Run a workflow to its end. For the arguments see `AsyncWorkflowTestCase.execute_workflow`.

    Raises:
        AssertionError: It took longer than `timeout` seconds.
        UnusableWorkflowError: Nothing can run it.
        WorkflowInputError: It would never see an input as it was meant.
    """
    runner, run = runner_for(workflow), WorkflowRun(resources, kept)
    inputs = _checked(inputs, runner)
    if (prepare := getattr(runner, "prepare", None)) is not None:
        await asyncio.to_thread(prepare)
    name, began = runner.name_of(workflow), perf_counter()
    logger.debug("run of workflow %r begins (%s)", name, run.id)
    with captured_logs(enabled=capture_logs) as lines:
        failure = await _run(runner, workflow, inputs, run, name, timeout)
    result = _result(name, run, failure, lines, perf_counter() - began)
    logger.debug("run of workflow %r: %s after %.3f s", name, result.status, result.execution_time)
    return result


def _checked(inputs: Any, runner: WorkflowRunner) -> Any:
    if getattr(runner, "takes_any_input", False):
        return inputs
    if inputs is not None and not isinstance(inputs, Mapping):
        raise WorkflowInputError(f"the inputs of a workflow are a dict from names to values; got {inputs!r}")
    return inputs or {}


async def _run(
    runner: WorkflowRunner, workflow: object, inputs: Any, run: WorkflowRun, name: str, timeout: float | None
) -> Exception | None:
    began, limit, failure = perf_counter(), asyncio.timeout(timeout), None
    try:
        async with limit:
            await runner.run(workflow, inputs, run)
    except WorkflowInputError:
        raise
    except Exception as error:  # noqa: BLE001 - the workflow's, kept in the result
        failure = error
    took = perf_counter() - began
    if limit.expired():  # also where the workflow has answered its cancellation with a result or another error
        raise AssertionError(
            f"the workflow {name!r} was stopped, as it took longer than {timeout:g} s; nodes finished: {_finished(run)}"
        )
    if timeout is not None and took > timeout:
        raise AssertionError(
            f"the workflow {name!r} took {took:.3f} s, longer than {timeout:g} s, and could not be stopped, as it "
            f"blocked the loop; nodes finished: {_finished(run)}"
        )
    return failure


def _finished(run: WorkflowRun) -> str:
    return ", ".join(run.outputs) or "none"


def _result(
    name: str, run: WorkflowRun, failure: Exception | None, lines: list[str], seconds: float
) -> WorkflowTestResult:
    errors = [*run.errors] if failure is None else [*run.errors, (name, failure)]
    return WorkflowTestResult(
        status="failed" if errors else "success",
        outputs=run.outputs,
        errors=errors,
        error=_in_words(errors),
        execution_time=seconds,
        node_timings=run.timings,
        logs=lines,
        steps=run.steps,
        run_id=run.id,
        returned=run.returned,
    )


def _in_words(errors: list[tuple[str, BaseException]]) -> str | None:
    return "; ".join(f"{node!r} failed: {type(error).__name__}: {error}" for node, error in errors) or None
