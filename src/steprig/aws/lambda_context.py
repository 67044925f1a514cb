"""The second argument of a handler."""

import json
import time
from dataclasses import dataclass, field

from steprig.aws.arns import function_arn
from steprig.aws.invoker import Caller


@dataclass(frozen=True)
class CognitoIdentity:
    """Who calls, where Cognito knows it. Here it never does."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@dataclass(frozen=True)
class ClientContext:
    """What a client tells of itself, in the parts that Lambda's runtime gives it."""

    custom: object = None
    env: object = None
    client: object = None


@dataclass(frozen=True)
class LambdaContext:
    """What Lambda's runtime tells a handler of its call."""

    aws_request_id: str
    function_name: str
    function_version: str
    invoked_function_arn: str
    tenant_id: str | None = None
    memory_limit_in_mb: str = "128"
    log_group_name: str = ""
    log_stream_name: str = ""
    identity: CognitoIdentity = CognitoIdentity()
    client_context: ClientContext | None = None
    xray_trace_id: str | None = None
    deadline: float = field(default=0.0, repr=False)
    """On the clock of `time.monotonic`."""

    def get_remaining_time_in_millis(self) -> int:
        """How much of its time the call has left, in real milliseconds."""
        return max(0, round((self.deadline - time.monotonic()) * 1000))

    def log(self, message: str) -> None:
        """Print, as Lambda's own does."""
        print(message)


def lambda_context(caller: Caller, request_id: str) -> LambdaContext:
    """The context of a call that begins now."""
    name, _, qualifier = caller.function.partition(":")
    return LambdaContext(
        aws_request_id=request_id,
        function_name=name,
        function_version=caller.version,
        invoked_function_arn=function_arn(
            name, region=caller.region, account=caller.account, qualifier=qualifier or None
        ),
        tenant_id=caller.tenant_id,
        log_group_name=f"/aws/lambda/{name}",
        log_stream_name=f"[{caller.version}]{request_id}",
        client_context=_client_context(caller.client_context),
        xray_trace_id=caller.trace_id,
        deadline=time.monotonic() + caller.timeout,
    )


def _client_context(text: str | None) -> ClientContext | None:
    if text is None:
        return None
    told = json.loads(text)
    return ClientContext(told.get("custom"), told.get("env"), told.get("client"))
