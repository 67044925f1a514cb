"""What each GraphQL field is, taken from the timeline."""

from typing import Any, TypeAlias

from ariadne import QueryType, UnionType
from graphql import GraphQLError, GraphQLResolveInfo

from steprig.inngest.graphql import render
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import EVENT
from steprig.inngest.routes.rest_api import runs_of_event
from steprig.kernel import stream_of

_NO_RUN = "error retrieving run: sql: no rows in result set"
_NO_EVENT = "sql: no rows in result set"

Info: TypeAlias = GraphQLResolveInfo[InngestPlatform]

query = QueryType()
step_info = UnionType("StepInfo", lambda value, *_: value["__typename"])

TYPES = (query, step_info)


@query.field("run")
def resolve_run(_: object, info: Info, runID: str) -> dict[str, Any]:  # noqa: N803 - the schema's name
    """A run by its id."""
    return render.run(_run(info, runID))


@query.field("runTrigger")
def resolve_trigger(_: object, info: Info, runID: str) -> dict[str, Any]:  # noqa: N803
    """What has started a run."""
    return render.trigger(_run(info, runID))


@query.field("runTraceSpanOutputByID")
def resolve_output(_: object, info: Info, outputID: str) -> dict[str, Any]:  # noqa: N803
    """What a span gave."""
    run_id, span_id = render.output_place(outputID)
    span = _run(info, run_id).span(span_id)
    if span is None:
        raise GraphQLError(f"no span with the output {outputID!r}")
    return render.span_output(span)


@query.field("event")
def resolve_event(_: object, info: Info, query: dict[str, Any]) -> dict[str, Any]:
    """An event by its internal id, with the runs that it has started."""
    platform = info.context
    records = platform.rig.journal.read(stream_of(EVENT, query["eventId"]))
    if not records:
        raise GraphQLError(_NO_EVENT)
    return render.event(records[0], runs_of_event(platform, query["eventId"]))


def _run(info: Info, run_id: str) -> InngestRun:
    platform = info.context
    run = platform.timeline.run(run_id)
    if not isinstance(run, InngestRun):
        raise GraphQLError(_NO_RUN)
    return run
