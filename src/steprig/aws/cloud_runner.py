"""Runs durable functions where they are deployed: on AWS, or on whatever else has the Lambda API."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar
from uuid import uuid4

import msgspec
from aws_durable_execution_sdk_python.lambda_service import ErrorObject

from steprig.aws.errors import (
    DurableFunctionsTestError,
    ResourceNotFoundException,
    ServiceError,
    ServiceException,
    TooManyRequestsException,
)
from steprig.aws.function_runner import ExecutionHistory
from steprig.aws.history import Event
from steprig.aws.inputs import as_json
from steprig.aws.lambda_client import LambdaClient
from steprig.aws.polling import polled
from steprig.aws.projection import project
from steprig.aws.result import DurableFunctionTestResult, result_of
from steprig.aws.state import Execution
from steprig.aws.told_history import error_object, records_of, state_of
from steprig.aws.waited_for import NOT_COMPLETE, is_answered, not_available, open_callback
from steprig.kernel import Clock
from steprig.kernel.tree import run_tree

if TYPE_CHECKING:
    from botocore.client import BaseClient  # type: ignore[import-untyped]

_GOING_ON = ("RUNNING", "PAUSING", "PAUSED")
_PASSING = (TooManyRequestsException, ServiceException)
T = TypeVar("T")


class DurableFunctionCloudTestRunner:
    """Runs a durable function that is deployed. Use it as a context manager.

    It has the verbs of `DurableFunctionTestRunner`, and gives the same results, made from the history that the service
    tells. The time of a deployed function is real: waits take as long as they are.

    AWS wants to be asked about an execution, as it tells nobody when one has ended. The first looks follow each other
    closely, the others in `poll_interval`. An answer that the service is too busy, or has a fault, is taken for no
    answer, once boto3 has tried as often as it is configured to.

    Args:
        function_name: Its name or ARN. AWS wants a qualifier, `name:$LATEST`, where it is durable.
        region: Where it is deployed; None for the region that boto3 finds.
        lambda_endpoint: The URL of the Lambda API, unless it is that of AWS or of `AWS_ENDPOINT_URL_LAMBDA`.
        poll_interval: Seconds between looks at an execution.
        client: A boto3 client for Lambda, instead of one of its own; then region and endpoint are the client's. It
            stays open.
        visible_within: Seconds in which an execution may be unknown to the service, as it may be when it has just
            been started.

    Raises:
        DurableFunctionsTestError: The boto3 that is installed knows nothing of durable executions.
        ValueError: `poll_interval` is no positive number.
    """

    def __init__(
        self,
        function_name: str,
        region: str | None = "us-west-2",
        lambda_endpoint: str | None = None,
        poll_interval: float = 1.0,
        *,
        client: "BaseClient | None" = None,
        visible_within: float = 10.0,
    ) -> None:
        if not math.isfinite(poll_interval) or poll_interval <= 0:
            raise ValueError(f"poll_interval={poll_interval} is no positive number of seconds")
        self.function_name = function_name
        self.region = region
        self.lambda_endpoint = lambda_endpoint
        self.poll_interval = poll_interval
        self._service = LambdaClient(region, lambda_endpoint, client)
        self._visible_within = visible_within
        self._seen: set[str] = set()
        self._closed = threading.Event()

    @property
    def lambda_client(self) -> "BaseClient":
        """The boto3 client, for whatever else the service can do."""
        return self._service.boto

    # --- Running ------------------------------------------------------------------------------------

    def run(
        self,
        input: Any = None,  # noqa: A002 - the peer's name
        timeout: float = 60,
        *,
        execution_name: str | None = None,
        tenant_id: str | None = None,
    ) -> DurableFunctionTestResult:
        """Run the function and wait for its end.

        Args:
            input: Text that is JSON is the input as it stands, as for `DurableFunctionTestRunner.run`; whatever else
                is written as JSON.
            timeout: Seconds.
            execution_name: What the execution is called. Unique, unless the one of this name and input is wanted
                again; by default a name that nobody has.
            tenant_id: What the handler's context says of the tenant.

        Returns:
            The result, also of an execution that has failed or timed out.

        Raises:
            TimeoutError: It goes on; the message shows where it is.
            ServiceError: The service refuses to start it.
            DurableFunctionsTestError: The function is not durable.
        """
        end = time.monotonic() + timeout
        arn = self.run_async(input, execution_name=execution_name, tenant_id=tenant_id)
        return self.wait_for_result(arn, max(0.0, end - time.monotonic()))

    def run_async(
        self,
        input: Any = None,  # noqa: A002
        timeout: float = 60,
        *,
        execution_name: str | None = None,
        tenant_id: str | None = None,
    ) -> str:
        """Start the function. Takes what `run` takes, and no notice of the timeout; returns the execution's ARN."""
        self._check_open()
        payload = as_json(input).encode()
        arn = self._service.invoke(self.function_name, payload, execution_name or str(uuid4()), tenant_id)
        if arn is None:
            raise DurableFunctionsTestError(
                f"{self.function_name} is not durable: no execution of it was started, only a call made. "
                "Deploy it with a DurableConfig, and name its version or alias, as in `name:$LATEST`."
            )
        return arn

    def wait_for_result(self, execution_arn: str, timeout: float = 60) -> DurableFunctionTestResult:
        """Wait for the end of an execution.

        Args:
            execution_arn: From `run_async`.
            timeout: Seconds.

        Raises:
            TimeoutError: It goes on; the message shows where it is.
            ResourceNotFoundException: There is no such execution.
        """

        def look(say: Callable[[str], None]) -> DurableFunctionTestResult | None:
            told = self._service.execution(execution_arn)
            say(f"the execution is {told['Status']}")
            if told["Status"] in _GOING_ON:
                return None
            events = self._service.history(execution_arn)
            state = state_of(events, execution_arn)
            if state.ended is None:
                say(f"the execution is {told['Status']}, and its history does not tell of its end yet")
                return None
            if told.get("ExecutionDataIncluded", True):  # whole, as what is in the history may not be
                result, error = told.get("Result"), error_object(told.get("Error"))
                state = msgspec.structs.replace(state, result=result, error=error)
            return result_of(state, records_of(events, execution_arn), events)

        return self._wait(execution_arn, look, timeout, NOT_COMPLETE)

    # --- Callbacks ----------------------------------------------------------------------------------

    def wait_for_callback(self, execution_arn: str, name: str | None = None, timeout: float = 60) -> str:
        """Wait until a callback can be answered: until the invocation that made it is over.

        Args:
            execution_arn: From `run_async`.
            name: Of the callback; without it the latest that is open.
            timeout: Seconds.

        Returns:
            The callback's id.

        Raises:
            DurableFunctionsTestError: The one of this name was answered already, or the execution has ended.
            TimeoutError: There is none; the message shows where the execution is.
            ResourceNotFoundException: There is no such execution.
        """
        what = not_available(name)

        def look(say: Callable[[str], None]) -> str | None:
            events = self._service.history(execution_arn)
            state = state_of(events, execution_arn)
            say(f"the execution is {state.status}")
            if (found := open_callback(state, name)) is not None:
                return found
            if is_answered(state, name):
                _refuse(f"Callback {name} has already completed", state, events)
            if state.ended is not None:
                _refuse(what, state, events)
            return None

        return self._wait(execution_arn, look, timeout, what)

    def send_callback_success(self, callback_id: str, result: bytes | None = None) -> None:
        """Answer a callback.

        Raises:
            ResourceNotFoundException: There is none that still can be.
            CallbackTimeoutException: It has timed out.
        """
        self._service.succeed_callback(callback_id, result)

    def send_callback_failure(self, callback_id: str, error: ErrorObject | None = None) -> None:
        """Answer a callback with an error. Raises as `send_callback_success` does."""
        self._service.fail_callback(callback_id, error)

    def send_callback_heartbeat(self, callback_id: str) -> None:
        """Give a sign of life for a callback. Raises as `send_callback_success` does."""
        self._service.heartbeat(callback_id)

    # --- More ---------------------------------------------------------------------------------------

    def get_execution_history(self, execution_arn: str, include_execution_data: bool = False) -> ExecutionHistory:
        """The events of an execution so far, of one that another has invoked as well.

        Raises:
            ResourceNotFoundException: There is no such execution.
        """
        return ExecutionHistory(self._service.history(execution_arn, include_execution_data=include_execution_data))

    def stop_execution(self, execution_arn: str, error: ErrorObject | None = None) -> None:
        """End an execution, whatever it is doing. Nothing for one that has ended."""
        self._service.stop(execution_arn, error)

    def pause_execution(self, execution_arn: str, timeout: float = 60) -> None:
        """Invoke the function no more, and wait for its current invocation to end. Nothing if it has ended.

        Raises:
            TimeoutError: The invocation goes on. The execution is paused all the same.
            DurableFunctionsTestError: boto3 does not know how to ask for it.
        """

        def look(say: Callable[[str], None]) -> str | None:
            status = str(self._service.execution(execution_arn)["Status"])
            say(f"the execution is {status}")
            return None if status in ("RUNNING", "PAUSING") else status

        if self._service.execution(execution_arn)["Status"] in _GOING_ON:
            self._service.pause(execution_arn)
            self._wait(execution_arn, look, timeout, "The invocation did not end")

    def resume_execution(self, execution_arn: str) -> None:
        """Go on with an execution that was paused. Nothing if it was not, or has ended.

        Raises:
            DurableFunctionsTestError: boto3 does not know how to ask for it.
        """
        if self._service.execution(execution_arn)["Status"] in ("PAUSING", "PAUSED"):
            self._service.resume(execution_arn)

    def register_durable_function(
        self,
        function_name: str,
        handler: Any,
        execution_timeout: int | None = None,
        retention_period_days: int = 1,
    ) -> Self:
        """Not for deployed functions, which invoke those that are deployed. Raises `DurableFunctionsTestError`."""
        raise DurableFunctionsTestError(_cannot(f"register {function_name!r}", "deploy it beside the others"))

    def register_function(self, function_name: str, handler: Any) -> Self:
        """As `register_durable_function`."""
        raise DurableFunctionsTestError(_cannot(f"register {function_name!r}", "deploy it beside the others"))

    @property
    def clock(self) -> Clock:
        """Not for deployed functions, whose time is real. Raises `DurableFunctionsTestError`."""
        raise DurableFunctionsTestError(_cannot("show a clock", "their time is real"))

    def advance(self, delta: timedelta = timedelta(), *, timeout: float = 10.0, **units: float) -> None:
        """As `clock`."""
        raise DurableFunctionsTestError(_cannot("move the clock", "their time is real"))

    def close(self) -> None:
        """End all waiting, and let go of the connections. Idempotent. Executions go on."""
        if not self._closed.is_set():
            self._closed.set()
            self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Waiting ------------------------------------------------------------------------------------

    def _wait(self, arn: str, look: Callable[[Callable[[str], None]], T | None], timeout: float, what: str) -> T:
        """What `look` finds. It says what it sees."""
        self._check_open()
        begun, seen = time.monotonic(), ["nobody has looked at it"]

        def say(text: str) -> None:
            seen.append(text)
            self._seen.add(arn)

        def patiently() -> T | None:
            try:
                return look(say)
            except ResourceNotFoundException:
                if arn in self._seen or time.monotonic() - begun >= self._visible_within:
                    raise
                seen.append("the service does not know it yet")
            except _PASSING as error:
                seen.append(f"the service has answered {error.code}: {error}")
            return None

        try:
            return polled(patiently, timeout=timeout, interval=self.poll_interval, closed=self._closed)
        except TimeoutError:
            tree = self._tree(arn)
            raise TimeoutError(f"{what} within {timeout:g} s; {seen[-1]}\n{tree}") from None

    def _tree(self, arn: str) -> str:
        try:
            return _tree(self._service.history(arn), arn)
        except ServiceError as error:
            return f"(its history cannot be shown: {error})"

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise DurableFunctionsTestError("the runner is closed; make a new one")


def _refuse(why: str, state: Execution, events: Sequence[Event]) -> NoReturn:
    raise DurableFunctionsTestError(f"{why}; the execution is {state.status}\n{_tree(events, state.arn)}")


def _tree(events: Sequence[Event], arn: str) -> str:
    run = None
    for record in records_of(events, arn):
        run = project(run, record)
    return "" if run is None else run_tree(run)


def _cannot(what: str, instead: str) -> str:
    return f"a runner of functions that are deployed cannot {what}; {instead}"
