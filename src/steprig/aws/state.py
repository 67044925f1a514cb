"""The state of an execution, which is a fold over its records; `folding` is that fold.

Four counters of the service stand behind it. How many checkpoints there were is `checkpoints`; what has changed after
what the function was last told is `untold`; what it was not told because it did not run is `updated`; and whether it
has to run for that is `owed`.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from steprig.aws import records as r
from steprig.aws.model import Arn, ErrorObject, ExecutionStatus, InvocationId, Operation, OperationId
from steprig.aws.tokens import CheckpointToken


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a checkpoint was answered with."""

    token: str
    """The one that it came with."""
    client_token: str | None
    next_token: str | None
    operations: tuple[Operation, ...]


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """A call of the function that has not come back."""

    id: InvocationId
    started_at: datetime
    updated: tuple[OperationId, ...] = ()
    """What the service has done since the last one was called."""
    revoked: bool = False
    """It was told to end, and gets no token any more."""


class Pause(msgspec.Struct, frozen=True, gc=False):
    """A pause that goes on."""

    since: datetime
    timeout_paused: bool
    reason: str | None = None


class Execution(msgspec.Struct, frozen=True, gc=False):
    """What deciding about an execution needs to know, and all that readers are told. Nothing in it changes in place."""

    started: r.ExecutionStarted
    started_at: datetime
    operations: Mapping[OperationId, Operation]
    """By creation; the first is the EXECUTION."""
    timeout_at: datetime
    ended: ExecutionStatus | None = None
    ended_at: datetime | None = None
    result: str | None = None
    error: ErrorObject | None = None
    pending: Mapping[OperationId, Operation] = {}
    """What the execution may wait for: waits, retries, callbacks and invokes that go on, unless what they are part
    of has ended without them."""
    checkpoints: int = 0
    untold: Mapping[OperationId, None] = {}
    updated: Mapping[OperationId, None] = {}
    owed: bool = True
    hinted: bool = False
    """Its last checkpoint told the invocation what it was owed, when that may have decided to wait already."""
    last_answer: Answer | None = None
    invocation: Invocation | None = None
    failures: int = 0
    idle: int = 0
    not_before: datetime | None = None
    """When the next invocation may begin, after one that has failed."""
    closing: r.ExecutionSucceeded | r.ExecutionFailed | None = None
    """How it ends, once its invocation has."""
    pause: Pause | None = None
    deleted: bool = False
    payload_bytes: int = 0
    """About what all its operations take."""

    @property
    def arn(self) -> Arn:
        """Its name."""
        return self.started.arn

    @property
    def status(self) -> ExecutionStatus:
        """How far it has come."""
        if self.deleted:
            return ExecutionStatus.DELETING
        if self.ended is not None:
            return self.ended
        if self.pause is not None:
            return ExecutionStatus.PAUSED if self.invocation is None else ExecutionStatus.PAUSING
        return ExecutionStatus.RUNNING

    @property
    def token(self) -> str | None:
        """The token that the next checkpoint has to come with; None while none may come."""
        invocation = self.invocation
        if invocation is None or invocation.revoked or self.closing is not None or self.ended is not None:
            return None
        return CheckpointToken(self.arn, invocation.id, self.checkpoints).encode()

    def may_begin(self, now: datetime) -> bool:
        """True when an invocation is owed, and nothing is in its way."""
        return (
            self.owed
            and self.ended is None
            and self.invocation is None
            and self.pause is None
            and (self.not_before is None or now >= self.not_before)
        )
