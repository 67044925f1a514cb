"""Runs an async callable as a workflow of one node."""

import inspect
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from steprig.kernel import WorkflowReport


class CallableRunner:
    """Inputs are its keyword arguments; a parameter named `get_resource` gets the async getter of resources."""

    kind = "an async callable"

    def accepts(self, workflow: object) -> bool:
        """See `WorkflowRunner.accepts`."""
        return callable(workflow) and not isinstance(workflow, type)

    def name_of(self, workflow: Any) -> str:
        """Its `__name__`, that of the function in a `partial`, or that of its class."""
        function = getattr(workflow, "func", workflow)
        return str(getattr(function, "__name__", None) or type(workflow).__name__)

    async def run(self, workflow: Any, inputs: Mapping[str, Any], run: WorkflowReport) -> None:
        """See `WorkflowRunner.run`."""
        name, began = self.name_of(workflow), perf_counter()
        extra = {"get_resource": run.resources.get_resource} if _takes_getter(workflow, inputs) else {}
        try:
            result = workflow(**inputs, **extra)
            output = await result if inspect.isawaitable(result) else result
        except Exception as error:  # noqa: BLE001 - the user's own, kept in the result
            run.failed(name, error, began=began, kind="function")
        except BaseException:
            run.cancelled(name, began=began, kind="function")
            raise
        else:
            run.completed(name, output, began=began, kind="function")
            run.returned = output


def _takes_getter(workflow: Any, inputs: Mapping[str, Any]) -> bool:
    try:
        parameters = inspect.signature(workflow).parameters
    except (TypeError, ValueError):
        return False
    return "get_resource" in parameters and "get_resource" not in inputs
