"""What a run has deferred, and what has deferred it, in the shapes of the GraphQL schema."""

from collections.abc import Callable
from typing import Any

import msgspec

from steprig.inngest import defers
from steprig.inngest.graphql.render_apps import function, function_of_run
from steprig.inngest.internal_events import DEFERRED
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import RUN, DeferAborted, DeferAdded, RunId
from steprig.inngest.routes.run_search import queued_runs
from steprig.kernel import stream_of

Show = Callable[[InngestPlatform, InngestRun], dict[str, Any]]


class _Marks(msgspec.Struct):
    parent_run_id: str
    parent_fn_slug: str


class _Data(msgspec.Struct):
    marks: _Marks = msgspec.field(name="_inngest")


def of_run(platform: InngestPlatform, run_id: str, show: Show) -> list[dict[str, Any]]:
    """`[RunDefer]` of a run, in the order of their ids."""
    records = platform.rig.journal.read(stream_of(RUN, run_id))
    entries = [record.entry for record in records]
    aborted = {entry.step for entry in entries if isinstance(entry, DeferAborted)}
    added = sorted((entry for entry in entries if isinstance(entry, DeferAdded)), key=lambda entry: entry.step)
    return [_defer(platform, RunId(run_id), entry, _status(entry, entry.step in aborted), show) for entry in added]


def siblings(platform: InngestPlatform, run: InngestRun, show: Show) -> list[dict[str, Any]]:
    """`[RunDefer]`: the others that the same run has deferred."""
    marks = _marks(run)
    if marks is None:
        return []
    return [shown for shown in of_run(platform, marks.parent_run_id, show) if shown["runID"] != run.id]


def origins(platform: InngestPlatform, run: InngestRun, show: Show) -> list[dict[str, Any]]:
    """`[RunDeferredFrom]`: the run that has deferred this one, if one has."""
    marks = _marks(run)
    if marks is None:
        return []
    parent = platform.timeline.run(marks.parent_run_id)
    return [
        {
            "function": function_of_run(platform, marks.parent_fn_slug),
            "runID": marks.parent_run_id,
            "run": show(platform, parent) if isinstance(parent, InngestRun) else None,
        }
    ]


def is_deferred(run: InngestRun) -> bool:
    """Whether another run has deferred this one."""
    return _marks(run) is not None


def _defer(platform: InngestPlatform, run_id: RunId, added: DeferAdded, status: str, show: Show) -> dict[str, Any]:
    started = _started(platform, defers.event_id(run_id, added.step))
    registered = platform.engine.apps.function(added.function)
    return {
        "fnSlug": added.function,
        "function": None if registered is None else function(registered.app, registered.function),
        "hashedDeferID": added.step,
        "userlandDeferID": added.title,
        "status": status,
        "runID": None if started is None else started.id,
        "run": None if started is None else show(platform, started),
    }


def _status(added: DeferAdded, aborted: bool) -> str:
    return "ABORTED" if aborted else "REJECTED" if added.refused else "SCHEDULED"


def _started(platform: InngestPlatform, event_id: str) -> InngestRun | None:
    """The run that an event with this id of the user's has started."""
    for _, entry in queued_runs(platform, newest_first=True):
        if entry.events[0].name == DEFERRED and entry.events[0].id == event_id:
            run = platform.timeline.run(entry.run_id)
            return run if isinstance(run, InngestRun) else None
    return None


def _marks(run: InngestRun) -> _Marks | None:
    if run.events[0].name != DEFERRED:
        return None
    try:
        return msgspec.json.decode(run.events[0].data, type=_Data).marks
    except msgspec.ValidationError:
        return None  # an event of that name that somebody has sent
