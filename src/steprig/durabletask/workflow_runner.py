"""Runs Durable Task orchestrators as workflows of `steprig.workflows`. Found by the entry point group of its runners.

Imports the SDK only when there is such a function.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from steprig.kernel import WorkflowReport
from steprig.kernel.workflow_runner import needing

Function = Callable[..., Any]


class DurableTaskWorkflow:
    """An orchestrator, with what it needs beside it to be run as a workflow.

    Args:
        orchestrator: The orchestrator to run: `(ctx, input)`.
        activities: The activities that it calls.
        orchestrators: Those that it calls as sub-orchestrators.
        entities: Functions and classes.
    """

    def __init__(
        self,
        orchestrator: Function,
        *,
        activities: Iterable[Function] = (),
        orchestrators: Iterable[Function] = (),
        entities: Iterable[Function] = (),
    ) -> None:
        self.orchestrator = orchestrator
        self.activities = (*activities,)
        self.orchestrators = (orchestrator, *(each for each in orchestrators if each is not orchestrator))
        self.entities = (*entities,)


class DurableTaskRunner:
    """Runs an orchestrator on a backend of the test's own, by a virtual clock.

    The functions run on threads of the SDK's worker; what they use of the test's event loop they reach by
    `asyncio.run_coroutine_threadsafe`.
    """

    kind = "a Durable Task orchestrator, which is a generator function of (ctx, input) (extra durabletask)"
    takes_any_input = True

    def accepts(self, workflow: object) -> bool:
        """See `WorkflowRunner.accepts`. An orchestrator that is no generator function needs `DurableTaskWorkflow`."""
        return isinstance(workflow, DurableTaskWorkflow) or _is_orchestrator(workflow)

    def prepare(self) -> None:
        """See `WorkflowRunner`: imports the SDK."""
        needing("durabletask", "steprig.durabletask.workflow_host")

    def name_of(self, workflow: Any) -> str:
        """The orchestrator's."""
        return str(_as_workflow(workflow).orchestrator.__name__)

    async def run(self, workflow: Any, inputs: Any, run: WorkflowReport) -> None:
        """See `WorkflowRunner.run`."""
        from steprig.durabletask.workflow_host import hosted

        host = await run.kept(("durabletask", workflow), lambda: hosted(_as_workflow(workflow)))
        await host.run(inputs, run)


def _as_workflow(workflow: Any) -> DurableTaskWorkflow:
    return workflow if isinstance(workflow, DurableTaskWorkflow) else DurableTaskWorkflow(workflow)


def _is_orchestrator(workflow: object) -> bool:
    if not inspect.isgeneratorfunction(workflow):
        return False
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in by_position for each in inspect.signature(workflow).parameters.values()) == 2
