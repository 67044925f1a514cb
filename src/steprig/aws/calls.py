"""The calls of functions that follow from the state of an execution."""

from steprig.aws import paging
from steprig.aws import records as r
from steprig.aws.arns import LATEST
from steprig.aws.invoker import Caller, DurableCall, PlainCall
from steprig.aws.state import Execution


def durable_call(state: Execution, timeout: int, page_bytes: int) -> DurableCall:
    """The invocation that an execution has just begun.

    Args:
        state: The execution.
        timeout: Seconds that the call may take.
        page_bytes: How much of the payloads it is handed at once.
    """
    started, invocation, token = state.started, state.invocation, state.token
    assert invocation is not None, "an invocation was begun"
    assert token is not None, "it may checkpoint"
    return DurableCall(
        caller=Caller(
            function=started.function,
            version=started.version,
            region=started.region,
            account=started.account,
            tenant_id=started.tenant_id,
            trace_id=started.trace_id,
            timeout=timeout,
        ),
        arn=state.arn,
        invocation=invocation.id,
        token=token,
        page=paging.first_page(state, page_bytes),
        updated=invocation.updated,
        operations=state.operations,
    )


def plain_call(state: Execution, invoke: r.ChainedInvokeStarted, timeout: int) -> PlainCall:
    """The call of a function that is not durable, which an execution has invoked."""
    caller = Caller(
        function=invoke.target or "",
        version=invoke.executed_version or LATEST,
        region=state.started.region,
        account=state.started.account,
        tenant_id=invoke.tenant_id,
        trace_id=invoke.trace_id or state.started.trace_id,
        timeout=timeout,
    )
    return PlainCall(caller, invoke.child_id, invoke.input or "{}")
