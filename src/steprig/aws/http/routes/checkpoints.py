"""What a running function asks for."""

import re

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws.http.answers import Json
from steprig.aws.http.backend import Backend
from steprig.aws.http.constraints import CHECKPOINT_TOKEN, CLIENT_TOKEN, check_updates
from steprig.aws.http.raw_path import label
from steprig.aws.http.reading import body_as, match, number, required
from steprig.aws.http.wire import checkpointed, state_page
from steprig.aws.model import OperationUpdate

_PATH = "/2025-12-01/durable-executions/{arn}"
_PYTHON_SDK = re.compile(r"aws-durable-execution-sdk-python/(\d+)\.(\d+)")


class CheckpointBody(msgspec.Struct, rename="pascal"):
    """Of `CheckpointDurableExecution`."""

    checkpoint_token: str
    updates: tuple[OperationUpdate, ...] = ()
    client_token: str | None = None


def checkpoint_routes(backend: Backend) -> list[Route]:
    """Checkpoints, and pages of operations."""

    async def checkpoint(request: Request) -> Response:
        body = await body_as(request, CheckpointBody)
        match("checkpointToken", body.checkpoint_token, CHECKPOINT_TOKEN)
        match("clientToken", body.client_token, CLIENT_TOKEN)
        check_updates(body.updates)
        arn = label(request, "arn")
        revocable = understands_revocation(request.headers.get("User-Agent", ""))
        answer = backend.engine.checkpoint(
            arn, body.checkpoint_token, body.updates, body.client_token, revocable=revocable
        )
        return Json(checkpointed(answer, backend.ahead()))

    async def get_state(request: Request) -> Response:
        token, marker = required(request, "CheckpointToken"), request.query_params.get("Marker")
        page = backend.engine.state_page(label(request, "arn"), token, marker, number(request, "MaxItems"))
        return Json(state_page(page, backend.ahead()))

    return [
        Route(f"{_PATH}/checkpoint", checkpoint, methods=["POST"]),
        Route(f"{_PATH}/state", get_state, methods=["GET"]),
    ]


def understands_revocation(user_agent: str) -> bool:
    """Whether an SDK ends its invocation when it gets no token, as that for Python does from 2.1 on."""
    found = _PYTHON_SDK.search(user_agent)
    return found is None or (int(found[1]), int(found[2])) >= (2, 1)
