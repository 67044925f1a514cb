"""The states of executions that are at hand; whatever else is asked for is folded anew from the journal."""

from collections import OrderedDict
from collections.abc import Sequence

from steprig.aws import records as r
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.folding import fold_record
from steprig.aws.model import Arn
from steprig.aws.state import Execution
from steprig.kernel import Journal, Record, stream_of

_KEEP_ENDED = 256
"""The states of so many executions that have ended are at hand."""


class Executions:
    """Executions by ARN. To be used under the engine's lock, but for `records`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._going_on: dict[Arn, Execution] = {}
        self._ended: OrderedDict[Arn, Execution] = OrderedDict()

    def keep(self, state: Execution) -> None:
        """Have an execution at hand as it is now."""
        if state.ended is None:
            self._going_on[state.arn] = state
            return
        self._going_on.pop(state.arn, None)
        self._ended[state.arn] = state
        self._ended.move_to_end(state.arn)
        if len(self._ended) > _KEEP_ENDED:
            self._ended.popitem(last=False)

    def going_on(self, arn: Arn) -> Execution | None:
        """An execution that goes on, None when there is none of this ARN."""
        return self._going_on.get(arn)

    def at_hand(self, arn: Arn) -> Execution | None:
        """An execution that need not be read first."""
        return self._going_on.get(arn) or self._ended.get(arn)

    def records(self, arn: str) -> Sequence[Record]:
        """What the journal holds of an execution; nothing of one that is unknown."""
        return self._journal.read(stream_of(r.EXECUTION, arn))

    def read(self, arn: str) -> Execution | None:
        """An execution as the journal has it."""
        state: Execution | None = None
        for record in self.records(arn):
            state = fold_record(state, record)
        return state


def existing(state: Execution | None, *, deleting: bool = False) -> Execution:
    """The execution, if there is one to be seen.

    Args:
        state: As it was found.
        deleting: Whether one that was deleted is to be seen, as it is not gone yet.

    Raises:
        ResourceNotFoundException: There is not, or it was deleted.
    """
    if state is None or (state.deleted and not deleting):
        raise ResourceNotFoundException("Durable Execution does not exist")
    return state
