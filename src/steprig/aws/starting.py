"""What an execution is started with."""

from typing import NamedTuple

from steprig.aws import limits
from steprig.aws import records as r
from steprig.aws.arns import LATEST, execution_arn, function_arn, parse_function_name
from steprig.aws.state import Execution


class Start(NamedTuple):
    """What is asked for."""

    function: str
    """The name of a registered function."""
    name: str
    """The execution's own; need not be unique."""
    input: str | None = None
    """JSON."""
    version: str = LATEST
    region: str = "us-west-2"
    account: str = "123456789012"
    timeout: int = limits.EXECUTION_TIMEOUT
    timeout_by_clock: bool = True
    """See `ExecutionStarted`."""
    retention_days: int = 7
    tenant_id: str | None = None
    trace_id: str | None = None

    def entry(self, execution_id: str) -> r.ExecutionStarted:
        """The first record of the execution."""
        parsed = parse_function_name(self.function)
        bare = self.function if parsed is None else parsed.name
        function = function_arn(bare, region=self.region, account=self.account, qualifier=self.version)
        arn = execution_arn(function, self.name, execution_id)
        return r.ExecutionStarted(arn=arn, id=execution_id, **self._asdict())


def child_of(state: Execution, invoke: r.ChainedInvokeStarted) -> r.ExecutionStarted:
    """The first record of the execution that another has invoked."""
    assert invoke.child_arn is not None, "what is there to be invoked has an ARN"
    return r.ExecutionStarted(
        arn=invoke.child_arn,
        id=invoke.child_id,
        name=invoke.child_id,
        function=invoke.target or "",
        version=invoke.executed_version or LATEST,
        region=state.started.region,
        account=state.started.account,
        input=invoke.input,
        timeout=invoke.timeout,
        timeout_by_clock=invoke.timeout_by_clock,
        retention_days=invoke.retention_days,
        tenant_id=invoke.tenant_id,
        trace_id=invoke.trace_id or state.started.trace_id,
        parent=r.Parent(state.arn, invoke.id),
    )
