"""What only a local server has."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws import limits
from steprig.aws.arns import LATEST
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.functions import Target
from steprig.aws.http.answers import Json
from steprig.aws.http.backend import AlreadyStartedError, Backend
from steprig.aws.http.constraints import ACCOUNT_ID, EXECUTION_NAME, TENANT_ID
from steprig.aws.http.function_names import function_of
from steprig.aws.http.reading import body_as, match
from steprig.aws.inputs import as_json
from steprig.aws.starting import Start

_RETENTION_DAYS = range(1, 91)


class StartBody(msgspec.Struct, rename="pascal"):
    """Of `POST /start-durable-execution`."""

    account_id: str
    function_name: str
    function_qualifier: str
    execution_name: str
    execution_retention_period_days: int
    execution_timeout_seconds: int | msgspec.UnsetType = msgspec.UNSET
    """Left out for the function's own."""
    invocation_id: str | None = None
    trace_fields: dict[str, str] | None = None
    tenant_id: str | None = None
    input: str | None = None
    lambda_endpoint: str | None = None


class EndpointBody(msgspec.Struct, rename="pascal"):
    """Of `PUT /lambda-endpoint`."""

    endpoint_url: str
    region_name: str | None = None


def local_routes(backend: Backend) -> list[Route]:
    """The endpoints of the testing SDK's own server."""

    async def health(request: Request) -> Response:
        return Json({"status": "healthy"})

    async def metrics(request: Request) -> Response:
        return Json({"metrics": {}})

    async def start(request: Request) -> Response:
        body = await body_as(request, StartBody)
        try:
            return Json({"ExecutionArn": backend.start(_start(body, backend), body.execution_name)}, 201)
        except AlreadyStartedError as error:
            headers = {"x-amzn-ErrorType": error.code}
            return Json({"message": str(error), "DurableExecutionArn": error.arn}, 409, headers)

    async def set_endpoint(request: Request) -> Response:
        body = await body_as(request, EndpointBody)
        _check_url("EndpointUrl", body.endpoint_url)
        if body.region_name not in (None, backend.region):
            raise Invalid(f"RegionName must be this server's own, {backend.region}, not {body.region_name!r}.")
        backend.use_endpoint(body.endpoint_url, None)
        return Json({})

    return [
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/start-durable-execution", start, methods=["POST"]),
        Route("/lambda-endpoint", set_endpoint, methods=["PUT"]),
    ]


def _start(body: StartBody, backend: Backend) -> Start:
    name = function_of(body.function_name, body.function_qualifier or None, backend)
    target = backend.functions.resolve(f"{name.name}:{name.qualifier}")
    function = name.name if target is None else target.name
    match("accountId", body.account_id, ACCOUNT_ID)
    match("executionName", body.execution_name, EXECUTION_NAME)
    match("tenantId", body.tenant_id, TENANT_ID)
    timeout = body.execution_timeout_seconds
    if timeout is not msgspec.UNSET:
        _check_range("ExecutionTimeoutSeconds", timeout, limits.DELAY_SECONDS)
    _check_range("ExecutionRetentionPeriodDays", body.execution_retention_period_days, _RETENTION_DAYS)
    if body.lambda_endpoint is not None:
        _check_url("LambdaEndpoint", body.lambda_endpoint)
        backend.use_endpoint(body.lambda_endpoint, function)
    return Start(
        function=function,
        name=body.execution_name,
        input=as_json(body.input),
        version=name.version if name.qualifier else LATEST,
        region=backend.region,
        account=body.account_id,
        timeout=_default_timeout(target, backend) if timeout is msgspec.UNSET else timeout,
        timeout_by_clock=timeout is not msgspec.UNSET or target is None or target.timeout_by_clock,
        retention_days=body.execution_retention_period_days,
        tenant_id=body.tenant_id,
        trace_id=(body.trace_fields or {}).get("XAmznTraceId"),
    )


def _default_timeout(target: Target | None, backend: Backend) -> int:
    return backend.execution_timeout or limits.EXECUTION_TIMEOUT if target is None else target.execution_timeout


def _check_range(name: str, value: int, allowed: range) -> None:
    if value not in allowed:
        raise Invalid(f"{name} must be between {allowed.start} and {allowed.stop - 1}, not {value}.")


def _check_url(name: str, url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"{name} must be a URL such as http://127.0.0.1:3001, not {url!r}.")
