"""The errors that runs end with: an SDK's own, and those that the server words."""

import msgspec

from steprig.inngest.events import NULL
from steprig.inngest.opcodes import Op, UserError
from steprig.inngest.records import Problem
from steprig.inngest.replies import NoReply, Reply
from steprig.inngest.wire import UNREADABLE, checked


def server_made(name: str, message: str, stack: str | None = None, *, error: str | None = None) -> Problem:
    """An error that no SDK has reported."""
    text = message if error is None else error
    shown: dict[str, str] = {"error": text, "name": name, "message": message}
    if stack is not None:
        shown["stack"] = stack
    return Problem(name, message, stack, _raw({"error": shown}), text=text)


def of_function(reply: Reply) -> Problem:
    """A function's own error: the SDK's body is kept as it is."""
    error = _user_error(reply.body)
    text = "NonRetriableError" if reply.no_retry else f"invalid status code: {reply.status}"
    if error is None:
        message = reply.body.decode(errors="replace")
        return Problem("Error", message, None, as_sent(reply.body), text)
    return Problem(error.name, error.message, error.stack, as_sent(reply.body), text)


def of_step(op: Op, *, no_retry: bool) -> Problem:
    """A step's error."""
    sent = op.error if op.error != NULL else _raw({"name": "Error", "message": "the step failed without an error"})
    if bytes(sent)[:1] != b"{":
        sent = _raw({"name": "Error", "message": bytes(sent).decode()})
    error = _user_error(sent) or UserError()
    if no_retry:
        sent = _raw(msgspec.json.decode(sent, type=dict[str, msgspec.Raw]) | {"noRetry": True})
    return Problem(error.name, error.message, error.stack, sent, text=error.message)


def of_answer_that_is_no_sdks(reply: Reply) -> Problem:
    """Something answered that is no SDK: a proxy, another app on the port."""
    body = reply.body.decode(errors="replace")
    if reply.status < 300:
        message = "the answer did not come from an Inngest SDK: x-inngest-sdk is missing"
        return Problem("Error", message, None, as_sent(reply.body), body)
    message = f"Your server returned HTTP {reply.status} before the SDK responded."
    return Problem(
        name="Server returned a fatal error",
        message=message,
        stack=(
            stack := f"No step output was produced by the SDK.\n\nUpstream response ({reply.content_type}):\n{body}"
        ),
        json=_raw({"error": message, "name": "Server returned a fatal error", "message": message, "stack": stack}),
        text=message,
    )


def of_silence(silence: NoReply) -> Problem:
    """Nothing answered."""
    error = silence.reason if silence.name == "Error" else f"{silence.name}: {silence.reason}"
    shown = {"error": {"error": error, "name": silence.name, "message": silence.reason}}
    return Problem(silence.name, silence.reason, None, _raw(shown), text=error)


def of_opcodes(error: Exception) -> Problem:
    """A 206 whose body is no list of opcodes."""
    detail = str(error)
    if detail.startswith("Invalid enum value"):
        detail = f"{detail.split(chr(39))[1]} does not belong to Opcode values"
    elif not isinstance(error, msgspec.ValidationError) or " - at " not in detail:
        detail = "expected JSON object or array"
    return server_made("Error", f"error reading generator opcode response: {detail}")


def step_output_too_large(op: Op) -> Problem:
    """A step gave more than a step may."""
    return server_made(
        "Error", f"error validating generator opcode {op.id}: step output size is greater than the limit"
    )


def too_many_steps(limit: int) -> Problem:
    """A run has more steps than a run may have."""
    return server_made(
        "InngestErrFunctionOverflowed",
        f"The function run exceeded the step limit of {limit} steps.",
        error="function has too many steps",
    )


def state_too_large(limit: int) -> Problem:
    """A run's steps gave more than a run may keep."""
    name, message = "InngestErrStateOverflowed", f"The function run exceeded the state size limit of {limit} bytes."
    return server_made(name, message, error=f"{name}: {message}")


def wait_too_long(what: str) -> Problem:
    """A sleep or a timeout beyond the longest."""
    return server_made("InngestErrTimeoutTooLong", f"{what} is more than 366 days away")


def broken(what: str, error: Exception) -> Problem:
    """A fault of steprig itself."""
    return server_made("SteprigError", f"a fault in steprig while {what}: {error!r}; please report it")


def invalid_expression(message: str) -> Problem:
    """The condition of a wait does not compile."""
    return server_made("InvalidExpression", message)


def gateway_failed(reason: str) -> Problem:
    """Nobody has answered a request that the server has made for a step."""
    message = f"Error making gateway request: {reason}"
    return Problem("GatewayError", message, None, _raw({"name": "GatewayError", "message": message}), text=message)


def inference_failed(reason: str, body: bytes) -> Problem:
    """A provider of models has refused a request, or not answered."""
    message, body = f"Error making AI request: {reason}", body.strip() or b'{"error":"Error making AI request"}'
    stack = body.decode(errors="replace")
    shown = {"name": "AIGatewayError", "message": message, "stack": stack, "data": as_sent(body)}
    return Problem("AIGatewayError", message, stack, _raw(shown), text=message)


def signal_conflict() -> Problem:
    """A step waits for a signal that another step waits for already."""
    return server_made("Error", "Signal conflict; signal wait already exists for another run")


def invoke_timed_out() -> Problem:
    """An invoked function did not end in time."""
    message = "Timed out waiting for invoked function to complete"
    name = "InngestInvokeTimeoutError"
    shown = {"error": f"{name}: {message}", "name": name, "message": message}
    return Problem(name, message, None, _raw(shown), f"{name}: {message}")


def invoked_function_missing(function: str) -> Problem:
    """There is no such function to invoke."""
    message = f"could not find function with ID: {function}"
    return Problem("Error", message, None, _raw({"name": "Error", "message": message}), message)


def of_invoked(problem: Problem) -> Problem:
    """An invoked function failed with `problem`: what the run that invoked it is given."""
    return msgspec.structs.replace(problem, json=as_event_error(problem))


def as_event_error(problem: Problem) -> msgspec.Raw:
    """The `error` of `inngest/function.finished` and `.failed`."""
    shown = {"error": problem.text, "name": problem.name, "message": problem.message}
    if problem.stack is not None:
        shown["stack"] = problem.stack
    return _raw(shown)


def _user_error(body: bytes | msgspec.Raw) -> UserError | None:
    try:
        return msgspec.json.decode(body, type=UserError)
    except UNREADABLE:
        return None


def as_sent(body: bytes) -> msgspec.Raw:
    """JSON as it is, anything else as a JSON text."""
    try:
        return msgspec.json.decode(checked(body), type=msgspec.Raw)
    except UNREADABLE:
        return _raw(body.decode(errors="replace"))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
