"""Which handler lives where."""

from collections.abc import Callable

from steprig.aws import records as r
from steprig.aws.hosting.concurrency import Concurrency
from steprig.aws.hosting.lambda_endpoint import LambdaEndpoint
from steprig.aws.hosting.processes import PATIENCE, HandlerProcesses
from steprig.aws.in_process import InProcessInvoker
from steprig.aws.invocations import Outcome
from steprig.aws.invoker import DurableCall, Invoker, PlainCall, Service

_MARGIN = 5.0
"""Seconds in which a host that keeps the limit of a call itself has told that it is over."""


class Hosts:
    """Calls a handler in this process, in one of its own, or else at the Lambda endpoint.

    No more invocations of a function run at once than it has concurrency; the engine's wait for their turn. A handler
    in this process that takes longer than it may is given up but cannot be stopped, and counts until it returns.

    Args:
        here: Calls those that were registered with it, and says of unknown ones that there are none.
        processes: Calls those that live in processes of their own.
        endpoint: Calls all others, if there is one.
    """

    def __init__(self, here: InProcessInvoker, processes: HandlerProcesses, endpoint: LambdaEndpoint) -> None:
        self.concurrency = Concurrency()
        self._here = here
        self._processes = processes
        self._endpoint = endpoint

    def invoke(self, call: DurableCall, service: Service, report: Callable[[Outcome], None]) -> None:
        """See `Invoker.invoke`."""
        name = _bare(call.caller.function)

        def ended(outcome: Outcome) -> None:
            self.concurrency.end(name)
            report(outcome)

        self.concurrency.begin(name, lambda: self._host(call.caller.function).invoke(call, service, ended))

    def call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        """See `Invoker.call`."""
        self.concurrency.begin(_bare(call.caller.function), lambda: self._call(call, report))

    def try_call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> bool:
        """`call`, unless too many run already. Returns whether it was done."""
        may_run = self.concurrency.try_begin(_bare(call.caller.function))
        if may_run:
            self._call(call, report)
        return may_run

    def is_full(self, function: str) -> bool:
        """Whether one more invocation were too many."""
        return self.concurrency.is_full(_bare(function))

    def patience(self, function: str, timeout: float) -> float:
        """How many seconds to wait for a call that may take `timeout`.

        A handler in this process is given up by who waits for it. The other hosts keep the limit themselves, from when
        a process is ready.
        """
        if self._processes.serves(function):
            return timeout + PATIENCE
        return timeout if self._here.serves(function) else timeout + _MARGIN

    def _call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        def ended(end: r.ExecutionEnd) -> None:
            self.concurrency.end(_bare(call.caller.function))
            report(end)

        self._host(call.caller.function).call(call, ended)

    def _host(self, function: str) -> Invoker:
        if self._processes.serves(function):
            return self._processes
        if not self._here.serves(function) and self._endpoint.serves(function):
            return self._endpoint
        return self._here


def _bare(function: str) -> str:
    return function.partition(":")[0]
