"""The service's words as the SDK's objects, and back."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aws_durable_execution_sdk_python import lambda_service as sdk

from steprig.aws import model as m

_TYPES = {kind: sdk.OperationType[kind.name] for kind in m.OperationType}
_STATUSES = {status: sdk.OperationStatus[status.name] for status in m.OperationStatus}
_SUB_TYPES: dict[str, Any] = {one.value: one for one in getattr(sdk, "OperationSubType", ())}


def sub_type_of(text: str | None) -> Any:
    """A subtype as this SDK has it: a member of its enum, and text that is none of them where that is allowed."""
    return text if text is None else _SUB_TYPES.get(text, text)


def error_of(error: m.ErrorObject | None) -> sdk.ErrorObject | None:
    """An error for the SDK."""
    if error is None:
        return None
    stack = None if error.stack_trace is None else list(error.stack_trace)
    return sdk.ErrorObject(error.error_message, error.error_type, error.error_data, stack)


def error_from(error: sdk.ErrorObject | None) -> m.ErrorObject | None:
    """An error of the SDK."""
    if error is None:
        return None
    stack = None if error.stack_trace is None else tuple(error.stack_trace)
    return m.ErrorObject(error.message, error.type, error.data, stack)


def operation_of(operation: m.Operation, ahead: timedelta = timedelta()) -> sdk.Operation:
    """An operation for the SDK.

    Args:
        operation: As it stands.
        ahead: How far its times are ahead of the machine's clock, by which the SDK tells when to try again.
    """
    return sdk.Operation(
        operation_id=operation.id,
        operation_type=_TYPES[operation.type],
        status=_STATUSES[operation.status],
        parent_id=operation.parent_id,
        name=operation.name,
        start_timestamp=operation.started_at,
        end_timestamp=operation.ended_at,
        sub_type=sub_type_of(operation.sub_type),
        **_details(operation, ahead),
    )


def _details(operation: m.Operation, ahead: timedelta) -> dict[str, Any]:
    result, error = operation.result, error_of(operation.error)
    match operation.type:
        case m.OperationType.STEP:
            again = None if operation.next_attempt_at is None else operation.next_attempt_at - ahead
            return {"step_details": sdk.StepDetails(operation.attempt, again, result, error)}
        case m.OperationType.CONTEXT:
            return {"context_details": sdk.ContextDetails(operation.replay_children, result, error)}
        case m.OperationType.WAIT:
            return {"wait_details": sdk.WaitDetails(operation.scheduled_end_at)}
        case m.OperationType.CALLBACK:
            return {"callback_details": sdk.CallbackDetails(operation.callback_id or "", result, error)}
        case m.OperationType.CHAINED_INVOKE:
            return {"chained_invoke_details": sdk.ChainedInvokeDetails(result, error)}
        case m.OperationType.EXECUTION:
            return {"execution_details": sdk.ExecutionDetails(operation.input)}


def updates_from(updates: Sequence[sdk.OperationUpdate]) -> list[m.OperationUpdate]:
    """What the SDK reports."""
    return [_update_from(update) for update in updates]


def _update_from(update: sdk.OperationUpdate) -> m.OperationUpdate:
    context, step, wait = update.context_options, update.step_options, update.wait_options
    callback, invoke = update.callback_options, update.chained_invoke_options
    return m.OperationUpdate(
        id=m.OperationId(update.operation_id),
        type=update.operation_type._value_,  # `value` is a call in Python, and this is done for every step
        action=update.action._value_,
        parent_id=None if update.parent_id is None else m.OperationId(update.parent_id),
        name=update.name,
        sub_type=getattr(update.sub_type, "_value_", update.sub_type),
        payload=update.payload,
        error=error_from(update.error),
        context_options=None if context is None else m.ContextOptions(context.replay_children),
        step_options=None if step is None else m.StepOptions(step.next_attempt_delay_seconds),
        wait_options=None if wait is None else m.WaitOptions(wait.wait_seconds),
        callback_options=None
        if callback is None
        else m.CallbackOptions(callback.timeout_seconds, callback.heartbeat_timeout_seconds),
        chained_invoke_options=None
        if invoke is None
        else m.ChainedInvokeOptions(invoke.function_name, invoke.tenant_id, getattr(invoke, "x_amzn_trace_id", None)),
    )
