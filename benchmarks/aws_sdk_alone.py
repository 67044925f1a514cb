"""The least that a run costs: the AWS SDK on a backend that keeps operations in a dict and checks nothing.

It speeds the SDK up as the test runner does, calls the handler again as soon as it has suspended, and knows steps that
succeed and waits, which are over at once. What a runner takes beyond this is the runner's own.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

from aws_durable_execution_sdk_python import execution as sdk_execution
from aws_durable_execution_sdk_python import lambda_service as sdk

from steprig.aws.prompt import hurry_sdk


class _Status(NamedTuple):
    value: str


class _Result(NamedTuple):
    status: _Status


class SdkAlone:
    """Runs a handler, as a runner would."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler = handler
        self._operations: dict[str, sdk.Operation] = {}

    def __enter__(self) -> Self:
        self._release = hurry_sdk()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def run(self, input: str, execution_timeout: int) -> _Result:  # noqa: A002 - as runners call it
        """Call the handler until it has ended."""
        self._operations = {
            "id": _operation("id", sdk.OperationType.EXECUTION, execution_details=sdk.ExecutionDetails(input))
        }
        while (answer := self._handler(self._input(), None))["Status"] == "PENDING":
            for key, operation in self._operations.items():
                if operation.operation_type is sdk.OperationType.WAIT:
                    self._operations[key] = dataclasses.replace(operation, status=sdk.OperationStatus.SUCCEEDED)
        return _Result(_Status(answer["Status"]))

    def checkpoint(
        self,
        durable_execution_arn: str,
        checkpoint_token: str,
        updates: list[sdk.OperationUpdate],
        client_token: str | None,
    ) -> sdk.CheckpointOutput:
        """Take in what the SDK tells, whatever it is."""
        for update in updates:
            self._operations[update.operation_id] = _updated(update)
        told = [self._operations[update.operation_id] for update in updates]
        return sdk.CheckpointOutput("token", sdk.CheckpointUpdatedExecutionState(told, None))

    def get_execution_state(self, **_: Any) -> sdk.StateOutput:
        """All is told at once."""
        return sdk.StateOutput([], None)

    def _input(self) -> Any:
        state = sdk_execution.InitialExecutionState(list(self._operations.values()), "")
        return sdk_execution.DurableExecutionInvocationInputWithClient("arn/id", "token", state, self)


def _updated(update: sdk.OperationUpdate) -> sdk.Operation:
    fields: dict[str, Any] = {"name": update.name, "parent_id": update.parent_id, "sub_type": update.sub_type}
    if update.operation_type is sdk.OperationType.WAIT:
        fields["wait_details"] = sdk.WaitDetails(datetime.now(UTC) + timedelta(hours=1))
    if update.operation_type is sdk.OperationType.STEP:
        fields["step_details"] = sdk.StepDetails(attempt=0, result=update.payload)
    if update.action is sdk.OperationAction.SUCCEED:
        fields["status"] = sdk.OperationStatus.SUCCEEDED
    return _operation(update.operation_id, update.operation_type, **fields)


def _operation(operation_id: str, operation_type: sdk.OperationType, **fields: Any) -> sdk.Operation:
    return sdk.Operation(
        **{
            "operation_id": operation_id,
            "operation_type": operation_type,
            "status": sdk.OperationStatus.STARTED,
            "start_timestamp": datetime.now(UTC),
            **fields,
        }
    )
