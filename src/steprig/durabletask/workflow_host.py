"""What one Durable Task orchestrator runs on as a workflow: a backend with a virtual clock, and a worker."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

from steprig.durabletask import EmbeddedTaskHub, create_test_backend
from steprig.durabletask.workflow_calls import Calls
from steprig.durabletask.workflow_runner import DurableTaskWorkflow
from steprig.durabletask.workflow_tree import WholeRun
from steprig.kernel import VirtualClock, WorkflowInputError, WorkflowReport

logger = logging.getLogger("steprig.workflows.durabletask")
logger.setLevel(logging.ERROR)  # the SDK's workers say at INFO and WARNING that they start and stop

_FOREVER = 1e6
"""Seconds. Who asks for the run limits it."""


@asynccontextmanager
async def hosted(workflow: DurableTaskWorkflow) -> AsyncIterator["WorkflowHost"]:
    """Start what a workflow runs on, and end it."""
    with ExitStack() as started:
        host = await asyncio.to_thread(started.enter_context, _started(workflow))
        try:
            yield host
        finally:
            await asyncio.to_thread(started.close)


@contextmanager
def _started(workflow: DurableTaskWorkflow) -> Iterator["WorkflowHost"]:
    calls = Calls()
    with (
        VirtualClock() as clock,
        create_test_backend(port=0, clock=clock) as backend,
        EmbeddedTaskHub(backend) as hub,
    ):
        hub.worker(
            orchestrators=map(calls.observed, workflow.orchestrators),
            activities=map(calls.observed, workflow.activities),
            entities=workflow.entities,
            logger=logger,
        )
        yield WorkflowHost(workflow, hub, calls)


class WorkflowHost:
    """Runs the orchestrator, also several times at once.

    Args:
        workflow: What to run.
        hub: Where its worker is connected.
        calls: The worker's.
    """

    def __init__(self, workflow: DurableTaskWorkflow, hub: EmbeddedTaskHub, calls: Calls) -> None:
        self._name: str = workflow.orchestrator.__name__
        self._hub = hub
        self._client = hub.client(logger=logger)
        self._calls = calls

    async def run(self, value: Any, run: WorkflowReport) -> None:
        """Run it once. See `WorkflowRunner.run`."""
        self._calls.expect(run.id, run.context)
        try:
            await asyncio.to_thread(self._start, value, run.id)
            try:
                await self._wait_for_end(run.id)
            finally:
                self._tell(run)
        finally:
            self._calls.forget(run.id)

    def _tell(self, run: WorkflowReport) -> None:
        """Tell of a run that has ended, or was stopped."""
        ended = self._hub.timeline.run(run.id)
        assert ended is not None
        whole = WholeRun(self._hub.timeline, self._calls, ended)
        run.ended(whole.run, name=self._name, raised=whole.raised, own=self._calls.raised_by(run.id))

    async def _wait_for_end(self, instance_id: str) -> None:
        try:
            with self._hub.clock.awaiting_result():
                await self._hub.timeline.until(instance_id, lambda run: run.status.ended, timeout=_FOREVER)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._client.terminate_orchestration, instance_id))
            raise

    def _start(self, value: Any, instance_id: str) -> None:
        try:
            self._client.schedule_new_orchestration(self._name, input=value, instance_id=instance_id)
        except (TypeError, ValueError) as error:
            raise WorkflowInputError(f"the inputs are the input of an orchestration, which is JSON: {error}") from None
