"""The service as boto3 speaks to it, with errors as the rest of steprig raises them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aws_durable_execution_sdk_python.lambda_service import ErrorObject

from steprig.aws import limits
from steprig.aws.errors import DurableFunctionsTestError, InvalidParameterValueException, ServiceError
from steprig.aws.history import Event
from steprig.aws.told_history import event_from

_READ_TIMEOUT = 960
"""Seconds: longer than a function may take, as a client that gives up sooner would repeat the call."""
_ERRORS = {kind.code: kind for kind in ServiceError.__subclasses__()}


class LambdaClient:
    """Durable executions by boto3's client of Lambda.

    Args:
        region: None for the one that boto3 finds.
        endpoint: None for AWS, or what `AWS_ENDPOINT_URL_LAMBDA` says.
        client: A client instead of one of its own. It stays open.

    Raises:
        DurableFunctionsTestError: The boto3 that is installed knows nothing of durable executions.
    """

    def __init__(self, region: str | None, endpoint: str | None, client: Any = None) -> None:
        self._is_own = client is None
        self.boto = client if client is not None else _made(region, endpoint)
        if not hasattr(self.boto, "get_durable_execution"):
            raise DurableFunctionsTestError(f"{_boto3()} knows no durable executions; install a newer one")

    def invoke(self, function: str, payload: bytes, execution_name: str, tenant_id: str | None) -> str | None:
        """Start an execution, at most once however often boto3 has to try. Returns its ARN.

        An `Event` is answered at once. One that is too large for that is sent as a request whose answer comes at the
        end of the execution.
        """
        how = "Event" if len(payload) <= limits.ASYNCHRONOUS_PAYLOAD_BYTES else "RequestResponse"
        tenant = {} if tenant_id is None else {"TenantId": tenant_id}
        with _translated():
            answer = self.boto.invoke(
                FunctionName=function,
                InvocationType=how,
                Payload=payload,
                DurableExecutionName=execution_name,
                **tenant,
            )
        arn: str | None = answer.get("DurableExecutionArn")
        return arn

    def execution(self, arn: str) -> Mapping[str, Any]:
        """`GetDurableExecution`."""
        with _translated():
            told: Mapping[str, Any] = self.boto.get_durable_execution(DurableExecutionArn=arn)
        return told

    def history(self, arn: str, *, include_execution_data: bool = True) -> list[Event]:
        """All pages of `GetDurableExecutionHistory`."""
        asked = {"IncludeExecutionData": include_execution_data, "MaxItems": limits.HISTORY_PAGE_MOST}
        found, marker = list[Event](), ""
        while True:
            at = {"Marker": marker} if marker else {}
            with _translated():
                page = self.boto.get_durable_execution_history(DurableExecutionArn=arn, **asked, **at)
            found += map(event_from, page["Events"])
            marker = page.get("NextMarker") or ""
            if not marker:
                return found

    def succeed_callback(self, callback_id: str, result: bytes | None) -> None:
        """`SendDurableExecutionCallbackSuccess`."""
        told = {} if result is None else {"Result": result}
        with _translated():
            self.boto.send_durable_execution_callback_success(CallbackId=callback_id, **told)

    def fail_callback(self, callback_id: str, error: ErrorObject | None) -> None:
        """`SendDurableExecutionCallbackFailure`."""
        with _translated():
            self.boto.send_durable_execution_callback_failure(CallbackId=callback_id, **_error(error))

    def heartbeat(self, callback_id: str) -> None:
        """`SendDurableExecutionCallbackHeartbeat`."""
        with _translated():
            self.boto.send_durable_execution_callback_heartbeat(CallbackId=callback_id)

    def stop(self, arn: str, error: ErrorObject | None) -> None:
        """`StopDurableExecution`."""
        with _translated():
            self.boto.stop_durable_execution(DurableExecutionArn=arn, **_error(error))

    def pause(self, arn: str) -> None:
        """`PauseDurableExecution`. Raises `DurableFunctionsTestError` if boto3 does not know it."""
        self._newer("pause_durable_execution", arn)

    def resume(self, arn: str) -> None:
        """`ResumeDurableExecution`. Raises `DurableFunctionsTestError` if boto3 does not know it."""
        self._newer("resume_durable_execution", arn)

    def close(self) -> None:
        """Let go of its connections, if they are its own."""
        if self._is_own:
            self.boto.close()

    def _newer(self, operation: str, arn: str) -> None:
        call = getattr(self.boto, operation, None)
        if call is None:
            raise DurableFunctionsTestError(f"{_boto3()} knows no {operation}; install a newer one")
        with _translated():
            call(DurableExecutionArn=arn)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the service's errors as steprig has them, and what it may answer besides as boto3 raises it."""
    from botocore.exceptions import ClientError, ParamValidationError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        kind = _ERRORS.get(told.get("Code", ""))
        if kind is None:
            raise
        raise kind(told.get("Message") or str(error)) from error
    except ParamValidationError as error:
        raise InvalidParameterValueException(str(error)) from error


def _made(region: str | None, endpoint: str | None) -> Any:
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    return boto3.client("lambda", region_name=region, endpoint_url=endpoint, config=Config(read_timeout=_READ_TIMEOUT))


def _error(error: ErrorObject | None) -> dict[str, object]:
    if error is None:
        return {}
    parts = {
        "ErrorMessage": error.message,
        "ErrorType": error.type,
        "ErrorData": error.data,
        "StackTrace": error.stack_trace,
    }
    return {"Error": {key: value for key, value in parts.items() if value is not None}}


def _boto3() -> str:
    import boto3

    return f"boto3 {boto3.__version__}"
