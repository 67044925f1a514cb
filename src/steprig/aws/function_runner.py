"""Runs a durable function, and whatever it invokes, in this process."""

import math
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

from aws_durable_execution_sdk_python.lambda_service import ErrorObject

from steprig.aws import limits
from steprig.aws.engine import Engine
from steprig.aws.errors import DurableFunctionsTestError
from steprig.aws.history import Event, events
from steprig.aws.in_process import Handler, InProcessInvoker
from steprig.aws.inputs import as_json
from steprig.aws.moving import advance
from steprig.aws.projection import project
from steprig.aws.prompt import hurry_sdk
from steprig.aws.records import EXECUTION
from steprig.aws.registering import Registry
from steprig.aws.responders import Responder, Responders
from steprig.aws.result import DurableFunctionTestResult, result_of
from steprig.aws.sdk_objects import error_from
from steprig.aws.starting import Start
from steprig.aws.state import Execution
from steprig.aws.waited_for import NOT_COMPLETE, is_answered, not_available, open_callback
from steprig.aws.watchers import ExecutionNotReachedError
from steprig.kernel import Clock, Journal, MemoryJournal, RealClock, Timeline, VirtualClock
from steprig.kernel.tree import run_tree

_GRACE = 10.0
"""Real seconds for an execution to end once its own timeout should have ended it."""


class ExecutionHistory(NamedTuple):
    """The events of an execution, in order."""

    events: list[Event]


