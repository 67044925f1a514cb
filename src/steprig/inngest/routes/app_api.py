"""Apps: registration, removal, and what the server knows (`/fn/...`, `/dev`)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.ids import app_uuid
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.registration import RegistrationError, app_in
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.signing import hash_signing_key


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
        app = next((app for app in platform.engine.apps if app.url == url), None)
        if app is None:
            return failure(404, f"no app with the URL {url!r} is registered")
        platform.engine.remove(app.name)
        return Json({"ok": True})

    async def describe(request: Request) -> Response:
        del request
        functions = [function for app in platform.engine.apps for function in app.functions]
        return Json(
            {
                "version": "steprig",
                "authed": platform.options.signing_key is not None,
                "startOpts": {"urls": list(platform.options.sdk_urls)},
                "functions": functions,
                "handlers": [
                    {"sdk": {"url": app.url, "appName": app.name, "functions": len(app.functions), "error": app.error}}
                    for app in platform.engine.apps
                ],
                "isSingleNodeService": False,
                "isMissingSigningKey": False,
                "isMissingEventKeys": False,
                "features": {},
            }
        )

    return [
        Route("/fn/register", register, methods=["POST"]),
        Route("/fn/remove", remove, methods=["DELETE"]),
        Route("/dev", describe, methods=["GET"]),
    ]


def _may_register(platform: InngestPlatform, request: Request) -> bool:
    key = platform.options.signing_key
    return key is None or request.headers.get("authorization") == f"Bearer {hash_signing_key(key)}"


def _refusal(message: str) -> Response:
    if message.startswith("Invalid request"):
        return Json({"error": message}, 400)
    return failure(400, message)
