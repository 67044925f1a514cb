"""Runs Inngest functions as workflows of `steprig.workflows`. Found by the entry point group of its runners.

Imports the SDK only when there is such a function.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steprig.kernel import WorkflowReport
from steprig.kernel.workflow_runner import needing

if TYPE_CHECKING:
    import inngest


class InngestWorkflow:
    """A function, with what it needs beside it to be run as a workflow.

    Args:
        function: The function to run.
        functions: Others: those that it invokes, or that the events which it sends start.
        client: The client that it was created with, for its middleware, its serializer and its logger.
        event: The name of the event that starts it; by default that of its first event trigger. A function that
            only has cron triggers is invoked.
    """

    def __init__(
        self,
        function: "inngest.Function[Any]",
        *,
        functions: "Sequence[inngest.Function[Any]]" = (),
        client: "inngest.Inngest | None" = None,
        event: str | None = None,
    ) -> None:
        self.function = function
        self.functions = (function, *functions)
        self.client = client
        self.event = event


class InngestRunner:
    """Runs a function on a dev server of the test's own, by a virtual clock. Its inputs are the data of its event.

    The function runs on the test's event loop, so that it can use what the test has made there. Nobody sends anything
    to it meanwhile: where it waits for an event that none of its functions sends, the wait times out at once.
    """

    kind = "an Inngest function (extra inngest)"

    def accepts(self, workflow: object) -> bool:
        """See `WorkflowRunner.accepts`."""
        module = sys.modules.get("inngest")
        return isinstance(workflow, InngestWorkflow) or (module is not None and isinstance(workflow, module.Function))

    def prepare(self) -> None:
        """See `WorkflowRunner`: imports the SDK."""
        needing("inngest", "steprig.inngest.workflow_host")

    def name_of(self, workflow: Any) -> str:
        """Its id, without that of its app."""
        return str(_as_workflow(workflow).function.local_id)

    async def run(self, workflow: Any, inputs: Mapping[str, Any], run: WorkflowReport) -> None:
        """See `WorkflowRunner.run`."""
        from steprig.inngest.workflow_host import hosted

        host = await run.kept(("inngest", workflow), lambda: hosted(_as_workflow(workflow)))
        await host.run(inputs, run)


def _as_workflow(workflow: Any) -> InngestWorkflow:
    return workflow if isinstance(workflow, InngestWorkflow) else InngestWorkflow(workflow)
