"""The history of an execution as the service reports it: its records, one event each, in their order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.model import ErrorObject
from steprig.kernel import Entry, Record

Details = dict[str, object]
_NOW = object()
"""Stands in details for the time of the event."""


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        event_type: Such as `StepSucceeded`.
        event_id: From 1, gapless.
        event_timestamp: When it happened, on the clock of the execution.
        id: Of the operation, on the events of one.
        name: Of the operation, or of the execution on `ExecutionStarted`.
        parent_id: Of the operation.
        sub_type: Of the operation.
        details: What this type of event has, by the service's names: `{"Result": {"Payload": "1"}}`.
    """

    event_type: str
    event_id: int
    event_timestamp: datetime
    id: str | None = None
    name: str | None = None
    parent_id: str | None = None
    sub_type: str | None = None
    details: Details = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """The event by the service's names, with a `datetime` where it has a time."""
        told: dict[str, object] = {
            "EventType": self.event_type,
            "EventId": self.event_id,
            "EventTimestamp": self.event_timestamp,
            "Id": self.id,
            "Name": self.name,
            "ParentId": self.parent_id,
            "SubType": self.sub_type,
            f"{self.event_type}Details": self.details,
        }
        return {key: value for key, value in told.items() if value is not None}

    def __str__(self) -> str:
        details = ", ".join(f"{key}={value!r}" for key, value in self.details.items())
        return "  ".join(part for part in (f"{self.event_id:3}", self.event_type, self.name, details) if part)


class HistoryPage(NamedTuple):
    """Some of the events, and what to ask for the next ones with."""

    events: Sequence[Event]
    next_marker: str | None


def events(records: Iterable[Record], *, include_execution_data: bool = True) -> list[Event]:
    """The whole history in a stream.

    Args:
        records: Of one execution.
        include_execution_data: False to leave out inputs, results and errors, as the service does unless asked.
    """
    told = [record for record in records if type(record.entry) in _DETAILS]
    return [_event(number, record, include_execution_data) for number, record in enumerate(told, 1)]


def page(
    records: Iterable[Record],
    *,
    include_execution_data: bool = False,
    max_items: int | None = None,
    marker: str | None = None,
    reverse: bool = False,
) -> HistoryPage:
    """A page of the history.

    Args:
        records: Of one execution.
        include_execution_data: See `events`.
        max_items: How many at most; 100 unless told.
        marker: From the page before.
        reverse: The last event first.

    Raises:
        InvalidParameterValueException: The marker is none, or no such number of items may be asked for.
    """
    if max_items is not None and not 0 <= max_items <= limits.HISTORY_PAGE_MOST:
        raise Invalid(f"MaxItems must be between 0 and {limits.HISTORY_PAGE_MOST}, not {max_items}.")
    if marker and not marker.isdecimal():
        raise Invalid("Invalid marker")
    told = events(records, include_execution_data=include_execution_data)
    most = max_items or limits.HISTORY_PAGE
    if reverse:
        left = [event for event in reversed(told) if not marker or event.event_id < int(marker)]
        shown = left[:most]
        return HistoryPage(shown, str(shown[-1].event_id) if len(left) > most else None)
    left = [event for event in told if not marker or event.event_id >= int(marker)]
    return HistoryPage(left[:most], str(left[most].event_id) if len(left) > most else None)


def _event(number: int, record: Record, include: bool) -> Event:
    entry = record.entry
    name = type(entry).__name__
    told = _DETAILS[type(entry)](entry, include)
    details = {key: record.at if value is _NOW else value for key, value in told.items()}
    if isinstance(entry, r.OperationEntry):
        return Event(name, number, record.at, entry.id, entry.name, entry.parent_id, entry.sub_type, details)
    if isinstance(entry, r.ExecutionStarted):
        return Event(name, number, record.at, entry.id, entry.name, details=details)
    return Event(name, number, record.at, details=details)


# --- Details ----------------------------------------------------------------------------------------


def _payload(value: object, include: bool) -> Details:
    if not include:
        return {"Truncated": True}
    return {"Payload": value, "Truncated": False} if value is not None else {"Truncated": False}


