"""An execution and everything that was recorded of it, without a clock, a journal or an SDK."""

from datetime import UTC, datetime, timedelta
from itertools import count

from steprig.aws import records as r
from steprig.aws.checkpointing import Checkpoint, checkpoint
from steprig.aws.decision import Given
from steprig.aws.folding import fold
from steprig.aws.functions import Target
from steprig.aws.history import events
from steprig.aws.model import (
    CallbackOptions,
    ChainedInvokeOptions,
    ErrorObject,
    OperationUpdate,
    StepOptions,
    WaitOptions,
)
from steprig.kernel import Record

ARN = "arn:aws:lambda:us-west-2:123456789012:function:f:$LATEST/durable-execution/name/EXEC"
START = datetime(2030, 1, 1, tzinfo=UTC)
FUNCTIONS = {
    "durable": Target("durable", durable=True),
    "plain": Target("plain", durable=False),
}


def update(kind, action, ident="op", **fields):
    return OperationUpdate(id=ident, type=kind, action=action, **fields)


def wait(seconds=10, ident="op", **fields):
    return update("WAIT", "START", ident, wait_options=WaitOptions(seconds), **fields)


def retry(delay=5, ident="op", **fields):
    return update("STEP", "RETRY", ident, step_options=StepOptions(delay), **fields)


def callback(timeout=0, heartbeat=0, ident="op", **fields):
    return update("CALLBACK", "START", ident, callback_options=CallbackOptions(timeout, heartbeat), **fields)


def invoke(name="durable", ident="op", tenant=None, **fields):
    return update("CHAINED_INVOKE", "START", ident, chained_invoke_options=ChainedInvokeOptions(name, tenant), **fields)


def error(message="broken"):
    return ErrorObject(message, "Broken")


class Story:
    """What happens to one execution. Time passes as it is told to."""

    def __init__(self, *, parent=None, revocable=True):
        self.now = START
        self.revocable = revocable
        self.records = []
        self.state = None
        self._ids = count(1)
        started = r.ExecutionStarted(
            arn=ARN,
            id="EXEC",
            name="name",
            function="f",
            version="$LATEST",
            region="us-west-2",
            account="123456789012",
            input="null",
            timeout=301,
            parent=parent,
        )
        self._record(started)
        self._record(r.InvocationStarted(id="INV0"))

    def given(self):
        self.now += timedelta(microseconds=1)
        return Given(
            self.now, lambda: f"ID{next(self._ids)}", FUNCTIONS.get, invocation_timeout=900, revocable=self.revocable
        )

    def take(self, decide, *arguments, **options):
        """Decide something, and record it."""
        decision = decide(self.state, *arguments, self.given(), **options)
        self.keep(decision)
        return decision

    def keep(self, decision):
        for entry in decision.entries:
            self._record(entry)
        assert decision.state == self.state, "what was decided and what was recorded differ"

    def checkpoint(self, *updates, token=None, client_token=None):
        """Take a checkpoint with the current token, or another. Returns the answer."""
        request = Checkpoint(self.state.token if token is None else token, updates, client_token)
        decision, answer = checkpoint(self.state, request, self.given())
        self.keep(decision)
        return answer

    def later(self, **units):
        self.now += timedelta(**units)
        return self

    def operation(self, ident="op"):
        return self.state.operations[ident]

    def types(self):
        return [event.event_type for event in events(self.records)]

    def _record(self, entry):
        self.records.append(Record(len(self.records) + 1, f"aws.execution:{ARN}", self.now, entry))
        self.state = fold(self.state, entry, self.now)
