"""Calls handlers that live in processes of their own, which are started as they are needed."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

from steprig.aws import records as r
from steprig.aws.arns import function_arn
from steprig.aws.hosting.environment import Environment, HandlerProcess
from steprig.aws.hosting.invocation_logs import InvocationLog, InvocationLogs, execution_key
from steprig.aws.hosting.replies import Reply, outcome_of, plain_end_of
from steprig.aws.hosting.runtime_api import RuntimeInvocation
from steprig.aws.http.wire import invocation_event
from steprig.aws.invocations import Failed, Outcome, timed_out
from steprig.aws.invoker import Caller, DurableCall, PlainCall, Service
from steprig.aws.model import ErrorObject
from steprig.aws.workers import Workers
from steprig.kernel import Clock
from steprig.live import ServerShutdownError, ServerStartupError

_log = logging.getLogger(__name__)

INIT_SECONDS = 10.0
"""How long a process may take until it is ready for invocations. That is no part of any invocation's own time."""
PATIENCE = 15
"""Seconds past a call's own time in which it is told how the call has ended."""


class HandlerProcesses:
    """Runs each call in an idle process of its function, or in a new one; a process has one call at a time.

    A new one has ten seconds to begin, as Lambda's Init phase has. If it fails to, or takes longer, another begins
    along with the call, within the call's own time.

    Args:
        clock: The engine's, which may be ahead of the machine's.
        variables: The environment of each process, told when one is started.
        logs: Takes what invocations have written, where somebody wants it.
    """

    def __init__(self, clock: Clock, variables: Callable[[], Mapping[str, str]], logs: InvocationLogs) -> None:
        self._clock = clock
        self._variables = variables
        self._logs = logs
        self._handlers: dict[str, HandlerProcess] = {}
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = {}
        self._all: dict[Environment, None] = {}
        self._closed = False
        self._workers = Workers("steprig-lambda-process")

    def add(self, name: str, handler: HandlerProcess) -> None:
        """Have a handler called by this name, in the place of the one that was."""
        self._handlers[name] = handler

    def discard(self, name: str) -> None:
        """Have no handler called by this name."""
        self._handlers.pop(name, None)

    def serves(self, function: str) -> bool:
        """Whether a handler was added by this name."""
        return function in self._handlers

    def invoke(self, call: DurableCall, service: Service, report: Callable[[Outcome], None]) -> None:
        """See `Invoker.invoke`."""

        def run() -> None:
            event = invocation_event(call, self._clock.ahead())
            told = self._logged(execution_key(call.arn), call.caller, str(call.invocation), event)
            if isinstance(told, Reply):
                report(outcome_of(told, call.caller.function))
            else:
                report(Failed(told))

        self._workers.run(run)

    def call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        """See `Invoker.call`."""

        def run() -> None:
            request_id = call.request_id or str(uuid4())
            told = self._logged(request_id, call.caller, request_id, call.payload.encode())
            report(plain_end_of(told) if isinstance(told, Reply) else r.ExecutionFailed(error=told))

        self._workers.run(run)

    def close(self, timeout: float = 5.0) -> None:
        """End all processes. Calls that are being made come to nothing."""
        with self._lock:
            self._closed = True
            environments = list(self._all)
        for environment in environments:
            self._end(environment)
        for busy in self._workers.close(timeout):
            _log.warning("thread %s still waits for a function, %g s after its process was ended", busy, timeout)

    def logs(self, function: str) -> list[str]:
        """What the processes of a function have written, of those that run."""
        with self._lock:
            environments = [one for one in self._all if one.function == function]
        return [line for one in environments for line in one.logs]

    def _logged(self, key: str, caller: Caller, request_id: str, event: bytes) -> Reply | ErrorObject:
        return self._run(caller, request_id, event, self._logs.open(key, request_id, caller.version))

    def _run(self, caller: Caller, request_id: str, event: bytes, log: InvocationLog | None) -> Reply | ErrorObject:
        while True:
            try:
                environment, is_new = self._take(caller.function)
                if is_new and not environment.await_init(INIT_SECONDS):
                    self._end(environment)
                    environment = self._new(caller.function)
            except ServerStartupError as error:
                return ErrorObject(error_type="Runtime.InvalidEntrypoint", error_message=str(error))
            told = self._run_in(environment, caller, request_id, event, log, is_new=is_new)
            if isinstance(told, Reply) or is_new or self._closed or environment.has_begun(request_id):
                return told  # else it had died while it was idle, and nobody had noticed

    def _run_in(
        self,
        environment: Environment,
        caller: Caller,
        request_id: str,
        event: bytes,
        log: InvocationLog | None,
        *,
        is_new: bool,
    ) -> Reply | ErrorObject:
        invocation = RuntimeInvocation(request_id, event, _headers(caller, request_id))
        init = environment.init if is_new else None
        if log is not None:
            log.begin()
        told = environment.run(invocation, caller.timeout)
        if log is not None:
            log.time_out(caller.timeout) if told is None else log.end(init)
        if told is None:
            self._end(environment)
        if log is not None:
            log.write(environment.log_of(request_id))
        if told is None:
            return timed_out(caller.timeout).error
        self._give_back(caller.function, environment)
        return told

    def _take(self, function: str) -> tuple[Environment, bool]:
        """An idle process, or a new one, and whether it is new."""
        while (idle := self._pop_idle(function)) is not None:
            if idle.is_usable:
                return idle, False
            self._end(idle)
        return self._new(function), True

    def _pop_idle(self, function: str) -> Environment | None:
        with self._lock:
            idle = self._idle.get(function)
            return idle.pop() if idle else None

    def _new(self, function: str) -> Environment:
        with self._lock:
            if self._closed:
                raise ServerStartupError("The service was stopped.")
            environment = Environment(function, self._handlers[function], self._variables())
            self._all[environment] = None
        try:
            environment.start()
        except ServerStartupError:
            self._end(environment)
            raise
        return environment

    def _give_back(self, function: str, environment: Environment) -> None:
        with self._lock:
            is_kept = environment.is_usable and not self._closed
            if is_kept:
                self._idle.setdefault(function, []).append(environment)
        if not is_kept:
            self._end(environment)

    def _end(self, environment: Environment) -> None:
        with self._lock:
            self._all.pop(environment, None)
        try:
            environment.close()
        except ServerShutdownError as error:
            _log.warning("%s", error)


def _headers(caller: Caller, request_id: str) -> dict[str, str]:
    bare, _, qualifier = caller.function.partition(":")
    arn = function_arn(bare, region=caller.region, account=caller.account, qualifier=qualifier or None)
    headers = {
        "Lambda-Runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": str(round((time.time() + caller.timeout) * 1000)),
        "Lambda-Runtime-Invoked-Function-Arn": arn,
        "Lambda-Runtime-Trace-Id": caller.trace_id,
        "Lambda-Runtime-Aws-Tenant-Id": caller.tenant_id,
        "Lambda-Runtime-Client-Context": caller.client_context,
    }
    return {name: value for name, value in headers.items() if value is not None}
