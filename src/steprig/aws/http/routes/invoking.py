"""`Invoke`: starts an execution of a durable function, and calls any other."""

import json
from base64 import b64decode
from collections.abc import Callable
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.arns import FunctionName
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.errors import InvalidRequestContentException, RequestTooLargeException
from steprig.aws.functions import Target
from steprig.aws.hosting.invocation_logs import execution_key
from steprig.aws.http.backend import Backend
from steprig.aws.http.constraints import EXECUTION_NAME, TENANT_ID
from steprig.aws.http.function_names import function_of
from steprig.aws.http.raw_path import label
from steprig.aws.http.reading import match, shown
from steprig.aws.http.routes.settings import config_key
from steprig.aws.http.tailing import Tail
from steprig.aws.http.throttling import ConcurrencyExceededError
from steprig.aws.invocations import timed_out
from steprig.aws.invoker import Caller, PlainCall
from steprig.aws.model import ErrorObject
from steprig.aws.starting import Start

_TYPES = ("Event", "RequestResponse", "DryRun")
_LOG_TYPES = ("None", "Tail")
HANDLER_INVOKE = "X-Dex-Handler-Invoke"
"""On the request to run a durable handler once, with the event that is sent, and to start nothing."""


def invoking_routes(backend: Backend) -> list[Route]:
    """The one route."""

    async def invoke(request: Request) -> Response:
        name = function_of(label(request, "function"), request.query_params.get("Qualifier"), backend)
        how = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if how not in _TYPES:
            raise Invalid(f"InvocationType must be of {', '.join(_TYPES)}, not {shown(how)}.")
        target = backend.target(name.name, name.qualifier)
        payload = _payload(await request.body(), how)
        if how == "DryRun":
            return Response(status_code=204, headers={"X-Amz-Executed-Version": name.version})
        if target.durable and request.headers.get(HANDLER_INVOKE) != "true":
            return await _run(backend, request, name, target, payload, how)
        return await _call(backend, request, name, target, payload, how)

    return [Route("/2015-03-31/functions/{function}/invocations", invoke, methods=["POST"])]


def _wants_tail(request: Request, how: str) -> bool:
    """Whether the answer has to have the end of the log. An event's never has."""
    kind = request.headers.get("X-Amz-Log-Type", "None")
    if kind not in _LOG_TYPES:
        raise Invalid(f"LogType must be of {', '.join(_LOG_TYPES)}, not {shown(kind)}.")
    return kind == "Tail" and how == "RequestResponse"


def _payload(body: bytes, how: str) -> str:
    most = limits.ASYNCHRONOUS_PAYLOAD_BYTES if how == "Event" else limits.PAYLOAD_BYTES
    if len(body) > most:
        raise RequestTooLargeException(f"Request must be smaller than {most} bytes for the InvokeFunction operation")
    try:
        msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestContentException(f"Could not parse request body into json: {error}") from error
    return body.decode() or "{}"


async def _run(
    backend: Backend, request: Request, name: FunctionName, target: Target, payload: str, how: str
) -> Response:
    """Start an execution, or find the one that was started by this name, and tell how it ends if that is wanted."""
    execution_name, tenant = _header(request, "X-Amz-Durable-Execution-Name"), _header(request, "X-Amz-Tenant-Id")
    match("durableExecutionName", execution_name, EXECUTION_NAME)
    match("tenantId", tenant, TENANT_ID)
    start = Start(
        function=target.name,
        name=execution_name or str(uuid4()),
        input=payload,
        version=name.version,
        region=backend.region,
        account=backend.account,
        timeout=target.execution_timeout,
        timeout_by_clock=target.timeout_by_clock,
        retention_days=target.retention_days,
        tenant_id=tenant,
        trace_id=_header(request, "X-Amzn-Trace-Id"),
    )
    if how == "RequestResponse" and backend.hosts.is_full(target.name) and not backend.has_started(start):
        raise ConcurrencyExceededError
    with Tail(backend.logs, execution_key(start.entry("").arn), wanted=_wants_tail(request, how)) as tail:
        arn = backend.start(start, execution_name)
        headers = {"X-Amz-Durable-Execution-Arn": arn, "X-Amz-Executed-Version": name.version}
        if how == "Event":
            return Response(status_code=202, headers=headers)
        state = await backend.waiter.end_of(arn, request)
        if state.status == "SUCCEEDED":
            return _succeeded(state.result, {**headers, **tail.headers()})
        return _failed(state.error, {**headers, **tail.headers()})


async def _call(
    backend: Backend, request: Request, name: FunctionName, target: Target, payload: str, how: str
) -> Response:
    """Call a handler once, or for an event until it succeeds."""
    caller = Caller(
        function=target.name,
        version=name.version,
        region=backend.region,
        account=backend.account,
        tenant_id=_header(request, "X-Amz-Tenant-Id"),
        trace_id=_header(request, "X-Amzn-Trace-Id"),
        timeout=backend.invocation_timeout,
        client_context=_client_context(request) if how == "RequestResponse" else None,
    )
    call, headers = PlainCall(caller, str(uuid4()), payload), {"X-Amz-Executed-Version": name.version}
    if how == "Event":
        backend.events.send(call, config_key(name))
        return Response(status_code=202, headers=headers)
    with Tail(backend.logs, call.request_id, wanted=_wants_tail(request, how)) as tail:
        end = await _end_of(backend, request, call)
        if isinstance(end, r.ExecutionSucceeded):
            return _succeeded(end.result, {**headers, **tail.headers()})
        return _failed(getattr(end, "error", None), {**headers, **tail.headers()})


async def _end_of(backend: Backend, request: Request, call: PlainCall) -> r.ExecutionEnd:
    """How a call has ended."""
    function, timeout = call.caller.function, call.caller.timeout
    work = backend.clock.working(f"call of {function}")

    def begin(report: Callable[[r.ExecutionEnd], object]) -> Callable[[], object]:
        def done(end: r.ExecutionEnd) -> None:
            work.done()
            report(end)

        if not backend.hosts.try_call(call, done):
            work.done()
            raise ConcurrencyExceededError
        return lambda: None

    try:
        return await backend.waiter.reported(begin, request, timeout=backend.hosts.patience(function, timeout))
    except TimeoutError:
        backend.logs.time_out(call.request_id, timeout)
        return r.ExecutionFailed(error=timed_out(timeout).error)


def _succeeded(result: str | None, headers: dict[str, str]) -> Response:
    return Response(result or "null", 200, headers, "application/json")


def _failed(error: ErrorObject | None, headers: dict[str, str]) -> Response:
    told = error or ErrorObject()
    body = {"errorMessage": told.error_message or "", "errorType": told.error_type or "Error"}
    stack = {} if told.stack_trace is None else {"stackTrace": list(told.stack_trace)}
    data = {} if told.error_data is None else {"errorData": told.error_data}
    content = msgspec.json.encode({**body, **stack, **data})
    return Response(content, 200, {**headers, "X-Amz-Function-Error": "Unhandled"}, "application/json")


def _client_context(request: Request) -> str | None:
    """What a client tells of itself, as JSON."""
    encoded = request.headers.get("X-Amz-Client-Context")
    if encoded is None:
        return None
    try:
        text = b64decode(encoded, validate=True).decode()
        msgspec.json.decode(text, type=dict[str, object])
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.") from None
    return json.dumps(json.loads(text))  # in ASCII, as it goes on in a header


def _header(request: Request, name: str) -> str | None:
    return request.headers.get(name)
