"""Runs kailash workflows by kailash's own async runtime. Imports kailash only when there is such a workflow."""

import sys
from collections.abc import Mapping
from typing import Any

from steprig.kernel import WorkflowReport


class KailashRunner:
    """Takes what `AsyncWorkflowBuilder.build()` and `WorkflowBuilder.build()` give."""

    kind = "a kailash workflow (extra kailash)"

    def accepts(self, workflow: object) -> bool:
        """See `WorkflowRunner.accepts`."""
        module = sys.modules.get("kailash.workflow.graph")
        return module is not None and isinstance(workflow, module.Workflow)

    def name_of(self, workflow: Any) -> str:
        """The name that its builder was given; `Workflow.name` is made up by `build`."""
        return str((workflow.metadata or {}).get("name") or workflow.name)

    async def run(self, workflow: Any, inputs: Mapping[str, Any], run: WorkflowReport) -> None:
        """See `WorkflowRunner.run`."""
        from steprig.workflows.kailash_runtime import run_workflow

        await run_workflow(workflow, inputs, run)
