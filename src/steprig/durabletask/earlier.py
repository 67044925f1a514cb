"""The executions that later ones have continued."""

from steprig.durabletask.records import ORCHESTRATION, ContinuedAsNew, InstanceId
from steprig.durabletask.state import InstanceState, fold
from steprig.kernel import Journal, Stream, stream_of


def earlier_execution(journal: Journal, instance_id: InstanceId, execution_id: str) -> InstanceState | None:
    """An execution of an orchestration that has continued as another. None when there was none, or it is not kept."""
    first = stream_of(ORCHESTRATION, instance_id)
    for stream in journal.streams(ORCHESTRATION):
        if stream == first or stream.startswith(f"{first}#"):
            state = _continued(journal, stream)
            if state is not None and state.instance_id == instance_id and state.execution_id == execution_id:
                return state
    return None


def _continued(journal: Journal, stream: Stream) -> InstanceState | None:
    records = journal.read(stream)
    if not records or not isinstance(records[-1].entry, ContinuedAsNew):
        return None
    state: InstanceState | None = None
    for record in records:
        state = fold(state, record.entry, record.at)
    return state
