"""One execution: what it is, its history, and its end."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws import history, limits
from steprig.aws.http.answers import Json
from steprig.aws.http.backend import Backend
from steprig.aws.http.constraints import CLIENT_TOKEN, REASON
from steprig.aws.http.pausing import PauseRequest
from steprig.aws.http.raw_path import label
from steprig.aws.http.reading import body_as, flag, match, number
from steprig.aws.http.wire import event, present, seconds
from steprig.aws.model import ErrorObject
from steprig.aws.state import Execution

_PATH = "/2025-12-01/durable-executions/{arn}"


class PauseBody(msgspec.Struct, rename="pascal"):
    """Of `PauseDurableExecution`, and of `ResumeDurableExecution` without the last."""

    client_token: str | None = None
    reason: str | None = None
    execution_timeout_paused: bool = True


def execution_routes(backend: Backend) -> list[Route]:
    """What is asked and done about one execution."""
    engine = backend.engine

    async def get(request: Request) -> Response:
        include = flag(request, "IncludeExecutionData", True)
        return Json(described(engine.execution(label(request, "arn")), include))

    async def get_history(request: Request) -> Response:
        arn = label(request, "arn")
        engine.execution(arn)
        page = history.page(
            engine.records(arn),
            include_execution_data=flag(request, "IncludeExecutionData", False),
            max_items=number(request, "MaxItems"),
            marker=request.query_params.get("Marker"),
            reverse=flag(request, "ReverseOrder", False),
        )
        told = {"Events": [event(one) for one in page.events], "NextMarker": page.next_marker}
        return Json(present(told))

    async def stop(request: Request) -> Response:
        error = await body_as(request, ErrorObject)
        given = None if error == ErrorObject() else error  # boto3 sends `{}` for none
        return Json({"StopTimestamp": seconds(engine.stop_execution(label(request, "arn"), given))})

    async def delete(request: Request) -> Response:
        engine.delete(label(request, "arn"))
        return Json({"DeletionRequestTimestamp": seconds(backend.clock.now())}, 202)

    async def pause(request: Request) -> Response:
        body = await _pause_body(request)
        asked = PauseRequest(
            client_token=body.client_token, reason=body.reason, timeout_paused=body.execution_timeout_paused
        )
        backend.pauses.pause(label(request, "arn"), asked)
        return Json({}, 202)

    async def resume(request: Request) -> Response:
        body = await _pause_body(request)
        asked = PauseRequest(client_token=body.client_token, reason=body.reason)
        backend.pauses.resume(label(request, "arn"), asked)
        return Json({}, 202)

    return [
        Route(_PATH, get, methods=["GET"]),
        Route(_PATH, delete, methods=["DELETE"]),
        Route(f"{_PATH}/history", get_history, methods=["GET"]),
        Route(f"{_PATH}/stop", stop, methods=["POST"]),
        Route(f"{_PATH}/pause", pause, methods=["POST"]),
        Route(f"{_PATH}/resume", resume, methods=["POST"]),
    ]


async def _pause_body(request: Request) -> PauseBody:
    body = await body_as(request, PauseBody)
    match("clientToken", body.client_token, CLIENT_TOKEN)
    match("reason", body.reason, REASON)
    return body


def described(state: Execution, include: bool) -> dict[str, object]:
    """The answer to `GetDurableExecution`.

    Args:
        state: The execution.
        include: Whether to tell of input, result and error.
    """
    started = state.started
    data = {"InputPayload": started.input, "Result": state.result, "Error": state.error} if include else {}
    return present(
        {
            "DurableExecutionArn": state.arn,
            "DurableExecutionName": started.name,
            "FunctionArn": state.arn.partition("/durable-execution/")[0],
            "Status": state.status,
            "StartTimestamp": seconds(state.started_at),
            "EndTimestamp": None if state.ended_at is None else seconds(state.ended_at),
            "Version": started.version,
            "TraceHeader": None if started.trace_id is None else {"XAmznTraceId": started.trace_id},
            "ExecutionDataIncluded": include,
            "DurableConfig": {"RetentionPeriodInDays": started.retention_days, "ExecutionTimeout": started.timeout},
            "ExpectedExecutionTimeoutTimestamp": _expected_timeout(state),
            "PauseDetails": _pause_details(state, include),
            **data,
        }
    )


def _expected_timeout(state: Execution) -> float | None:
    if state.ended is not None:
        return None
    is_paused = state.pause is not None and state.pause.timeout_paused
    return seconds(state.started_at + limits.LONGEST_PAUSE if is_paused else state.timeout_at)


def _pause_details(state: Execution, include: bool) -> dict[str, object] | None:
    if state.pause is None:
        return None
    return present(
        {
            "PauseRequestTimestamp": seconds(state.pause.since),
            "ExecutionTimeoutPaused": state.pause.timeout_paused,
            "Reason": state.pause.reason if include else None,
        }
    )
