"""Signals in: `POST /v1/signals`."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.events import NULL
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import failure, success
from steprig.inngest.wire import UNREADABLE, checked


class _Sent(msgspec.Struct):
    signal: str
    data: msgspec.Raw = NULL


_SENT = msgspec.json.Decoder(_Sent)


def signal_routes(platform: InngestPlatform) -> list[Route]:
    """The route by which signals come in."""

    async def send(request: Request) -> Response:
        try:
            sent = _SENT.decode(checked(await request.body()))
        except UNREADABLE as error:
            return failure(400, f'expected {{"signal": <id>, "data": <anything>}}: {error}')
        with platform.rig.clock.working("a request with a signal"):
            run_id = platform.engine.signal(sent.signal, sent.data)
        if run_id is None:
            return failure(404, "No signal found")
        return success({"run_id": run_id}, platform.rig.clock.now())

    return [Route("/v1/signals", send, methods=["POST"])]
