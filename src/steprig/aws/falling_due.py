"""What the coming of a time decides."""

from steprig.aws import completions, invocations
from steprig.aws.decision import Decision, Given
from steprig.aws.state import Execution
from steprig.aws.timing import INVOCATION, TIMEOUT, WAKE, TimerKey


def on_time(state: Execution, key: TimerKey, given: Given) -> Decision:
    """What follows for an execution when a timer fires that it still wants."""
    if key.what == WAKE:
        return completions.wake(state, given)
    if key.what == TIMEOUT:
        return completions.time_out(state, given)
    if key.what == INVOCATION and state.invocation is not None:
        outcome = invocations.timed_out(given.invocation_timeout)
        return invocations.finish(state, state.invocation.id, outcome, given)
    assert key.operation is not None, "the other timers are of operations"
    return completions.time_out_operation(state, key.operation, given)
