"""What comes back from a function that lives elsewhere."""

from typing import NamedTuple

import msgspec

from steprig.aws import records as r
from steprig.aws.invocations import Failed, NoFunction, Outcome, Returned
from steprig.aws.model import ErrorObject

_NO_FUNCTION = "ResourceNotFoundException"


class Reply(NamedTuple):
    """An answer to Invoke."""

    status: int
    body: bytes
    is_error: bool
    """The function has raised."""
    refusal: str | None = None
    """The name of the error, when it was not even called."""
    log: str | None = None
    """The end of its log in Base64, when that was asked for and told."""


class RuntimeErrorBody(msgspec.Struct):
    """An error in the words of Lambda's runtimes."""

    error_message: str | None = msgspec.field(default=None, name="errorMessage")
    error_type: str | None = msgspec.field(default=None, name="errorType")
    stack_trace: tuple[str, ...] | None = msgspec.field(default=None, name="stackTrace")


def outcome_of(reply: Reply, function: str) -> Outcome:
    """What one invocation of a durable function came to."""
    if reply.status == 404 and reply.refusal in (None, _NO_FUNCTION):
        return NoFunction(function)
    if (error := _error_of(reply)) is not None:
        return Failed(error)
    try:
        return Returned(msgspec.json.decode(reply.body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Returned(reply.body.decode(errors="replace"))


def plain_end_of(reply: Reply) -> r.ExecutionEnd:
    """What a call of a function that is not durable came to."""
    if (error := _error_of(reply)) is not None:
        return r.ExecutionFailed(error=error)
    try:
        return r.ExecutionSucceeded(result=reply.body.decode())
    except UnicodeDecodeError as problem:
        message = f"the function's output is not UTF-8: {problem}"
        return r.ExecutionFailed(error=ErrorObject(error_type="Runtime.InvalidOutput", error_message=message))


def runtime_error(body: bytes, otherwise: str = "Unhandled") -> ErrorObject:
    """The error in a body that a runtime has sent, whatever it is."""
    try:
        told = msgspec.json.decode(body, type=RuntimeErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorObject(error_type=otherwise, error_message=body.decode(errors="replace"))
    return ErrorObject(told.error_message, told.error_type or otherwise, None, told.stack_trace)


def _error_of(reply: Reply) -> ErrorObject | None:
    if reply.is_error:
        return runtime_error(reply.body)
    if reply.status < 300:
        return None
    message = f"the endpoint answered {reply.status}: {reply.body[:500].decode(errors='replace')}"
    return ErrorObject(error_type=reply.refusal or "Lambda.Unavailable", error_message=message)
