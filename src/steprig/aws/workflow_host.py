"""What one AWS durable function runs on as a workflow."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from aws_durable_execution_sdk_python.serdes import EXTENDED_TYPES_SERDES, SerDesContext

from steprig.aws import DurableFunctionTestRunner
from steprig.aws.workflow_runner import DurableFunctionWorkflow
from steprig.kernel import Run, WorkflowInputError, WorkflowReport

_MOST_AT_ONCE = 1000
"""Runs that are waited for; further ones go on all the same, and are waited for later."""

_FOREVER = 1e6
"""Seconds. Who asks for the run limits it."""


@asynccontextmanager
async def hosted(workflow: DurableFunctionWorkflow) -> AsyncIterator["WorkflowHost"]:
    """Make what a workflow runs on, and end it."""
    runner = await asyncio.to_thread(workflow.runner)
    threads = ThreadPoolExecutor(_MOST_AT_ONCE, "steprig-workflow")  # not the loop's few, which the function may need
    try:
        yield WorkflowHost(workflow.name, runner, threads)
    finally:
        await asyncio.to_thread(runner.close)
        await asyncio.to_thread(threads.shutdown)


class WorkflowHost:
    """Runs the function, also several times at once.

    Args:
        name: The function's.
        runner: Runs it.
        threads: Where to wait for its ends.
    """

    def __init__(self, name: str, runner: DurableFunctionTestRunner, threads: ThreadPoolExecutor) -> None:
        self._name = name
        self._runner = runner
        self._threads = threads

    async def run(self, event: Any, run: WorkflowReport) -> None:
        """Run it once. See `WorkflowRunner.run`."""
        with run.taking_stray_logs():  # its functions run on threads that the SDK makes
            arn = self._runner.run_async(_as_json(event), function_name=self._name, execution_name=run.id)
            try:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, lambda: self._runner.wait_for_result(arn, _FOREVER))
            except BaseException:
                self._runner.stop_execution(arn)
                raise
            finally:
                ended = self._runner.timeline.run(arn)
                assert ended is not None
                run.ended(ended, name=self._name, is_own=not _came_through(ended), decode=_decode)


def _as_json(event: Any) -> str:
    try:
        return json.dumps({} if event is None else event)
    except (TypeError, ValueError) as error:
        raise WorkflowInputError(f"the inputs are the event of a function, which is JSON: {error}") from None


def _came_through(run: Run) -> bool:
    """Whether it has failed by an error of a step: of the SDK's kinds, with the message of the step's own."""
    return run.failure is not None and run.failure.name.startswith("aws_durable_execution_sdk_python.exceptions.")


def _decode(payload: bytes) -> Any:
    """What the SDK has made of a step's output; of one with a serializer of the user's own what it is as JSON."""
    text = payload.decode()
    try:
        return EXTENDED_TYPES_SERDES.deserialize(text, SerDesContext())
    except Exception:  # noqa: BLE001 - whatever a foreign payload makes the SDK raise
        return json.loads(text)