def _error_payload(error: ErrorObject | None, include: bool) -> Details:
    told: Details = msgspec.to_builtins(error or ErrorObject())
    if error is not None and error.stack_trace is not None:
        told["StackTrace"] = list(error.stack_trace)  # as boto3 gives it
    return _payload(told, include)


def _nothing(entry: Entry, include: bool) -> Details:
    return {}


def _result(entry: Entry, include: bool) -> Details:
    return {"Result": _payload(getattr(entry, "result", None), include)}


def _error(entry: Entry, include: bool) -> Details:
    return {"Error": _error_payload(getattr(entry, "error", None), include)}


def _execution_started(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.ExecutionStarted)
    return {"Input": _payload(entry.input, include), "ExecutionTimeout": entry.timeout}


def _execution_paused(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.ExecutionPaused)
    details: Details = {"PauseRequestTimestamp": _NOW, "ExecutionTimeoutPaused": entry.timeout_paused}
    return {**details, **_reason(entry.reason, include)}


def _execution_resumed(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.ExecutionResumed)
    return {"ResumeRequestTimestamp": _NOW, **_reason(entry.reason, include)}


def _reason(reason: str | None, include: bool) -> Details:
    return {} if reason is None else {"Reason": _payload(reason, include)}


def _invocation_completed(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.InvocationCompleted)
    details: Details = {"StartTimestamp": entry.started_at, "EndTimestamp": _NOW, "RequestId": entry.id}
    if entry.error is not None:
        details["Error"] = _error_payload(entry.error, include)
    return details


def _step(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.StepSucceeded | r.StepFailed)
    retry: Details = {"CurrentAttempt": entry.attempt}
    if entry.retry is not None:
        retry["NextAttemptDelaySeconds"] = entry.retry.delay
    outcome = _result(entry, include) if isinstance(entry, r.StepSucceeded) else _error(entry, include)
    return {**outcome, "RetryDetails": retry}


def _wait_started(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.WaitStarted)
    return {"Duration": entry.seconds, "ScheduledEndTimestamp": entry.until}


def _wait_succeeded(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.WaitSucceeded)
    return {"Duration": entry.seconds}


def _wait_cancelled(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.WaitCancelled)
    return {} if entry.error is None else _error(entry, include)


def _callback_started(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.CallbackStarted)
    times = {"Timeout": entry.timeout or None, "HeartbeatTimeout": entry.heartbeat_timeout or None}
    return _present({"CallbackId": entry.callback_id, **times})


def _invoke_started(entry: Entry, include: bool) -> Details:
    assert isinstance(entry, r.ChainedInvokeStarted)
    return _present(
        {
            "FunctionName": entry.function_name,
            "TenantId": entry.tenant_id,
            "Input": _payload(entry.input, include),
            "ExecutedVersion": entry.executed_version,
            "DurableExecutionArn": entry.child_arn,
        }
    )


def _present(details: Details) -> Details:
    return {key: value for key, value in details.items() if value is not None}


_DETAILS: Mapping[type[Entry], Callable[[Entry, bool], Details]] = {
    r.ExecutionStarted: _execution_started,
    r.ExecutionSucceeded: _result,
    r.ExecutionFailed: _error,
    r.ExecutionTimedOut: _error,
    r.ExecutionStopped: _error,
    r.ExecutionPaused: _execution_paused,
    r.ExecutionResumed: _execution_resumed,
    r.InvocationCompleted: _invocation_completed,
    r.ContextStarted: _nothing,
    r.ContextSucceeded: _result,
    r.ContextFailed: _error,
    r.StepStarted: _nothing,
    r.StepSucceeded: _step,
    r.StepFailed: _step,
    r.WaitStarted: _wait_started,
    r.WaitSucceeded: _wait_succeeded,
    r.WaitCancelled: _wait_cancelled,
    r.CallbackStarted: _callback_started,
    r.CallbackSucceeded: _result,
    r.CallbackFailed: _error,
    r.CallbackTimedOut: _error,
    r.ChainedInvokeStarted: _invoke_started,
    r.ChainedInvokeSucceeded: _result,
    r.ChainedInvokeFailed: _error,
    r.ChainedInvokeTimedOut: _error,
    r.ChainedInvokeStopped: _error,
}
