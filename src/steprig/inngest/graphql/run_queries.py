"""Queries for runs: one by its id, and lists of them."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from ariadne import QueryType
from graphql import GraphQLError

from steprig.inngest.graphql import render
from steprig.inngest.graphql.lookup import Info, run_by_id, search
from steprig.inngest.graphql.paging import Page, connection
from steprig.inngest.graphql.render_trace import RUN_STATUS, output_place, span_output
from steprig.inngest.ids import app_uuid, function_uuid
from steprig.inngest.internal_events import DEFERRED
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.routes.run_search import QueuedRun, queued_runs

query = QueryType()

TYPES = (query,)

_MOMENTS: dict[str, Callable[[InngestRun], datetime | None]] = {
    "QUEUED_AT": lambda run: run.queued_at,
    "STARTED_AT": lambda run: run.started_at,
    "ENDED_AT": lambda run: run.ended_at,
}


@query.field("run")
def resolve_run(_: object, info: Info, runID: str) -> dict[str, Any]:  # noqa: N803 - the schema's name
    """A run by its id."""
    return render.run(info.context, run_by_id(info.context, runID))


@query.field("functionRun")
def resolve_function_run(_: object, info: Info, query: dict[str, Any]) -> dict[str, Any]:
    """A run by its id, in the older shape."""
    run = run_by_id(info.context, query["functionRunId"])
    return render.function_run(info.context, run, run.events[0])


@query.field("runTrace")
def resolve_trace(_: object, info: Info, runID: str) -> dict[str, Any]:  # noqa: N803
    """The spans of a run."""
    return render.run_trace(info.context, run_by_id(info.context, runID))


@query.field("runTrigger")
def resolve_trigger(_: object, info: Info, runID: str) -> dict[str, Any]:  # noqa: N803
    """What has started a run."""
    return render.trigger(run_by_id(info.context, runID))


@query.field("runTraceSpanOutputByID")
def resolve_output(_: object, info: Info, outputID: str) -> dict[str, Any]:  # noqa: N803
    """What a span gave."""
    run_id, span_id = output_place(outputID)
    span = run_by_id(info.context, run_id).span(span_id)
    if span is None:
        raise GraphQLError(f"no span with the output {outputID!r}")
    return span_output(span)


@query.field("runs")
def resolve_runs(
    _: object,
    info: Info,
    first: int,
    orderBy: list[dict[str, str]],  # noqa: N803
    filter: dict[str, Any],  # noqa: A002
    after: str | None = None,
    preview: bool | None = None,
) -> dict[str, Any]:
    """The runs that pass a filter, in order, page by page."""
    del preview  # asks another store of the dev server for the same
    platform = info.context
    runs = _Runs(platform, filter, orderBy or [{"field": "QUEUED_AT", "direction": "DESC"}])
    return connection(
        runs.in_order,
        Page(first, after),
        id_of=lambda found: found.entry.run_id,
        node=lambda found: render.run(platform, run_by_id(platform, found.entry.run_id)),
    )


class _Runs:
    """The runs that pass a filter. A run is folded only where its beginning does not tell whether it passes."""

    def __init__(self, platform: InngestPlatform, asked: dict[str, Any], order: list[dict[str, str]]) -> None:
        self._platform = platform
        self._order = order
        self._from, self._until = asked["from"], asked.get("until")
        self._field = asked.get("timeField") or "QUEUED_AT"
        self._statuses = set(asked.get("status") or ())
        self._functions = set(asked.get("functionIDs") or ())
        self._apps = set(asked.get("appIDs") or ())
        self._is_deferred = asked.get("isDeferred")
        self._search = search(platform, asked.get("query"))
        self._asks_for_output = "output" in (asked.get("query") or "")

    def in_order(self) -> Iterator[QueuedRun]:
        """Those that pass, sorted."""
        if [rule["field"] for rule in self._order] == ["QUEUED_AT"]:
            newest_first = self._order[0]["direction"] == "DESC"
            return filter(self._passes, queued_runs(self._platform, newest_first=newest_first))
        found = list(filter(self._passes, queued_runs(self._platform)))
        for rule in reversed(self._order):  # a sort keeps the order of equals, so that the first rule comes last
            found.sort(key=self._key(rule["field"]), reverse=rule["direction"] == "DESC")
        return iter(found)

    def _passes(self, found: QueuedRun) -> bool:
        if self._functions and str(function_uuid(found.entry.function)) not in self._functions:
            return False
        if self._apps and str(app_uuid(found.entry.app)) not in self._apps:
            return False
        if self._is_deferred is not None and (found.entry.events[0].name == DEFERRED) != self._is_deferred:
            return False
        if self._field == "QUEUED_AT" and not self._is_within(found.at):
            return False
        if not (self._statuses or self._asks_for_output or self._field != "QUEUED_AT"):
            return self._search.finds(found.entry.events[0])
        run = self._platform.timeline.run(found.entry.run_id)
        return isinstance(run, InngestRun) and self._run_passes(run)

    def _run_passes(self, run: InngestRun) -> bool:
        if self._statuses and RUN_STATUS[run.status] not in self._statuses:
            return False
        if not self._is_within(_MOMENTS[self._field](run)):
            return False
        return self._search.finds(run.events[0], None if run.output is None else msgspec.json.decode(run.output))

    def _is_within(self, moment: datetime | None) -> bool:
        return moment is not None and self._from <= moment and (self._until is None or moment < self._until)

    def _key(self, field: str) -> Callable[[QueuedRun], tuple[bool, datetime]]:
        """What has not come yet counts as the latest."""

        def key(found: QueuedRun) -> tuple[bool, datetime]:
            run = self._platform.timeline.run(found.entry.run_id)
            moment = _MOMENTS[field](run) if isinstance(run, InngestRun) else None
            return (moment is None, moment or found.at)

        return key
