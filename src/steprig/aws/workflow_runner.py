"""Runs AWS durable functions as workflows of `steprig.workflows`. Found by the entry point group of its runners.

Imports the SDK only when there is such a function.
"""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from steprig.kernel import WorkflowReport
from steprig.kernel.workflow_runner import needing

if TYPE_CHECKING:
    from steprig.aws import DurableFunctionTestRunner

_SDK = "aws_durable_execution_sdk_python.execution"

Handler = Callable[[Any, Any], Any]


class DurableFunctionWorkflow:
    """A durable function, with what it needs beside it to be run as a workflow.

    Args:
        handler: Decorated with `@durable_execution`.
        name: What the function is called; by default as its handler.
        durable_functions: By their names, the durable functions that it invokes.
        functions: By their names, those that it invokes and that are not durable: `handler(event, lambda_context)`.
        **options: As for `steprig.aws.DurableFunctionTestRunner`, such as `callbacks`.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        name: str | None = None,
        durable_functions: Mapping[str, Handler] | None = None,
        functions: Mapping[str, Handler] | None = None,
        **options: Any,
    ) -> None:
        self.handler = handler
        self.name = name or str(getattr(handler, "__name__", None) or type(handler).__name__)
        self.durable_functions = dict(durable_functions or {})
        self.functions = dict(functions or {})
        self.options = {"skip_deadlines": True, **options}

    def runner(self) -> "DurableFunctionTestRunner":
        """A runner that knows all of it."""
        from steprig.aws import DurableFunctionTestRunner

        runner = DurableFunctionTestRunner(self.handler, **self.options)
        for name, handler in self.durable_functions.items():
            runner.register_durable_function(name, handler)
        for name, handler in self.functions.items():
            runner.register_function(name, handler)
        return runner


class DurableFunctionRunner:
    """Runs a function on a service of the test's own, by a virtual clock. Its inputs are its event.

    The function runs on threads of the SDK, as on Lambda; what it uses of the test's event loop it reaches by
    `asyncio.run_coroutine_threadsafe`. Nobody answers its callbacks unless a `DurableFunctionWorkflow` says how, so
    that each times out at once.
    """

    kind = "an AWS durable function (extra aws)"
    takes_any_input = True

    def accepts(self, workflow: object) -> bool:
        """See `WorkflowRunner.accepts`."""
        return isinstance(workflow, DurableFunctionWorkflow) or _is_decorated(workflow)

    def prepare(self) -> None:
        """See `WorkflowRunner`: imports the SDK."""
        needing("aws", "steprig.aws.workflow_host")

    def name_of(self, workflow: Any) -> str:
        """The name of the function, or of its handler."""
        return _as_workflow(workflow).name

    async def run(self, workflow: Any, inputs: Any, run: WorkflowReport) -> None:
        """See `WorkflowRunner.run`."""
        from steprig.aws.workflow_host import hosted

        host = await run.kept(("aws", workflow), lambda: hosted(_as_workflow(workflow)))
        await host.run(inputs, run)


def _as_workflow(workflow: Any) -> DurableFunctionWorkflow:
    return workflow if isinstance(workflow, DurableFunctionWorkflow) else DurableFunctionWorkflow(workflow)


def _is_decorated(workflow: object) -> bool:
    """Whether it is what `@durable_execution` gives: the SDK marks it by nothing, so by where its code is."""
    sdk = sys.modules.get(_SDK)
    code = getattr(workflow, "__code__", None)
    return sdk is not None and code is not None and bool(code.co_filename == sdk.__file__)
