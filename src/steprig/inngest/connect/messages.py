"""The messages of Connect, as frames: the one place that knows the SDK's protobuf module."""

import warnings
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from steprig.errors import SteprigError
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.limits import ACCOUNT_ID, ENVIRONMENT_ID, MAX_REPLY_BYTES
from steprig.inngest.replies import NoReply, Reply

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
    from inngest.connect._internal import connect_pb2 as pb

Kind = pb.GatewayMessageType

_M = TypeVar("_M", bound=Message)

HELLO = b""
"""Kind 0 without a payload: protobuf has no bytes for it."""

_STATUS = {pb.NOT_COMPLETED: 206, pb.DONE: 200, pb.ERROR: 500}


class MalformedMessageError(SteprigError, ValueError):
    """A worker sent what is no message of the kind that it claims to be."""


class AppSent(NamedTuple):
    """An app as a worker sends it."""

    name: str
    version: str | None
    functions: bytes
    """JSON, as in `POST /fn/register`."""


class Introduction(NamedTuple):
    """How a worker introduces itself."""

    connection_id: str
    instance_id: str
    session_token: str
    apps: tuple[AppSent, ...]
    framework: str
    sdk_language: str
    sdk_version: str
    says_when_ready: bool
    max_concurrency: int | None
    platform: str
    cpu_cores: int
    mem_bytes: int
    os: str


class Extension(NamedTuple):
    """What a worker says to keep a lease."""

    request_id: str
    lease_id: str
    function: str


class ExecutorRequest(NamedTuple):
    """A call, for a worker."""

    request_id: str
    run_id: str
    job_id: str
    lease_id: str
    app: str
    function: str
    step: str
    body: bytes


def read(frame: bytes) -> tuple[int, bytes]:
    """The kind of a message, and its payload.

    Raises:
        MalformedMessageError: As for every function here that reads.
    """
    message = _parsed(pb.ConnectMessage, frame)
    return message.kind, message.payload


def read_introduction(payload: bytes) -> Introduction:
    """`WORKER_CONNECT`."""
    sent = _parsed(pb.WorkerConnectRequestData, payload)
    return Introduction(
        connection_id=sent.connection_id,
        instance_id=sent.instance_id,
        session_token=sent.auth_data.session_token,
        apps=tuple(AppSent(app.app_name, app.app_version or None, app.functions) for app in sent.apps),
        framework=sent.framework,
        sdk_language=sent.sdk_language,
        sdk_version=sent.sdk_version,
        says_when_ready=sent.worker_manual_readiness_ack,
        max_concurrency=sent.max_worker_concurrency or None,
        platform=sent.platform,
        cpu_cores=sent.system_attributes.cpu_cores,
        mem_bytes=sent.system_attributes.mem_bytes,
        os=sent.system_attributes.os,
    )


def read_ack(payload: bytes) -> str:
    """`WORKER_REQUEST_ACK`: the id of the request that has arrived."""
    return _parsed(pb.WorkerRequestAckData, payload).request_id


def read_extension(payload: bytes) -> Extension:
    """`WORKER_REQUEST_EXTEND_LEASE`."""
    sent = _parsed(pb.WorkerRequestExtendLeaseData, payload)
    return Extension(sent.request_id, sent.lease_id, sent.function_slug)


def read_reply(payload: bytes) -> tuple[str, Reply | NoReply]:
    """`WORKER_REPLY`, or the body of a flush: the id of the request, and its answer."""
    sent = _parsed(pb.SDKResponse, payload)
    if len(sent.body) > MAX_REPLY_BYTES:
        reason = "Your function's response body exceeds the maximum size limit"
        return sent.request_id, NoReply(reason, name="output_too_large")
    return sent.request_id, Reply(
        status=_STATUS.get(sent.status, 500),
        body=sent.body,
        no_retry=sent.no_retry,
        retry_after=sent.retry_after or None,
        version=sent.request_version or 1,
        content_type="application/json",
    )


def ready(heartbeat: int, extension: int) -> bytes:
    """`GATEWAY_CONNECTION_READY`, with intervals in seconds."""
    data = pb.GatewayConnectionReadyData(heartbeat_interval=f"{heartbeat}s", extend_lease_interval=f"{extension}s")
    return _frame(Kind.GATEWAY_CONNECTION_READY, data.SerializeToString())


def executor_request(request: ExecutorRequest) -> bytes:
    """`GATEWAY_EXECUTOR_REQUEST`."""
    data = pb.GatewayExecutorRequestData(
        request_id=request.request_id,
        account_id=ACCOUNT_ID,
        env_id=ENVIRONMENT_ID,
        app_id=str(app_uuid(request.app)),
        app_name=request.app,
        function_id=str(function_uuid(request.function)),
        function_slug=request.function,
        step_id=request.step,
        request_payload=request.body,
        system_trace_ctx=b"{}",
        user_trace_ctx=b"{}",
        run_id=request.run_id,
        lease_id=request.lease_id,
        job_id=request.job_id,
    )
    return _frame(Kind.GATEWAY_EXECUTOR_REQUEST, data.SerializeToString())


def reply_ack(request_id: str) -> bytes:
    """`WORKER_REPLY_ACK`."""
    return _frame(Kind.WORKER_REPLY_ACK, pb.WorkerReplyAckData(request_id=request_id).SerializeToString())


def extension_ack(extension: Extension, lease_id: str | None) -> bytes:
    """`WORKER_REQUEST_EXTEND_LEASE_ACK`; without a lease id it tells the worker to stop."""
    data = pb.WorkerRequestExtendLeaseAckData(
        request_id=extension.request_id,
        account_id=ACCOUNT_ID,
        env_id=ENVIRONMENT_ID,
        function_slug=extension.function,
        new_lease_id=lease_id,
    )
    return _frame(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, data.SerializeToString())


def sync_failed(code: str, message: str) -> bytes:
    """`SYNC_FAILED`."""
    return _frame(Kind.SYNC_FAILED, pb.SystemError(code=code, message=message).SerializeToString())


def heartbeat() -> bytes:
    """`GATEWAY_HEARTBEAT`."""
    return _frame(Kind.GATEWAY_HEARTBEAT)


def closing() -> bytes:
    """`GATEWAY_CLOSING`."""
    return _frame(Kind.GATEWAY_CLOSING)


def flush_response(request_id: str) -> bytes:
    """The body that answers a flush."""
    written: bytes = pb.FlushResponse(request_id=request_id).SerializeToString()
    return written


def _frame(kind: "pb.GatewayMessageType", payload: bytes = b"") -> bytes:
    written: bytes = pb.ConnectMessage(kind=kind, payload=payload).SerializeToString()
    return written


def _parsed(message: type[_M], data: bytes) -> _M:
    parsed: _M = message()
    try:
        parsed.ParseFromString(data)
    except DecodeError as error:
        raise MalformedMessageError(f"expected a {message.__name__}, got {data[:40]!r} ({error})") from error
    return parsed
