"""Lists of executions."""

from base64 import b64decode, b64encode
from datetime import datetime
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.aws import limits
from steprig.aws.arns import FunctionName
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.http.answers import Json
from steprig.aws.http.backend import Backend
from steprig.aws.http.constraints import EXECUTION_NAME
from steprig.aws.http.function_names import function_of
from steprig.aws.http.raw_path import label
from steprig.aws.http.reading import flag, match, moment, number, shown
from steprig.aws.http.wire import present, seconds
from steprig.aws.index import Summary
from steprig.aws.model import ExecutionStatus


class Wanted(NamedTuple):
    """Which of the executions of a function are asked for."""

    name: str | None
    statuses: frozenset[str]
    after: datetime | None
    before: datetime | None

    def takes(self, summary: Summary) -> bool:
        """Whether this one is."""
        return (
            (not self.statuses or summary.status in self.statuses)
            and (self.after is None or summary.started_at > self.after)
            and (self.before is None or summary.started_at < self.before)
        )


def listing_routes(backend: Backend) -> list[Route]:
    """`ListDurableExecutionsByFunction`, and a list of all that only a local server has."""

    async def by_function(request: Request) -> Response:
        function = function_of(label(request, "function"), request.query_params.get("Qualifier"), backend)
        wanted = _wanted(request)
        version = None if function.qualifier is None else function.version
        found = backend.index.of(function.name, version, wanted.name)
        if not found:
            _check_known(backend, function)
        return _page(request, [one for one in found if wanted.takes(one)])

    async def everything(request: Request) -> Response:
        wanted = _wanted(request)
        return _page(request, [one for one in backend.index.of(None, None, wanted.name) if wanted.takes(one)])

    return [
        Route("/2025-12-01/functions/{function}/durable-executions", by_function, methods=["GET"]),
        Route("/2025-12-01/durable-executions", everything, methods=["GET"]),
    ]


def _check_known(backend: Backend, function: FunctionName) -> None:
    """A function that has no executions has to be registered; without its version it may be so with any of them."""
    try:
        backend.target(function.name, function.qualifier)
    except ResourceNotFoundException:
        if not backend.index.of(function.name):
            raise


def _wanted(request: Request) -> Wanted:
    name = request.query_params.get("DurableExecutionName")
    match("durableExecutionName", name, EXECUTION_NAME)
    statuses = request.query_params.getlist("Statuses")
    for status in statuses:
        if status not in ExecutionStatus.__members__:
            raise Invalid(f"Statuses must be of {', '.join(ExecutionStatus)}, not {shown(status)}.")
    return Wanted(name, frozenset(statuses), moment(request, "StartedAfter"), moment(request, "StartedBefore"))


def _page(request: Request, found: list[Summary]) -> Response:
    """The newest first, unless it is asked for the other order."""
    most = number(request, "MaxItems")
    if most is not None and not 0 <= most <= limits.EXECUTIONS_PAGE_MOST:
        raise Invalid(f"MaxItems must be between 0 and {limits.EXECUTIONS_PAGE_MOST}, not {most}.")
    if not flag(request, "ReverseOrder", False):
        found.reverse()
    begin = _after(request.query_params.get("Marker"), found)
    end = begin + (most or limits.EXECUTIONS_PAGE)
    marker = b64encode(found[end - 1].arn.encode()).decode() if end < len(found) else None
    return Json(present({"DurableExecutions": [_entry(one) for one in found[begin:end]], "NextMarker": marker}))


def _after(marker: str | None, found: list[Summary]) -> int:
    """The place after the execution that a marker names, which is the last of the page before."""
    if not marker:
        return 0
    try:
        arn = b64decode(marker, validate=True).decode()
    except ValueError:
        raise Invalid("Invalid marker") from None
    for index, summary in enumerate(found, 1):
        if summary.arn == arn:
            return index
    raise Invalid("Invalid marker")


def _entry(summary: Summary) -> dict[str, object]:
    return present(
        {
            "DurableExecutionArn": summary.arn,
            "DurableExecutionName": summary.name,
            "FunctionArn": summary.function_arn,
            "Status": summary.status,
            "StartTimestamp": seconds(summary.started_at),
            "EndTimestamp": None if summary.ended_at is None else seconds(summary.ended_at),
        }
    )
