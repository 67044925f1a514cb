"""What the service tells, as JSON.

Times are seconds since 1970 in the answers of the API, and whole milliseconds in the event of an invocation.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from steprig.aws.history import Event
from steprig.aws.invoker import DurableCall
from steprig.aws.model import Operation, OperationType
from steprig.aws.paging import Page
from steprig.aws.state import Answer

Json = dict[str, Any]
Stamp = Callable[[datetime], float]

_encode = msgspec.json.Encoder().encode


def seconds(moment: datetime) -> float:
    """A time in the answers of the API."""
    return moment.timestamp()


def milliseconds(moment: datetime) -> int:
    """A time in the event of an invocation."""
    return int(moment.timestamp() * 1000)


def checkpointed(answer: Answer, ahead: timedelta) -> Json:
    """The answer to `CheckpointDurableExecution`.

    Args:
        answer: What the engine has answered.
        ahead: How far its clock is ahead of the machine's, by which the SDK tells when to try again.
    """
    told: Json = {"NewExecutionState": {"Operations": _operations(answer.operations, seconds, ahead)}}
    if answer.next_token is not None:
        told["CheckpointToken"] = answer.next_token
    return told


def state_page(page: Page, ahead: timedelta) -> Json:
    """The answer to `GetDurableExecutionState`. Takes `ahead` as `checkpointed` does."""
    told: Json = {"Operations": _operations(page.operations, seconds, ahead)}
    if page.next_marker is not None:
        told["NextMarker"] = page.next_marker
    return told


def invocation_event(call: DurableCall, ahead: timedelta) -> bytes:
    """What a durable function that lives elsewhere is called with. Takes `ahead` as `checkpointed` does."""
    return _encode(
        {
            "DurableExecutionArn": call.arn,
            "CheckpointToken": call.token,
            "InitialExecutionState": {
                "Operations": _operations(call.page.operations, milliseconds, ahead),
                "NextMarker": call.page.next_marker or "",
            },
            "UpdatedOperationIds": list(call.updated),
        }
    )


def event(told: Event) -> Json:
    """One event of a history."""
    return {key: _with_seconds(value) for key, value in told.to_dict().items()}


def _with_seconds(value: object) -> object:
    if isinstance(value, datetime):
        return seconds(value)
    if isinstance(value, dict):
        return {key: _with_seconds(inner) for key, inner in value.items()}
    return value


def _operations(operations: Sequence[Operation], stamp: Stamp, ahead: timedelta) -> list[Json]:
    return [_operation(one, stamp, ahead) for one in operations]


def _operation(operation: Operation, stamp: Stamp, ahead: timedelta) -> Json:
    name, details = _details(operation, stamp, ahead)
    return present(
        {
            "Id": operation.id,
            "ParentId": operation.parent_id,
            "Name": operation.name,
            "Type": operation.type,
            "SubType": operation.sub_type,
            "StartTimestamp": stamp(operation.started_at),
            "EndTimestamp": None if operation.ended_at is None else stamp(operation.ended_at),
            "Status": operation.status,
            name: present(details),
        }
    )


def _details(operation: Operation, stamp: Stamp, ahead: timedelta) -> tuple[str, Json]:
    outcome = {"Result": operation.result, "Error": operation.error}
    match operation.type:
        case OperationType.EXECUTION:
            return "ExecutionDetails", {"InputPayload": operation.input}
        case OperationType.CONTEXT:
            return "ContextDetails", {"ReplayChildren": operation.replay_children or None, **outcome}
        case OperationType.STEP:
            again = operation.next_attempt_at
            when = None if again is None else stamp(again - ahead)
            return "StepDetails", {"Attempt": operation.attempt, "NextAttemptTimestamp": when, **outcome}
        case OperationType.WAIT:
            end = operation.scheduled_end_at
            return "WaitDetails", {"ScheduledEndTimestamp": None if end is None else stamp(end)}
        case OperationType.CALLBACK:
            return "CallbackDetails", {"CallbackId": operation.callback_id, **outcome}
        case OperationType.CHAINED_INVOKE:
            return "ChainedInvokeDetails", outcome


def present(told: Json) -> Json:
    """What there is of it."""
    return {key: value for key, value in told.items() if value is not None}
