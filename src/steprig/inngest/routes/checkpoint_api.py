"""Steps that are reported while a call goes on (`/v1/checkpoint/...`)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.checkpoints import decode_checkpoint
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.wire import UNREADABLE


def checkpoint_routes(platform: InngestPlatform) -> list[Route]:
    """The route by which a call reports steps."""

    async def checkpoint_async(request: Request) -> Response:
        try:
            report = decode_checkpoint(await request.body())
        except UNREADABLE as error:
            return failure(400, f"Invalid request: {error}")
        if report.run_id != request.path_params["id"]:
            return failure(400, f"run_id is {report.run_id!r}; expected the run of the path")
        with platform.rig.clock.working("steps that a call reports"):
            if not platform.engine.checkpoint(report):
                return failure(409, f"run {report.run_id} does not wait for call {report.qi_id!r} any more")
        return Json({"data": {"run_id": report.run_id}})

    return [Route("/v1/checkpoint/{id}/async", checkpoint_async, methods=["POST"])]
