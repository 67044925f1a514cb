"""What is set for a function: its reserved concurrency, and how often an event is tried again."""

from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws.arns import LATEST, FunctionName
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.hosting.event_queue import EventInvokeConfig
from steprig.aws.http.answers import Json
from steprig.aws.http.backend import Backend
from steprig.aws.http.function_names import function_of
from steprig.aws.http.raw_path import label
from steprig.aws.http.reading import body_as
from steprig.aws.http.wire import seconds

_CONCURRENCY = "functions/{function}/concurrency"
_EVENTS = "/2019-09-25/functions/{function}/event-invoke-config"
_RETRIES, _AGE = range(3), range(60, 21601)


class ConcurrencyBody(msgspec.Struct, rename="pascal"):
    """Of `PutFunctionConcurrency`."""

    reserved_concurrent_executions: int


class EventInvokeBody(msgspec.Struct, rename="pascal"):
    """Of `PutFunctionEventInvokeConfig` and `UpdateFunctionEventInvokeConfig`."""

    maximum_retry_attempts: int | None = None
    maximum_event_age_in_seconds: int | None = None
    destination_config: dict[str, dict[str, str]] | None = None


def setting_routes(backend: Backend) -> list[Route]:
    """`PutFunctionConcurrency`, `PutFunctionEventInvokeConfig`, and what reads and undoes them."""
    return [*_concurrency_routes(backend), *_event_routes(backend)]


def _concurrency_routes(backend: Backend) -> list[Route]:
    concurrency = backend.hosts.concurrency

    async def put(request: Request) -> Response:
        name, body = _known(request, backend), await body_as(request, ConcurrencyBody)
        most = body.reserved_concurrent_executions
        if most < 0:
            raise Invalid(f"ReservedConcurrentExecutions must be 0 or more, not {most}.")
        concurrency.reserve(name.name, most)
        return Json({"ReservedConcurrentExecutions": most})

    async def get(request: Request) -> Response:
        most = concurrency.reserved(_known(request, backend).name)
        return Json({} if most is None else {"ReservedConcurrentExecutions": most})

    async def delete(request: Request) -> Response:
        concurrency.reserve(_known(request, backend).name, None)
        return Response(status_code=204)

    return [
        Route(f"/2017-10-31/{_CONCURRENCY}", put, methods=["PUT"]),
        Route(f"/2019-09-30/{_CONCURRENCY}", get, methods=["GET"]),
        Route(f"/2017-10-31/{_CONCURRENCY}", delete, methods=["DELETE"]),
    ]


def _event_routes(backend: Backend) -> list[Route]:
    configs = backend.events.configs

    async def put(request: Request) -> Response:
        return await _set(request, backend, EventInvokeConfig())

    async def update(request: Request) -> Response:
        return await _set(request, backend, _existing(_known(request, backend), backend))

    async def get(request: Request) -> Response:
        name = _known(request, backend)
        return Json(_told(name, _existing(name, backend), backend))

    async def delete(request: Request) -> Response:
        name = _known(request, backend)
        _existing(name, backend)
        del configs[config_key(name)]
        return Response(status_code=204)

    return [
        Route(_EVENTS, put, methods=["PUT"]),
        Route(_EVENTS, update, methods=["POST"]),
        Route(_EVENTS, get, methods=["GET"]),
        Route(_EVENTS, delete, methods=["DELETE"]),
    ]


async def _set(request: Request, backend: Backend, config: EventInvokeConfig) -> Response:
    name, body = _known(request, backend), await body_as(request, EventInvokeBody)
    if any((body.destination_config or {}).values()):
        raise Invalid("DestinationConfig cannot be set: a local service delivers to no destinations.")
    if backend.target(name.name, name.qualifier).durable:
        raise Invalid(f"{config_key(name)} is durable: an event starts an execution, which has retries of its own.")
    retries, age = body.maximum_retry_attempts, body.maximum_event_age_in_seconds
    _check("MaximumRetryAttempts", retries, _RETRIES)
    _check("MaximumEventAgeInSeconds", age, _AGE)
    made = replace(
        config,
        retries=config.retries if retries is None else retries,
        age=config.age if age is None else age,
        modified=backend.clock.now(),
    )
    backend.events.configs[config_key(name)] = made
    return Json(_told(name, made, backend))


def _known(request: Request, backend: Backend) -> FunctionName:
    name = function_of(label(request, "function"), request.query_params.get("Qualifier"), backend)
    backend.target(name.name, name.qualifier)
    return name


def config_key(name: FunctionName) -> str:
    """By what the configuration for its events is found."""
    return name.name if name.qualifier in (None, LATEST) else f"{name.name}:{name.qualifier}"


def _existing(name: FunctionName, backend: Backend) -> EventInvokeConfig:
    config = backend.events.configs.get(config_key(name))
    if config is None:
        function = backend.function_arn(name.name, name.version)
        raise ResourceNotFoundException(f"The function {function} doesn't have an EventInvokeConfig")
    return config


def _told(name: FunctionName, config: EventInvokeConfig, backend: Backend) -> dict[str, object]:
    assert config.modified is not None, "it was set"
    return {
        "LastModified": seconds(config.modified),
        "FunctionArn": backend.function_arn(name.name, name.version),
        "MaximumRetryAttempts": config.retries,
        "MaximumEventAgeInSeconds": config.age,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }


def _check(name: str, value: int | None, allowed: range) -> None:
    if value is not None and value not in allowed:
        raise Invalid(f"{name} must be between {allowed.start} and {allowed.stop - 1}, not {value}.")
