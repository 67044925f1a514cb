"""Which work a worker takes."""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from steprig.durabletask.pb import pb


class Kind(IntEnum):
    """The kinds of work."""

    ORCHESTRATION = 0
    ACTIVITY = 1
    ENTITY = 2


Versions = frozenset[str] | None
"""None means any."""


class Filters:
    """What a worker has opted in to; everything, when it has not said.

    Names are compared as they are, those of entities case-folded. Where a name is given several times its versions
    are united. A worker's activities are asked for by orchestrations that may not name a version: such an activity
    is taken by its name.
    """

    def __init__(self, request: pb.GetWorkItemsRequest) -> None:
        self._names: Mapping[Kind, Mapping[str, Versions]] | None = None
        if request.HasField("workItemFilters"):
            filters = request.workItemFilters
            self._names = {
                Kind.ORCHESTRATION: _united(filters.orchestrations),
                Kind.ACTIVITY: _united(filters.activities),
                Kind.ENTITY: {entity.name.casefold(): None for entity in filters.entities},
            }

    def accept(self, kind: Kind, name: str, version: str | None) -> bool:
        """Whether the worker takes work of this kind, name and version."""
        if self._names is None:
            return True
        names = self._names[kind]
        if kind is Kind.ENTITY:
            return name.casefold() in names
        if name not in names:
            return False
        versions = names[name]
        if versions is None or (kind is Kind.ACTIVITY and version is None):
            return True
        return (version or "") in versions


def _united(filters: "Iterable[pb.OrchestrationFilter] | Iterable[pb.ActivityFilter]") -> dict[str, Versions]:
    united: dict[str, Versions] = {}
    for one in filters:
        versions = frozenset(one.versions) or None
        known = united.get(one.name, frozenset())
        united[one.name] = None if versions is None or known is None else known | versions
    return united
