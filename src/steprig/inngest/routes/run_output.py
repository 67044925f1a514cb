"""What has come of an endpoint's run: whoever was sent here by the endpoint waits for its answer."""

from typing import Final

from anyio import create_task_group
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.endpoint_answers import answer_in
from steprig.inngest.events import NULL
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import Json, failure
from steprig.inngest.tokens import RunClaims, Signer, TokenError
from steprig.kernel import Run, RunNotReachedError, Status

_LONGEST_WAIT: Final = 300.0
"""Seconds for which an answer is waited for."""

_OF_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""Headers of an answer that say how it was sent, which is not how it is sent on."""


def output_route(path: str, platform: InngestPlatform, signer: Signer) -> Route:
    """The route at this path. The token says which run it is about."""

    async def output(request: Request) -> Response:
        try:
            claims = signer.read(request.query_params.get("token", ""), RunClaims)
        except TokenError:
            return failure(401, "Unable to find run with auth token")
        return await _unless_gone(request, platform, claims.run_id)

    return Route(path, output, methods=["GET"])


async def _unless_gone(request: Request, platform: InngestPlatform, run_id: str) -> Response:
    """The answer, waited for as long as the client waits, and the server is not about to stop."""
    answer: Response = failure(503, "the server stops")
    async with create_task_group() as group:

        async def hang_up_with_client() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        async def hang_up_with_server() -> None:
            await platform.closing.wait()
            group.cancel_scope.cancel()

        group.start_soon(hang_up_with_client)
        group.start_soon(hang_up_with_server)
        answer = _answer(await _ended(platform, run_id))
        group.cancel_scope.cancel()
    return answer


async def _ended(platform: InngestPlatform, run_id: str) -> Run | None:
    try:
        return await platform.timeline.until(run_id, lambda run: run.status.ended, timeout=_LONGEST_WAIT)
    except RunNotReachedError:
        return None


def _answer(run: Run | None) -> Response:
    if run is None:
        return Json({"status": "running", "message": "run did not end within 5 minutes"})
    output = run.output or NULL
    if run.status is not Status.COMPLETED:
        return Json({"error": output})
    answer = answer_in(output)
    if answer is None:
        return Json({"data": output})
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_HOP}
    return Response(answer.body, answer.status, headers)
