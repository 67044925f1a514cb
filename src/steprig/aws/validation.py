"""What a batch of updates has to be. Checked as a whole before anything of it is recorded."""

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from steprig.aws import limits
from steprig.aws.arns import parse_function_name
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.model import (
    Action,
    Operation,
    OperationId,
    OperationStatus,
    OperationType,
    OperationUpdate,
    utf8_bytes,
)
from steprig.aws.state import Execution

_ACTIONS: Mapping[str, frozenset[str]] = {
    OperationType.STEP: frozenset({Action.START, Action.SUCCEED, Action.FAIL, Action.RETRY}),
    OperationType.CONTEXT: frozenset({Action.START, Action.SUCCEED, Action.FAIL}),
    OperationType.WAIT: frozenset({Action.START, Action.CANCEL}),
    OperationType.CALLBACK: frozenset({Action.START}),
    OperationType.CHAINED_INVOKE: frozenset({Action.START}),
    OperationType.EXECUTION: frozenset({Action.SUCCEED, Action.FAIL}),
}
_GOES_ON = frozenset({OperationStatus.STARTED, OperationStatus.READY})
_TENANT = re.compile(r"[a-zA-Z0-9._:/=+\-@ ]{1,256}")
_ERROR = msgspec.json.Encoder()


def validate(state: Execution, updates: Sequence[OperationUpdate]) -> None:
    """Raise `InvalidParameterValueException` when the execution may not take these updates, in this order.

    Each is held against the execution as it was before all of them, as the service does.
    """
    _check_execution_updates(updates)
    _check_ids(state, updates)
    for update in updates:
        current = state.operations.get(update.id)
        _check_consistency(current, update)
        _check_sizes(state, update)
        _check_action(update)
        _CHECKS[update.type](state, current, update)


def _check_execution_updates(updates: Sequence[OperationUpdate]) -> None:
    of_execution = [update for update in updates if update.type == OperationType.EXECUTION]
    if len(of_execution) > 1:
        raise Invalid("Cannot checkpoint multiple EXECUTION updates.")
    if of_execution and updates[-1].type != OperationType.EXECUTION:
        raise Invalid("EXECUTION checkpoint must be the last update.")


def _check_ids(state: Execution, updates: Sequence[OperationUpdate]) -> None:
    seen: dict[OperationId, OperationUpdate] = {}
    started: dict[OperationId, str] = {}
    for update in updates:
        if (earlier := seen.get(update.id)) is not None and not _may_follow(earlier, update):
            raise Invalid("Cannot checkpoint multiple operations with the same ID.")
        if update.parent_id is not None and not _is_context(state, started, update.parent_id):
            raise Invalid("Invalid parent operation id.")
        if update.action == Action.START:
            started[update.id] = update.type
        seen[update.id] = update


def _may_follow(earlier: OperationUpdate, update: OperationUpdate) -> bool:
    """An operation may be started and ended at once."""
    is_tried = earlier.type in (OperationType.STEP, OperationType.CONTEXT)
    return is_tried and earlier.action == Action.START and update.action != Action.START


def _is_context(state: Execution, started: Mapping[OperationId, str], parent: OperationId) -> bool:
    if parent in started:
        return started[parent] == OperationType.CONTEXT
    known = state.operations.get(parent)
    return known is not None and known.type is OperationType.CONTEXT


def _check_consistency(current: Operation | None, update: OperationUpdate) -> None:
    if current is None:
        return
    if update.type != current.type:
        raise Invalid("Inconsistent operation type.")
    if update.sub_type is not None and update.sub_type != current.sub_type:
        raise Invalid("Inconsistent operation subtype.")
    if update.name is not None and update.name != current.name:
        raise Invalid("Inconsistent operation name.")
    if update.parent_id is not None and update.parent_id != current.parent_id:
        raise Invalid("Inconsistent parent operation id.")


def _check_sizes(state: Execution, update: OperationUpdate) -> None:
    if update.error is not None and len(_ERROR.encode(update.error)) > limits.ERROR_BYTES:
        raise Invalid(f"Error object size must be less than {limits.ERROR_BYTES} bytes.")
    if update.payload is None:
        return
    size = utf8_bytes(update.payload)
    if update.type == OperationType.CHAINED_INVOKE and size > limits.CHAINED_PAYLOAD_BYTES:
        raise Invalid(_too_large("CHAINED_INVOKE input", limits.CHAINED_PAYLOAD_BYTES))
    if update.type == OperationType.EXECUTION and state.started.parent and size > limits.CHAINED_PAYLOAD_BYTES:
        raise Invalid(output_too_large())
    if size > limits.PAYLOAD_BYTES:
        raise Invalid(_too_large(update.type, limits.PAYLOAD_BYTES))