class DurableFunctionTestRunner:
    """Runs a durable function, and whatever it invokes, in this process. Use it as a context manager.

    Waits, delays between attempts and the backoff after a crashed invocation take no time: the clock jumps over them
    whenever nothing runs. Deadlines do take theirs, since the test may still beat them: the timeouts of callbacks and
    of executions. Four things end one: real time, while the test waits for a result; `advance`; `skip_deadlines`; an
    answer. A wait that is skipped may pass a deadline, which then still can be beaten; with `skip_deadlines` all come
    in the order of their times.

    Args:
        handler: A function decorated with `@durable_execution`.
        poll_interval: Taken for the sake of code that gives it. Nothing is polled for.
        max_invocation_page_bytes: How much of the payloads an invocation is handed at once; 5 MiB unless told.
        execution_timeout: Seconds that an execution may take on the clock. Without it one may take 300 real seconds,
            and whatever time is skipped does not count.
        invocation_timeout: Seconds that one invocation may take.
        store: A journal to record in, such as `steprig.kernel.SqliteJournal`, and to go on from: what was under way
            in it when another process left it is resumed by `resume`.
        skip_time: False to let all take its real time.
        region: Of the ARNs.
        callbacks: For the name of a callback or of a `wait_for_callback` what answers it: a value (text and bytes as
            they are, whatever else as JSON), or a callable that takes a `PendingCallback` and returns one. What it
            raises fails the callback.
        skip_deadlines: Let whoever waits for a result skip to the deadlines, too, as nobody will answer in between.
        clock: Instead of a clock of its own, which `skip_time` chooses.
        hurry_sdk: False to leave the SDK as slow as it is, with new threads for each invocation; see
            `steprig.aws.prompt`.
    """

    def __init__(
        self,
        handler: Handler,
        poll_interval: float = 1.0,
        max_invocation_page_bytes: int | None = None,
        execution_timeout: int | None = None,
        invocation_timeout: int = limits.INVOCATION_TIMEOUT,
        store: Journal | None = None,
        skip_time: bool = True,
        region: str = "us-west-2",
        *,
        callbacks: Mapping[str, Responder] | None = None,
        skip_deadlines: bool = False,
        clock: Clock | None = None,
        hurry_sdk: bool = True,
    ) -> None:
        self.poll_interval = poll_interval
        self._handler = handler
        self._execution_timeout = execution_timeout
        self._region = region
        self._skip_deadlines = skip_deadlines
        self._own_clock = clock is None
        self._own_journal = store is None
        self._journal: Journal = store if store is not None else MemoryJournal()
        self.clock: Clock = clock if clock is not None else VirtualClock() if skip_time else RealClock()
        self._invoker = InProcessInvoker(self.clock)
        self._registry = Registry(self._invoker)
        self._engine = Engine(
            self.clock,
            self._journal,
            self._registry.functions,
            self._invoker,
            invocation_timeout=invocation_timeout,
            page_bytes=limits.FIRST_PAGE_BYTES if max_invocation_page_bytes is None else max_invocation_page_bytes,
        )
        self._responders = Responders(callbacks or {}, self._engine, self.clock)
        if callbacks:
            self._engine.watch(None, self._responders.look)
        self._timeline: Timeline | None = None
        self._release_sdk = _hurry_sdk() if hurry_sdk else _nothing

    # --- Functions ----------------------------------------------------------------------------------

    def register_durable_function(
        self,
        function_name: str,
        handler: Handler,
        execution_timeout: int | None = None,
        retention_period_days: int = 1,
    ) -> Self:
        """Let functions invoke a durable one.

        Args:
            function_name: With a qualifier, `name:1`, for that alone.
            handler: Decorated with `@durable_execution`.
            execution_timeout: Seconds that its execution may take on the clock. Without it one may take 120 real ones.
            retention_period_days: What its executions say of how long they are kept.
        """
        self._registry.add_durable(function_name, handler, execution_timeout, retention_period_days)
        return self

    def register_function(self, function_name: str, handler: Handler) -> Self:
        """Let functions invoke one that is not durable: `handler(event, lambda_context)`."""
        self._registry.add_plain(function_name, handler)
        return self

    # --- Running ------------------------------------------------------------------------------------

    def run(
        self,
        input: Any = None,  # noqa: A002 - the peer's name
        execution_timeout: int | None = None,
        timeout: int | None = None,
        function_name: str = "test-function",
        execution_name: str = "execution-name",
        account_id: str = "123456789012",
        tenant_id: str | None = None,
        *,
        skip_deadlines: bool | None = None,
    ) -> DurableFunctionTestResult:
        """Run the function and wait for its end.

        Args:
            input: Text that is JSON is the input as it stands; whatever else is written as JSON.
            execution_timeout: Seconds that the execution may take, on the clock as well as in real time.
            timeout: The old name of `execution_timeout`.
            function_name: What the function is called.
            execution_name: What the execution is called. Need not be unique.
            account_id: Of the ARNs.
            tenant_id: What the handler's context says of the tenant.
            skip_deadlines: Instead of what the runner was made with.

        Returns:
            The result, also of an execution that has failed or timed out.
        """
        if timeout is not None and execution_timeout is None:
            message = "timeout on run() is deprecated. Use execution_timeout instead."
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        seconds = execution_timeout if execution_timeout is not None else timeout
        arn = self._start(input, seconds, function_name, execution_name, account_id, tenant_id)
        patience = seconds or self._execution_timeout or limits.EXECUTION_TIMEOUT
        return self.wait_for_result(arn, patience + _GRACE, skip_deadlines=skip_deadlines)

    def run_async(
        self,
        input: Any = None,  # noqa: A002
        execution_timeout: int | None = None,
        timeout: int | None = None,
        function_name: str = "test-function",
        execution_name: str = "execution-name",
        account_id: str = "123456789012",
        tenant_id: str | None = None,
    ) -> str:
        """Start the function. Takes what `run` takes; returns the execution's ARN."""
        seconds = execution_timeout if execution_timeout is not None else timeout
        return self._start(input, seconds, function_name, execution_name, account_id, tenant_id)

    def wait_for_result(
        self, execution_arn: str, timeout: float = 60, *, skip_deadlines: bool | None = None
    ) -> DurableFunctionTestResult:
        """Wait for the end of an execution.

        Args:
            execution_arn: From `run_async`.
            timeout: Real seconds.
            skip_deadlines: Instead of what the runner was made with.

        Raises:
            TimeoutError: It goes on; the message shows where it is.
            ResourceNotFoundException: There is no such execution.
        """
        state = self._wait(execution_arn, lambda state: state.ended is not None, timeout, NOT_COMPLETE, skip_deadlines)
        return result_of(state, self._engine.records(execution_arn))

    def resume(self) -> list[str]:
        """Go on with what a journal that was passed as `store` had under way when another process left it.

        To be called once all functions are registered. Returns the ARNs of those executions.
        """
        if (last := self._journal.last_at()) is not None:
            self.clock.go_on_from(last)
        under_way = [stream.partition(":")[2] for stream in self._journal.streams(EXECUTION, going_on=True)]
        for arn in under_way:
            self._registry.add_unless_known(self._engine.execution(arn).started.function, self._handler)
        self._engine.resume()
        for arn in under_way:
            self._responders.look(self._engine.execution(arn))
        return under_way

    # --- Callbacks ----------------------------------------------------------------------------------

    def wait_for_callback(self, execution_arn: str, name: str | None = None, timeout: float = 60) -> str:
        """Wait until a callback can be answered: until the invocation that made it is over.

        Args:
            execution_arn: From `run_async`.
            name: Of the callback; without it the latest that is open.
            timeout: Real seconds.

        Returns:
            The callback's id.

        Raises:
            DurableFunctionsTestError: The one of this name was answered already, or the execution has ended.
            TimeoutError: There is none; the message shows where the execution is.
        """

        def reached(state: Execution) -> bool:
            return state.ended is not None or is_answered(state, name) or open_callback(state, name) is not None

        what = not_available(name)
        state = self._wait(execution_arn, reached, timeout, what, skip_deadlines=False)
        callback_id = open_callback(state, name)
        if callback_id is not None:
            return callback_id
        why = f"Callback {name} has already completed" if is_answered(state, name) else what
        raise DurableFunctionsTestError(f"{why}; the execution is {state.status}\n{self._tree(state)}")

    def send_callback_success(self, callback_id: str, result: bytes | None = None) -> None:
        """Answer a callback.

        Raises:
            ResourceNotFoundException: There is none that still can be.
            CallbackTimeoutException: It has timed out.
        """
        self._engine.succeed_callback(callback_id, result)

    def send_callback_failure(self, callback_id: str, error: ErrorObject | None = None) -> None:
        """Answer a callback with an error. Raises as `send_callback_success` does."""
        self._engine.fail_callback(callback_id, error_from(error))

    def send_callback_heartbeat(self, callback_id: str) -> None:
        """Give a sign of life for a callback. Raises as `send_callback_success` does."""
        self._engine.heartbeat(callback_id)

    # --- More ---------------------------------------------------------------------------------------

    def get_execution_history(self, execution_arn: str, include_execution_data: bool = False) -> ExecutionHistory:
        """The events of an execution so far, of one that another has invoked as well.

        Raises:
            ResourceNotFoundException: There is no such execution.
        """
        self._engine.execution(execution_arn)
        records = self._engine.records(execution_arn)
        return ExecutionHistory(events(records, include_execution_data=include_execution_data))

    def stop_execution(self, execution_arn: str, error: ErrorObject | None = None) -> None:
        """End an execution, whatever it is doing. Nothing for one that has ended."""
        self._engine.stop_execution(execution_arn, error_from(error))

    def pause_execution(self, execution_arn: str, timeout: float = 60) -> None:
        """Invoke the function no more, and wait for its current invocation to end. Nothing if it has ended.

        Raises:
            TimeoutError: The invocation goes on. The execution is paused all the same.
            ValueError: The timeout is no positive number of seconds.
        """
        if not math.isfinite(timeout) or timeout <= 0:
            raise ValueError(f"timeout={timeout} is no positive number of seconds")
        if self._engine.execution(execution_arn).ended is None:
            self._engine.pause(execution_arn)

            def reached(state: Execution) -> bool:
                return state.invocation is None

            self._wait(execution_arn, reached, timeout, "The invocation did not end", skip_deadlines=False)

    def resume_execution(self, execution_arn: str) -> None:
        """Go on with an execution that was paused. Nothing if it was not, or has ended."""
        if self._engine.execution(execution_arn).ended is None:
            self._engine.resume_execution(execution_arn)

    def advance(self, delta: timedelta = timedelta(), *, timeout: float = 10.0, **units: float) -> None:
        """Move the clock, and let all that falls due on the way happen: deadlines, too.

        Args:
            delta: How far.
            timeout: Real seconds that each moment on the way may take to settle.
            **units: More to go, as for `timedelta`: `hours=2`.

        Raises:
            DurableFunctionsTestError: The clock cannot be moved, as time is not skipped.
        """
        advance(self.clock, delta, instead="leave out `skip_time=False`", timeout=timeout, **units)

    @property
    def journal(self) -> Journal:
        """Where all is recorded."""
        return self._journal

    @property
    def timeline(self) -> Timeline:
        """All executions, with their steps."""
        if self._timeline is None:
            self._timeline = Timeline(self._journal, {EXECUTION: project})
        return self._timeline

    def close(self) -> None:
        """End everything. Idempotent. What has run stays readable."""
        self._engine.stop()
        self._responders.close()
        self._invoker.close()
        self._release_sdk()
        if self._own_clock:
            self.clock.close()
        if self._own_journal:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(
        self, given: Any, seconds: int | None, function: str, execution: str, account: str, tenant: str | None
    ) -> str:
        timeout = seconds if seconds is not None else self._execution_timeout
        self._registry.add_unless_known(function, self._handler)
        return self._engine.start(
            Start(
                function=function,
                name=execution,
                input=as_json(given),
                region=self._region,
                account=account,
                timeout=limits.EXECUTION_TIMEOUT if timeout is None else timeout,
                timeout_by_clock=timeout is not None,
                tenant_id=tenant,
            )
        )

    def _wait(
        self,
        arn: str,
        reached: Callable[[Execution], bool],
        timeout: float,
        what: str,
        skip_deadlines: bool | None,
    ) -> Execution:
        skip = self._skip_deadlines if skip_deadlines is None else skip_deadlines
        try:
            return self._engine.wait(arn, reached, timeout=timeout, skip_deadlines=skip)
        except ExecutionNotReachedError as error:
            raise TimeoutError(
                f"{what} within {timeout:g} s; the execution is {error.state.status}\n{self._tree(error.state)}"
            ) from error

    def _tree(self, state: Execution) -> str:
        run = None
        for record in self._engine.records(state.arn):
            run = project(run, record)
        return "" if run is None else run_tree(run)


def _nothing() -> None:
    """What is undone where nothing was done."""


_hurry_sdk = hurry_sdk
"""By another name, as the runner's option shadows it."""
