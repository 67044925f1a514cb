"""Calls handlers that live in this process."""

import json
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from aws_durable_execution_sdk_python import execution as sdk_execution
from aws_durable_execution_sdk_python import lambda_service as sdk
from aws_durable_execution_sdk_python.exceptions import CheckpointError, GetExecutionStateError
from packaging.version import Version

from steprig.aws import records as r
from steprig.aws.errors import ServiceError
from steprig.aws.invocations import Failed, NoFunction, Outcome, Returned
from steprig.aws.invoker import DurableCall, PlainCall, Service
from steprig.aws.lambda_context import lambda_context
from steprig.aws.model import ErrorObject, Operation, OperationId
from steprig.aws.sdk_objects import operation_of, updates_from
from steprig.aws.workers import Workers
from steprig.kernel import Clock

_log = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Any]

SDK_VERSION = Version(version("aws-durable-execution-sdk-python"))
REVOCABLE = Version("2.1") <= SDK_VERSION
"""Whether the SDK understands that its token is withheld."""
_TELLS_UPDATED = "updated_operation_ids" in sdk_execution.DurableExecutionInvocationInputWithClient.__dataclass_fields__


class InProcessInvoker:
    """Runs each call on a thread of its own, and lets durable handlers speak to the service without any wire.

    Args:
        clock: The engine's, which may be ahead of the machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._handlers: dict[str, Handler] = {}
        self._clients: dict[str, _Client] = {}
        self._workers = Workers("steprig-lambda")

    def add(self, name: str, handler: Handler) -> None:
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
        handler = self._handlers.get(call.caller.function)
        if handler is None:
            report(NoFunction(call.caller.function))
            return
        self._workers.run(lambda: report(self._invoke(handler, call, service)))

    def call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        """See `Invoker.call`."""
        handler = self._handlers.get(call.caller.function)
        if handler is None:
            report(r.ExecutionFailed(error=_no_function(call.caller.function)))
            return
        self._workers.run(lambda: report(_call(handler, call)))

    def close(self, timeout: float = 2.0) -> None:
        """End the threads. A function that still runs is left alone, with a word in the log."""
        for busy in self._workers.close(timeout):
            _log.warning("a function still runs on thread %s, %g s after its runner was closed", busy, timeout)

    def _invoke(self, handler: Handler, call: DurableCall, service: Service) -> Outcome:
        client = self._clients.get(call.arn)
        if client is None:
            client = self._clients[call.arn] = _Client(service, self._clock)
        try:
            output = handler(client.input_of(call), lambda_context(call.caller, call.invocation))
        except BaseException as error:  # noqa: BLE001 - whatever a function dies of, its runner lives
            return Failed(error_object(error))
        if not isinstance(output, dict) or output.get("Status") != "PENDING":
            self._clients.pop(call.arn, None)
        return Returned(output)


class _Client:
    """The SDK's way to the service, for one execution."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._known: dict[OperationId, tuple[Operation, sdk.Operation]] = {}

    def input_of(self, call: DurableCall) -> sdk_execution.DurableExecutionInvocationInputWithClient:
        """The first argument of a durable handler."""
        told: dict[str, Any] = {"updated_operation_ids": list(call.updated)} if _TELLS_UPDATED else {}
        return sdk_execution.DurableExecutionInvocationInputWithClient(
            durable_execution_arn=call.arn,
            checkpoint_token=call.token,
            initial_execution_state=sdk_execution.InitialExecutionState(
                self._operations(call.page.operations), call.page.next_marker or ""
            ),
            service_client=self,
            **told,
        )

    def checkpoint(
        self,
        durable_execution_arn: str,
        checkpoint_token: str,
        updates: list[sdk.OperationUpdate],
        client_token: str | None,
    ) -> sdk.CheckpointOutput:
        """See the SDK's `DurableServiceClient`."""
        try:
            answer = self._service.checkpoint(
                durable_execution_arn, checkpoint_token, updates_from(updates), client_token
            )
        except ServiceError as error:
            raise CheckpointError.from_exception(error) from error
        told = sdk.CheckpointUpdatedExecutionState(self._operations(answer.operations), None)
        # Before 2.0 the SDK's type has no place for a token that is missing, and takes it as it comes.
        return sdk.CheckpointOutput(answer.next_token, told)

    def get_execution_state(
        self, durable_execution_arn: str, checkpoint_token: str, next_marker: str, max_items: int = 1000
    ) -> sdk.StateOutput:
        """See the SDK's `DurableServiceClient`."""
        try:
            page = self._service.state_page(durable_execution_arn, checkpoint_token, next_marker, max_items)
        except ServiceError as error:
            raise GetExecutionStateError.from_exception(error) from error
        return sdk.StateOutput(self._operations(page.operations), page.next_marker)

    def _operations(self, operations: Sequence[Operation]) -> list[sdk.Operation]:
        return [self._operation(operation) for operation in operations]

    def _operation(self, operation: Operation) -> sdk.Operation:
        known = self._known.get(operation.id)
        if known is not None and known[0] is operation:
            return known[1]
        if operation.next_attempt_at is not None:  # told by the machine's clock, and so another one each time
            return operation_of(operation, self._clock.ahead())
        made = operation_of(operation)
        self._known[operation.id] = (operation, made)
        return made


def _call(handler: Handler, call: PlainCall) -> r.ExecutionEnd:
    try:
        returned = handler(json.loads(call.payload), lambda_context(call.caller, call.request_id))
        return r.ExecutionSucceeded(result=json.dumps(returned))
    except BaseException as error:  # noqa: BLE001 - it is the caller's to know
        return r.ExecutionFailed(error=error_object(error))


def error_object(error: BaseException) -> ErrorObject:
    """What a call has failed with, in the words of Lambda's runtime."""
    if isinstance(error, SystemExit):
        return ErrorObject(error_type="Runtime.ExitError", error_message=f"Runtime exited with: {error.code}")
    return ErrorObject(error_type=type(error).__name__, error_message=str(error))


def _no_function(name: str) -> ErrorObject:
    return ErrorObject(error_type="ResourceNotFoundException", error_message=f"Function not found: {name}.")