def _too_large(what: str, most: int) -> str:
    return f"{what} payload size must be less than or equal to {most} bytes."


def output_too_large() -> str:
    """What is said of an execution whose result is too large for the function that has invoked it."""
    return _too_large("Execution output", limits.CHAINED_PAYLOAD_BYTES)


def _check_action(update: OperationUpdate) -> None:
    actions = _ACTIONS.get(update.type)
    if actions is None:
        raise Invalid("Unknown operation type.")
    if update.action not in actions:
        raise Invalid("Invalid action for the given operation type.")


def _check_step(state: Execution, current: Operation | None, update: OperationUpdate) -> None:
    if update.action == Action.RETRY:
        _check_retry(current, update)
    elif current is None:
        return  # a step that begins with its end is not looked at closer
    elif update.action == Action.START:
        if current.status is not OperationStatus.READY:
            raise Invalid("Invalid current STEP state to start.")
    elif current.status not in _GOES_ON:
        raise Invalid("Invalid current STEP state to close.")
    else:
        _check_end(update)


def _check_retry(current: Operation | None, update: OperationUpdate) -> None:
    if current is not None and current.status not in _GOES_ON:
        raise Invalid("Invalid current STEP state to re-attempt.")
    if update.step_options is None:
        raise Invalid("Invalid StepOptions for the given action.")
    if update.error is not None and update.payload is not None:
        raise Invalid("Cannot provide both error and payload to RETRY a STEP.")
    _check_range("NextAttemptDelaySeconds", update.step_options.next_attempt_delay_seconds, limits.DELAY_SECONDS)


def _check_end(update: OperationUpdate) -> None:
    if update.action == Action.FAIL and update.payload is not None:
        raise Invalid("Cannot provide a Payload for FAIL action.")
    if update.action == Action.SUCCEED and update.error is not None:
        raise Invalid("Cannot provide an Error for SUCCEED action.")


def _check_context(state: Execution, current: Operation | None, update: OperationUpdate) -> None:
    if update.action == Action.START:
        if current is not None:
            raise Invalid("Cannot start a CONTEXT that already exist.")
        return
    if current is not None and current.status is not OperationStatus.STARTED:
        raise Invalid("Invalid current CONTEXT state to close.")
    _check_end(update)


def _check_wait(state: Execution, current: Operation | None, update: OperationUpdate) -> None:
    if update.action == Action.CANCEL:
        if current is None or current.status is not OperationStatus.STARTED:
            raise Invalid("Cannot cancel a WAIT that does not exist or has already completed.")
        return
    if current is not None:
        raise Invalid("Cannot start a WAIT that already exist.")
    options = update.wait_options
    _check_range("WaitSeconds", 0 if options is None else options.wait_seconds, limits.DELAY_SECONDS)


def _check_callback(state: Execution, current: Operation | None, update: OperationUpdate) -> None:
    if current is not None:
        raise Invalid("Cannot start a CALLBACK that already exist.")
    if (options := update.callback_options) is not None:
        _check_range("TimeoutSeconds", options.timeout_seconds, limits.CALLBACK_TIMEOUT_SECONDS)
        _check_range("HeartbeatTimeoutSeconds", options.heartbeat_timeout_seconds, limits.CALLBACK_TIMEOUT_SECONDS)


def _check_invoke(state: Execution, current: Operation | None, update: OperationUpdate) -> None:
    if current is not None:
        raise Invalid("Cannot start a CHAINED_INVOKE operation that already exists.")
    options = update.chained_invoke_options
    if options is None:
        raise Invalid("Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.")
    target = parse_function_name(options.function_name)
    if target is None:
        raise Invalid(f"Invalid function ARN '{options.function_name}'")
    if target.account not in (None, state.started.account):
        raise Invalid("Cannot start a CHAINED_INVOKE on a function in another account.")
    if target.region not in (None, state.started.region):
        raise Invalid("Cannot start a CHAINED_INVOKE on a function in another region.")
    if options.tenant_id is not None and _TENANT.fullmatch(options.tenant_id) is None:
        raise Invalid("TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ].")


def _check_execution(state: Execution, current: Operation | None, update: OperationUpdate) -> None:
    _check_end(update)


def _check_range(name: str, value: int, allowed: range) -> None:
    if value not in allowed:
        raise Invalid(f"{name} must be between {allowed.start} and {allowed.stop - 1}, not {value}.")


_CHECKS: Mapping[str, Callable[[Execution, Operation | None, OperationUpdate], None]] = {
    OperationType.STEP: _check_step,
    OperationType.CONTEXT: _check_context,
    OperationType.WAIT: _check_wait,
    OperationType.CALLBACK: _check_callback,
    OperationType.CHAINED_INVOKE: _check_invoke,
    OperationType.EXECUTION: _check_execution,
}
