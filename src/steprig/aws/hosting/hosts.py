"""Which handler lives where."""

from collections.abc import Callable

from steprig.aws import records as r
from steprig.aws.hosting.lambda_endpoint import LambdaEndpoint
from steprig.aws.hosting.processes import HandlerProcesses
from steprig.aws.in_process import InProcessInvoker
from steprig.aws.invocations import Outcome
from steprig.aws.invoker import DurableCall, Invoker, PlainCall, Service


class Hosts:
    """Calls a handler in this process, in one of its own, or else at the Lambda endpoint.

    Args:
        here: Calls those that were registered with it, and says of unknown ones that there are none.
        processes: Calls those that live in processes of their own.
        endpoint: Calls all others, if there is one.
    """

    def __init__(self, here: InProcessInvoker, processes: HandlerProcesses, endpoint: LambdaEndpoint) -> None:
        self._here = here
        self._processes = processes
        self._endpoint = endpoint

    def invoke(self, call: DurableCall, service: Service, report: Callable[[Outcome], None]) -> None:
        """See `Invoker.invoke`."""
        self._host(call.caller.function).invoke(call, service, report)

    def call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        """See `Invoker.call`."""
        self._host(call.caller.function).call(call, report)

    def _host(self, function: str) -> Invoker:
        if self._processes.serves(function):
            return self._processes
        if not self._here.serves(function) and self._endpoint.serves(function):
            return self._endpoint
        return self._here
