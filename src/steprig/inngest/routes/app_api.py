"""Apps: registration, removal, and what the server knows (`/fn/...`, `/dev`)."""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.functions import App, Function
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.limits import ENVIRONMENT_ID
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.records import APP
from steprig.inngest.registration import RegistrationError, app_in
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.syncing import place
from steprig.kernel import stream_of


def app_routes(platform: InngestPlatform) -> list[Route]:
    """The routes by which apps register and are looked at."""

    async def register(request: Request) -> Response:
        expected = request.headers.get("x-inngest-expected-server-kind")
        if expected and expected != platform.options.kind:
            return Json({"error": f"Expected server kind {platform.options.kind}, got {expected}"}, 400)
        if not _may_register(platform, request):
            return failure(401, "the signing key is missing or wrong: expected `Authorization: Bearer <hashed key>`")
        try:
            app = app_in(await request.body())
        except RegistrationError as error:
            return _refusal(str(error))
        modified = platform.engine.sync(app)
        sync_id = app_uuid(f"{app.name}/{app.checksum}")
        return Json({"ok": True, "modified": modified, "sync_id": str(sync_id), "app_id": str(app_uuid(app.name))})

    async def remove(request: Request) -> Response:
        url = request.query_params.get("url", "")
        app = next((app for app in platform.engine.apps if place(app.url) == place(url)), None)
        if app is None:
            return failure(404, f"App not found: {url}")
        platform.engine.remove(app.name)
        return Response(status_code=200)

    async def describe(request: Request) -> Response:
        del request
        functions = [function for app in platform.engine.apps for function in app.functions]
        return Json(
            {
                "version": "steprig",
                "authed": platform.options.signing_key is not None,
                "startOpts": {
                    "sdkURLs": list(platform.options.sdk_urls),
                    "urls": list(platform.options.sdk_urls),
                    "autodiscover": platform.options.discovery,
                    "poll": platform.options.poll_interval is not None,
                },
                "functions": functions,
                "handlers": [
                    {"sdk": _sdk_json(app, platform.syncer.error_of(app.url))} for app in platform.engine.apps
                ],
                "isSingleNodeService": False,
                "isMissingSigningKey": False,
                "isMissingEventKeys": False,
                "features": {},
            }
        )

    async def list_functions(request: Request) -> Response:
        app = platform.engine.apps.app(request.path_params["name"])
        if app is None:
            return Json([])
        since = platform.rig.journal.read(stream_of(APP, app.name))[0].at
        return Json([_function_json(app, function, since) for function in app.functions])

    routes = [
        Route("/v1/apps/{name:path}/functions", list_functions, methods=["GET"]),
        Route("/fn/register", register, methods=["POST"]),
        Route("/fn/remove", remove, methods=["DELETE"]),
    ]
    return routes if platform.options.kind == "cloud" else [*routes, Route("/dev", describe, methods=["GET"])]


def _sdk_json(app: App, error: str | None) -> dict[str, Any]:
    return {"url": app.url, "appName": app.name, "functions": len(app.functions), "error": error}


def _function_json(app: App, function: Function, since: datetime) -> dict[str, Any]:
    return {
        "internal_id": str(function_uuid(function.id)),
        "env_id": ENVIRONMENT_ID,
        "app_id": str(app_uuid(app.name)),
        "id": function.id,
        "name": function.name,
        "config": function,
        "created_at": since,
        "archived_at": None,
    }


def _may_register(platform: InngestPlatform, request: Request) -> bool:
    return platform.options.admits(request.headers.get("authorization"))


def _refusal(message: str) -> Response:
    if message.startswith("Invalid request"):
        return Json({"error": message}, 400)
    return failure(400, message)
