"""A decision about an execution in the making: the entries to record, and the state that they lead to."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.folding import advance
from steprig.aws.functions import Target
from steprig.aws.model import InvocationId
from steprig.aws.state import Execution


class Given(NamedTuple):
    """What a decision may not find out by itself."""

    now: datetime
    new_id: Callable[[], str]
    """Draws a UUID."""
    resolve: Callable[[str], Target | None]
    """Finds the function that a chained invoke names."""
    invocation_timeout: int = limits.INVOCATION_TIMEOUT
    """Seconds that one call of a function may take."""
    revocable: bool = True
    """Whether the SDK of the function understands that its token is withheld."""


class Decision:
    """Entries, each folded into the state as it is added, so that later parts see what earlier ones did."""

    def __init__(self, state: Execution, given: Given) -> None:
        self.state = state
        self.given = given
        self.entries: list[r.Entry] = []

    def add(self, entry: r.Entry) -> None:
        """Record an entry."""
        self.entries.append(entry)
        self.state = advance(self.state, entry, self.given.now)

    def settle(self) -> "Decision":
        """Have the function invoked if it has to be told something, and can be. The last part of every decision."""
        if self.state.may_begin(self.given.now):
            self.add(r.InvocationStarted(id=InvocationId(self.given.new_id())))
        return self
