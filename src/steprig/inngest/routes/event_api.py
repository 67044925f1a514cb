"""Events in: `POST /e/{key}` and `POST /invoke/{slug}` (Inngest SDK spec 2)."""

import asyncio

from starlette.requests import Request
from starlette.routing import Route

from steprig.inngest.events import EventId
from steprig.inngest.ingestion import EventError, events_in
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import Json
from steprig.inngest.routes.invocations import invoke as invoke_function
from steprig.inngest.wire import checked

_TURN = 10
"""Events taken in before other work on the loop gets its turn."""


def event_routes(platform: InngestPlatform) -> list[Route]:
    """The routes by which events come in."""

    async def send(request: Request) -> Json:
        keys = platform.options.event_keys
        if keys and request.path_params["key"] not in keys:
            return Json({"error": "Event key not found", "status": 401}, 401)
        body = await request.body()
        with platform.rig.clock.working("a request with events"):
            return await _take_all(platform, body, request.headers.get("x-inngest-event-id-seed"))

    async def invoke(request: Request) -> Json:
        try:
            body = checked(await request.body()) or b"{}"
            event_id = invoke_function(platform, request.path_params["slug"], body)
        except (EventError, UnicodeDecodeError) as error:
            return Json({"error": str(error), "status": 400}, 400)
        return Json({"id": event_id, "status": 200})

    return [
        Route("/e/{key}", send, methods=["POST"]),
        Route("/invoke/{slug:path}", invoke, methods=["POST"]),
    ]


async def _take_all(platform: InngestPlatform, body: bytes, seed: str | None) -> Json:
    """Take events in one by one. A bad one ends it; those before it stay accepted, as on the real server."""
    ids: list[EventId] = []
    try:
        for event in events_in(body, seed=seed, now=platform.rig.clock.now()):
            platform.engine.receive(event)
            ids.append(event.internal_id)
            if len(ids) % _TURN == 0:
                await asyncio.sleep(0)
    except EventError as error:
        return Json({"ids": ids or [""], "status": 400, "error": str(error)}, 400)
    return Json({"ids": ids or [""], "status": 200})
