"""kailash's async runtime, with what a test has to be able to rely on.

Facts of kailash 2.65 that this makes good: nodes of a level go on after one of them has failed; a
connection whose path does not exist gives None or the whole output; nothing is told of the nodes
that finished before a failure; `asyncio.create_task` is replaced for the whole process; each runtime
makes logging forget what it knows of every logger's level.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from time import perf_counter
from typing import Any

from kailash.nodes.base_async import AsyncNode  # type: ignore[import-untyped]
from kailash.nodes.code.async_python import AsyncPythonCodeNode  # type: ignore[import-untyped]
from kailash.runtime.async_local import AsyncLocalRuntime, ExecutionContext  # type: ignore[import-untyped]
from kailash.sdk_exceptions import NodeExecutionError, WorkflowExecutionError  # type: ignore[import-untyped]

from steprig.kernel import WorkflowReport
from steprig.workflows.kailash_inputs import check_inputs, resolve_connections
from steprig.workflows.kailash_tasks import create_task_left_alone, variables_of
from steprig.workflows.paths import unwrapped


async def run_workflow(workflow: Any, inputs: Mapping[str, Any], run: WorkflowReport) -> None:
    """Run a workflow; when this returns or raises, none of its nodes goes on.

    Raises:
        WorkflowInputError: kailash would drop an input or choke on it.
    """
    check_inputs(workflow, inputs)
    runtime = _Runtime(run)
    with create_task_left_alone() as started:
        try:
            await runtime.run(workflow, inputs)
        finally:
            await runtime.end(started)


class _SteadyLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose level is only set when it changes: at each setting logging forgets what it knows of all loggers,
    and kailash sets the same one for every runtime."""

    def setLevel(self, level: int | str) -> None:  # noqa: N802 - logging's own name
        if self.logger.level != level:
            super().setLevel(level)


class _Runtime(AsyncLocalRuntime):  # type: ignore[misc]
    """One run's runtime. Each node's start and end pass through here."""

    def __init__(self, run: WorkflowReport) -> None:
        super().__init__(resource_registry=run.resources, execution_timeout=0)
        self._steprig_run = run
        self._steprig_tasks: set[asyncio.Task[Any]] = set()
        self._steprig_busy = 0
        self._steprig_failed = False

    @property
    def logger(self) -> _SteadyLogger:
        return self._steprig_logger

    @logger.setter
    def logger(self, logger: logging.Logger) -> None:
        self._steprig_logger = _SteadyLogger(logger)

    async def run(self, workflow: Any, inputs: Mapping[str, Any]) -> None:
        if not any(isinstance(node, AsyncNode) for node in workflow._node_instances.values()):
            self.on_node_complete(lambda event: None)  # with a subscriber these are run node by node, too
        context = ExecutionContext(resource_registry=self.resource_registry)
        try:
            await self.execute_workflow_async(workflow, dict(inputs), context)
        except WorkflowExecutionError as error:
            if not self._steprig_failed:
                raise original_of(error) from error

    async def end(self, started: Iterable["asyncio.Task[Any]"]) -> None:
        """Stop the nodes that are left, and what nodes have started; wait for their end; then close."""
        left = [task for task in (*self._steprig_tasks, *started) if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        if self._steprig_busy:
            # A thread cannot be stopped. To wait for it on the loop would block it.
            await asyncio.to_thread(self.close)
        else:
            self.close()

    async def _execute_node_async(self, workflow: Any, node_id: str, tracker: Any, context: Any) -> None:
        await self._told(node_id, tracker, super()._execute_node_async(workflow, node_id, tracker, context))

    async def _execute_sync_node_async(self, workflow: Any, node_id: str, tracker: Any, context: Any) -> None:
        await self._told(node_id, tracker, super()._execute_sync_node_async(workflow, node_id, tracker, context))

    async def _told(self, node_id: str, tracker: Any, node: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._steprig_tasks.add(task)
        began = perf_counter()
        try:
            await node
        except asyncio.CancelledError:
            self._steprig_run.cancelled(node_id, began=began)
            raise
        except Exception as error:
            self._steprig_failed = True
            self._steprig_run.failed(node_id, original_of(error), began=began)
            raise
        self._steprig_run.completed(node_id, unwrapped(tracker.node_outputs.get(node_id)), began=began)

    def _execute_sync_node_in_thread(self, node_instance: Any, inputs: dict[str, Any]) -> Any:
        return self._counting(super()._execute_sync_node_in_thread(node_instance, inputs))

    async def _counting(self, work: Coroutine[Any, Any, Any]) -> Any:
        self._steprig_busy += 1
        result = await work
        self._steprig_busy -= 1
        return result

    async def _prepare_async_node_inputs(
        self, workflow: Any, node_id: str, tracker: Any, context: Any
    ) -> dict[str, Any]:
        inputs: dict[str, Any] = await super()._prepare_async_node_inputs(workflow, node_id, tracker, context)
        inputs.update(resolve_connections(workflow.graph, node_id, tracker.node_outputs))
        node = workflow._node_instances.get(node_id)
        if isinstance(node, AsyncPythonCodeNode):
            inputs.update(variables_of(node.sandbox_mode))
        return inputs


def original_of(error: BaseException) -> BaseException:
    """The exception that a node's code raised, below those that kailash wraps it in."""
    wrappers = (WorkflowExecutionError, NodeExecutionError)
    while isinstance(error, wrappers) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
