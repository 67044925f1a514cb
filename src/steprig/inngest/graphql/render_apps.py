"""Apps and functions in the shapes of the GraphQL schema."""

from typing import Any

import msgspec

from steprig.inngest.functions import App, Function, Slug
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.platform import InngestPlatform

_SCOPES = {"fn": "FUNCTION", "env": "ENVIRONMENT", "account": "ACCOUNT"}


def app(app: App) -> dict[str, Any]:
    """`App`."""
    return {
        "id": str(app_uuid(app.name)),
        "externalID": app.name,
        "name": app.name,
        "sdkLanguage": app.sdk_language,
        "sdkVersion": app.sdk_version,
        "framework": app.framework,
        "url": app.url,
        "checksum": app.checksum,
        "error": lambda info: info.context.syncer.error_of(app.url),
        "functions": lambda info: [function(app, each) for each in app.functions],
        "method": app.method,
        "appVersion": app.version,
        "connected": lambda info: _is_connected(info.context, app),
        "functionCount": len(app.functions),
        "autodiscovered": lambda info: info.context.syncer.has_discovered(app.url),
        "sdkFeatureReadiness": {},
    }


def function(owner: App, function: Function) -> dict[str, Any]:
    """`Function`."""
    return {
        "id": str(function_uuid(function.id)),
        "name": function.name,
        "slug": function.id,
        "appID": str(app_uuid(owner.name)),
        "config": lambda info: _text(_config(function)),
        "configuration": _configuration(function),
        "concurrency": max((entry.limit for entry in function.concurrency_limits), default=0),
        "triggers": [
            {"type": "EVENT", "value": trigger.event, "condition": trigger.expression}
            if trigger.event is not None
            else {"type": "CRON", "value": trigger.cron, "condition": None}
            for trigger in function.triggers
        ],
        "url": function.entry.runtime.url,
        "app": lambda info: app(owner),
        "failureHandler": lambda info: _failure_handler(owner, function),
    }


def function_of_run(platform: InngestPlatform, slug: str) -> dict[str, Any]:
    """`Function` of a run, as it was last where it is registered no longer."""
    registered = platform.engine.apps.last_known(Slug(slug))
    return function(registered.app, registered.function)


def app_of_run(platform: InngestPlatform, slug: str) -> dict[str, Any]:
    """`App` of a run of this function, as it was last where it is registered no longer."""
    return app(platform.engine.apps.last_known(Slug(slug)).app)


def _is_connected(platform: InngestPlatform, app: App) -> bool:
    if app.method != "CONNECT":
        return platform.syncer.error_of(app.url) is None
    workers = (each for each in platform.gateway.connections if any(its.name == app.name for its in each.apps))
    return any(worker.status == "READY" for worker in workers)


def _config(function: Function) -> dict[str, Any]:
    """The configuration as the dev server stores it: the steps are a list, and say where they are."""
    members: dict[str, Any] = msgspec.to_builtins(function)
    entry = function.entry
    members["steps"] = [
        {
            "id": entry.id,
            "name": entry.name,
            "uri": entry.runtime.url,
            "retries": function.max_attempts - 1,
        }
    ]
    return members | {"fv": 1}


def _configuration(function: Function) -> dict[str, Any]:
    retries = function.entry.retries
    return {
        "cancellations": [
            {"event": cancel.event, "timeout": cancel.timeout, "condition": cancel.condition}
            for cancel in function.cancel or ()
        ],
        "retries": {
            "value": function.max_attempts - 1,
            "isDefault": retries is None or retries.attempts is None,
        },
        "priority": None if function.priority is None else function.priority.run,
        "eventsBatch": _members(function.batch_events),
        "concurrency": [
            {
                "scope": _SCOPES[entry.scope],
                "limit": {"value": entry.limit, "isPlanLimit": False},
                "key": entry.key,
            }
            for entry in function.concurrency_limits
        ],
        "rateLimit": _members(function.rate_limit),
        "debounce": _members(function.debounce),
        "throttle": _members(function.throttle, burst=0),
        "singleton": None
        if function.singleton is None
        else {"mode": function.singleton.mode.upper(), "key": function.singleton.key},
    }


def _members(setting: msgspec.Struct | None, **defaults: object) -> dict[str, Any] | None:
    return None if setting is None else {**defaults, **msgspec.to_builtins(setting)}


def _failure_handler(owner: App, failing: Function) -> dict[str, Any] | None:
    handler = owner.function(f"{failing.id}-failure")
    return None if handler is None else function(owner, handler)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
