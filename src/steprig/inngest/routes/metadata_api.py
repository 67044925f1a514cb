"""Metadata of runs and steps: `POST /v1/runs/{id}/metadata`."""

from hashlib import sha1

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.metadata import MetadataError, MetadataTooLargeError, Target, Update, checked
from steprig.inngest.opcodes import StepId
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import RunId
from steprig.inngest.routes.answers import failure
from steprig.inngest.routes.parameters import is_ulid
from steprig.inngest.wire import UNREADABLE


class _Place(msgspec.Struct):
    step_id: str | None = None
    """As users wrote it."""
    step_index: int | None = None
    """Which of the steps with this id, from 0."""
    step_attempt: int | None = None
    span_id: str | None = None


class _Sent(msgspec.Struct):
    target: _Place
    metadata: list[Update]


_SENT = msgspec.json.Decoder(_Sent)


def metadata_routes(platform: InngestPlatform) -> list[Route]:
    """The route by which runs are annotated."""

    async def annotate(request: Request) -> Response:
        run_id = request.path_params["id"]
        if not is_ulid(run_id):
            return failure(400, f"Invalid run ID: {run_id}")
        try:
            sent = _SENT.decode(await request.body())
            target = _target(sent.target)
        except (*UNREADABLE, ValueError) as error:
            return failure(400, f"Invalid metadata target: {error}")
        if not isinstance(platform.timeline.run(run_id), InngestRun) or sent.target.span_id is not None:
            return failure(404, "Unable to find metadata target")
        state = platform.engine.state(run_id)
        try:
            entries = checked(sent.metadata, target, 0 if state is None else state.metadata_bytes)
        except MetadataTooLargeError as error:
            return failure(413, str(error))
        except MetadataError as error:
            return failure(400, f"Invalid metadata: {error}")
        platform.engine.annotate(RunId(run_id), entries)
        return Response(status_code=200)

    return [Route("/v1/runs/{id}/metadata", annotate, methods=["POST"])]


def _target(place: _Place) -> Target:
    """What is annotated.

    Raises:
        ValueError: A step's attempt without the step.
    """
    if place.step_id is None:
        for name in ("step_index", "step_attempt", "span_id"):
            if getattr(place, name) is not None:
                raise ValueError(f"target.step_id must be defined if target.{name} is defined")
        return Target("run")
    attempt = place.step_attempt
    return Target("step", _hashed(place.step_id, place.step_index or 0), attempt if (attempt or 0) >= 0 else None)


def _hashed(step: str, index: int) -> StepId:
    return StepId(sha1((f"{step}:{index}" if index else step).encode(), usedforsecurity=False).hexdigest())
