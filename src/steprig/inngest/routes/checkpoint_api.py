"""Steps that are reported while a call goes on, and runs that SDKs begin by themselves (`/v1/checkpoint/...`)."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.checkpoints import KEPT, decode_checkpoint
from steprig.inngest.endpoints import NewRun, decode_new_run, decode_report
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.realtime import STREAM, STREAM_TOKEN_LIFE, Tokens, Topic
from steprig.inngest.records import RunId
from steprig.inngest.routes.answers import Json, failure, success
from steprig.inngest.routes.parameters import is_ulid
from steprig.inngest.routes.run_output import output_route
from steprig.inngest.tokens import RunClaims, Signer
from steprig.inngest.wire import UNREADABLE

_PREFIXES = ("/v1/checkpoint", "/v1/http/runs")
"""Both lead to the same."""


def checkpoint_routes(platform: InngestPlatform, signer: Signer, tokens: Tokens) -> list[Route]:
    """The routes by which SDKs report what they do by themselves, and clients ask what has come of it."""

    async def begin(request: Request) -> Response:
        try:
            new = decode_new_run(await request.body())
        except UNREADABLE as error:
            return failure(400, f"Invalid request body: {error}")
        if not is_ulid(new.run_id):
            return failure(400, f"Invalid request body: run_id is {new.run_id!r}; expected a ULID")
        with platform.rig.clock.working("a run that an SDK has begun"):
            if not platform.engine.begin_endpoint(new):
                return failure(409, "Run already exists")
        return success(_begun(new, signer, tokens), platform.rig.clock.now())

    async def report(request: Request) -> Response:
        run_id = request.path_params["id"]
        try:
            steps = decode_report(await request.body()).steps
        except UNREADABLE as error:
            return failure(400, f"Invalid request body: {error}")
        if not isinstance(platform.timeline.run(run_id), InngestRun):
            return failure(404, f"Unable to load function run: {run_id}")
        with platform.rig.clock.working("steps that an SDK reports"):
            platform.engine.report(RunId(run_id), steps)
        return Response(status_code=200)

    async def report_of_call(request: Request) -> Response:
        try:
            checkpoint = decode_checkpoint(await request.body())
        except UNREADABLE as error:
            return failure(400, f"invalid request body: {error}")
        run_id = request.path_params["id"]
        if checkpoint.run_id != run_id or any(op.op not in KEPT for op in checkpoint.steps):
            return _not_taken(400, run_id)
        with platform.rig.clock.working("steps that a call reports"):
            taken = platform.engine.checkpoint(checkpoint)
        return Response(status_code=200) if taken else _not_taken(409, run_id)

    return [
        route
        for prefix in _PREFIXES
        for route in (
            Route(prefix, _authenticated(platform, begin), methods=["POST"]),
            Route(f"{prefix}/{{id}}/steps", _authenticated(platform, report), methods=["POST"]),
            Route(f"{prefix}/{{id}}/async", _authenticated(platform, report_of_call), methods=["POST"]),
            output_route(f"{prefix}/{{id}}/output", platform, signer),
        )
    ]


_Endpoint = Callable[[Request], Awaitable[Response]]


def _authenticated(platform: InngestPlatform, endpoint: _Endpoint) -> _Endpoint:
    async def authenticated(request: Request) -> Response:
        if not platform.options.admits(request.headers.get("authorization")):
            return failure(401, "Not authenticated")
        return await endpoint(request)

    return authenticated


def _begun(new: NewRun, signer: Signer, tokens: Tokens) -> dict[str, str]:
    """What the SDK needs to go on by itself, and to let others ask what has come of the run."""
    stream = Topic(channel=new.run_id, name=STREAM)
    begun = {
        "run_id": new.run_id,
        "fn_id": str(function_uuid(new.request.function)),
        "app_id": str(app_uuid(new.request.domain)),
        "realtime_token": tokens.issue([stream], life=STREAM_TOKEN_LIFE),
    }
    return begun | {"token": signer.sign(RunClaims(new.run_id))} if new.steps else begun


def _not_taken(status: int, run_id: str) -> Response:
    return Json({"error": "Failed to checkpoint steps", "data": {"run_id": run_id}, "status": status}, status)
