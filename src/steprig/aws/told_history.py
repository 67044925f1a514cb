"""The history that the service tells of an execution, read back: its events, and the records that they stand for."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.arns import LATEST, FunctionName, parse_function_name
from steprig.aws.errors import DurableFunctionsTestError
from steprig.aws.folding import fold_record
from steprig.aws.history import Event
from steprig.aws.model import Arn, ErrorObject, InvocationId, OperationId
from steprig.aws.state import Execution, Invocation
from steprig.kernel import Entry, Record, stream_of

Told = Mapping[str, Any]
"""A structure as boto3 gives it."""


def event_from(told: Told) -> Event:
    """An event of `GetDurableExecutionHistory`. Of a type that is not known here, too."""
    kind = told["EventType"]
    return Event(
        event_type=kind,
        event_id=told["EventId"],
        event_timestamp=told["EventTimestamp"].astimezone(UTC),
        id=told.get("Id"),
        name=told.get("Name"),
        parent_id=told.get("ParentId"),
        sub_type=told.get("SubType"),
        details={key: _in_utc(value) for key, value in told.get(f"{kind}Details", {}).items()},
    )


def without_data(event: Event) -> Event:
    """An event as it is told where inputs, results and errors are not asked for."""
    details = {key: {"Truncated": True} if _is_data(value) else value for key, value in event.details.items()}
    return replace(event, details=details)


def records_of(events: Iterable[Event], arn: str) -> list[Record]:
    """What the service must have recorded for these events to be told. Events of unknown types are left out.

    Not all can be known: of a result or an error that was too large to be told there is what was told of it.

    Args:
        events: The whole history up to some event.
        arn: Of the execution.
    """
    stream, attempts = stream_of(r.EXECUTION, arn), Counter[str | None]()
    found: list[Record] = []
    for event in events:
        if event.event_type in _ATTEMPTS:
            attempts[event.id] += 1
        entry = _entry(event, arn, attempts[event.id])
        if entry is not None:
            found.append(Record(event.event_id, stream, event.event_timestamp, entry))
    return found


def state_of(events: Sequence[Event], arn: str) -> Execution:
    """An execution as its history shows it.

    Raises:
        DurableFunctionsTestError: The history makes no sense.
    """
    state: Execution | None = None
    for record in records_of(events, arn):
        try:
            state = fold_record(state, record)
        except KeyError as unknown:
            what = f"event {record.seq} ({type(record.entry).__name__}) is about the operation {unknown}"
            raise DurableFunctionsTestError(f"the history of {arn} makes no sense: {what}, which never began") from None
    if state is None:
        raise DurableFunctionsTestError(f"the history of {arn} does not begin with ExecutionStarted")
    begun = _begun(events)
    if begun is None:
        return state
    return msgspec.structs.replace(state, invocation=Invocation(InvocationId(""), begun))


_BY_FUNCTION = frozenset(
    {
        *("ContextStarted", "ContextSucceeded", "ContextFailed", "StepStarted", "StepSucceeded", "StepFailed"),
        *("WaitStarted", "WaitCancelled", "CallbackStarted", "ChainedInvokeStarted"),
    }
)
_ATTEMPTS = ("StepSucceeded", "StepFailed")


def _begun(events: Sequence[Event]) -> datetime | None:
    """When the function was first heard of since it last returned: no event tells that it is called."""
    first = None
    for event in events:
        if event.event_type == "InvocationCompleted":
            first = None
        elif first is None and event.event_type in _BY_FUNCTION:
            first = event.event_timestamp
    return first


def _in_utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _is_data(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= {"Payload", "Truncated"}


# --- Entries ----------------------------------------------------------------------------------------


def _entry(event: Event, arn: str, attempt: int) -> Entry | None:
    if event.event_type == "ExecutionStarted":
        return _started(event, arn)
    if event.event_type in _ATTEMPTS:
        return _tried(event, attempt)
    make = _ENTRIES.get(event.event_type)
    return None if make is None else make(event)


def _started(event: Event, arn: str) -> Entry:
    function, _, rest = arn.partition("/durable-execution/")
    name, _, ident = rest.rpartition("/")
    parsed = parse_function_name(function) or FunctionName(function)
    return r.ExecutionStarted(
        arn=Arn(arn),
        id=event.id or ident or arn.rpartition("/")[2],
        name=event.name or name,
        function=parsed.name,
        version=parsed.qualifier or LATEST,
        region=parsed.region or "",
        account=parsed.account or "",
        input=_text(event, "Input"),
        timeout=_number(event, "ExecutionTimeout") or limits.EXECUTION_TIMEOUT,
    )


def _tried(event: Event, attempt: int) -> Entry:
    told = _structure(event, "RetryDetails")
    delay = told.get("NextAttemptDelaySeconds")
    again = r.Retry(delay, event.event_timestamp + timedelta(seconds=delay)) if delay else None
    number = told.get("CurrentAttempt") or attempt
    if event.event_type == "StepSucceeded":
        return r.StepSucceeded(**_whose(event), result=_text(event, "Result"), attempt=number, retry=again)
    return r.StepFailed(**_whose(event), error=_error(event), attempt=number, retry=again)


def _wait_started(event: Event) -> Entry:
    seconds = _number(event, "Duration")
    until = event.details.get("ScheduledEndTimestamp")
    if not isinstance(until, datetime):
        until = event.event_timestamp + timedelta(seconds=seconds)
    return r.WaitStarted(**_whose(event), seconds=seconds, until=until)


def _callback_started(event: Event) -> Entry:
    return r.CallbackStarted(
        **_whose(event),
        callback_id=str(event.details.get("CallbackId", "")),
        timeout=_number(event, "Timeout"),
        heartbeat_timeout=_number(event, "HeartbeatTimeout"),
    )


def _invoke_started(event: Event) -> Entry:
    details: Told = event.details
    return r.ChainedInvokeStarted(
        **_whose(event),
        function_name=details.get("FunctionName", ""),
        child_arn=details.get("DurableExecutionArn"),
        tenant_id=details.get("TenantId"),
        input=_text(event, "Input"),
        executed_version=details.get("ExecutedVersion"),
    )


def _invocation_completed(event: Event) -> Entry:
    begun = event.details.get("StartTimestamp")
    return r.InvocationCompleted(
        id=InvocationId(str(event.details.get("RequestId", ""))),
        started_at=begun if isinstance(begun, datetime) else event.event_timestamp,
        error=_error(event),
    )


def _paused(event: Event) -> Entry:
    whether = bool(event.details.get("ExecutionTimeoutPaused"))
    return r.ExecutionPaused(timeout_paused=whether, reason=_text(event, "Reason"))


def _with_result(kind: Callable[..., Entry]) -> Callable[[Event], Entry]:
    return lambda event: kind(**_whose(event), result=_text(event, "Result"))


def _with_error(kind: Callable[..., Entry]) -> Callable[[Event], Entry]:
    return lambda event: kind(**_whose(event), error=_error(event))


_ENTRIES: Mapping[str, Callable[[Event], Entry]] = {
    "ExecutionSucceeded": lambda event: r.ExecutionSucceeded(result=_text(event, "Result")),
    "ExecutionFailed": lambda event: r.ExecutionFailed(error=_error(event)),
    "ExecutionTimedOut": lambda event: r.ExecutionTimedOut(error=_error(event)),
    "ExecutionStopped": lambda event: r.ExecutionStopped(error=_error(event)),
    "ExecutionPaused": _paused,
    "ExecutionResumed": lambda event: r.ExecutionResumed(reason=_text(event, "Reason")),
    "InvocationCompleted": _invocation_completed,
    "ContextStarted": lambda event: r.ContextStarted(**_whose(event)),
    "ContextSucceeded": _with_result(r.ContextSucceeded),
    "ContextFailed": _with_error(r.ContextFailed),
    "StepStarted": lambda event: r.StepStarted(**_whose(event)),
    "WaitStarted": _wait_started,
    "WaitSucceeded": lambda event: r.WaitSucceeded(**_whose(event), seconds=_number(event, "Duration")),
    "WaitCancelled": _with_error(r.WaitCancelled),
    "CallbackStarted": _callback_started,
    "CallbackSucceeded": _with_result(r.CallbackSucceeded),
    "CallbackFailed": _with_error(r.CallbackFailed),
    "CallbackTimedOut": _with_error(r.CallbackTimedOut),
    "ChainedInvokeStarted": _invoke_started,
    "ChainedInvokeSucceeded": _with_result(r.ChainedInvokeSucceeded),
    "ChainedInvokeFailed": _with_error(r.ChainedInvokeFailed),
    "ChainedInvokeTimedOut": _with_error(r.ChainedInvokeTimedOut),
    "ChainedInvokeStopped": _with_error(r.ChainedInvokeStopped),
}


# --- Parts of events --------------------------------------------------------------------------------


def _whose(event: Event) -> dict[str, Any]:
    ident, parent = OperationId(event.id or ""), event.parent_id
    return {"id": ident, "parent_id": parent, "name": event.name, "sub_type": event.sub_type}


def _structure(event: Event, key: str) -> Told:
    told = event.details.get(key)
    return told if isinstance(told, Mapping) else {}


def _text(event: Event, key: str) -> str | None:
    text: str | None = _structure(event, key).get("Payload")
    return text


def _number(event: Event, key: str) -> int:
    number = event.details.get(key)
    return number if isinstance(number, int) else 0


def _error(event: Event) -> ErrorObject | None:
    """The error of an event; None where nothing was told of it."""
    return error_object(_structure(event, "Error").get("Payload"))


def error_object(told: Told | None) -> ErrorObject | None:
    """An error as boto3 gives it, which may have no parts; None where there is none."""
    if told is None:
        return None
    stack = told.get("StackTrace")
    return ErrorObject(
        told.get("ErrorMessage"),
        told.get("ErrorType"),
        told.get("ErrorData"),
        None if stack is None else tuple(stack),
    )
