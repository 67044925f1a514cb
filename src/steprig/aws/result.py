"""What a test gets to see of an execution that has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from aws_durable_execution_sdk_python.execution import (  # type: ignore[attr-defined] # where all versions have it
    InvocationStatus,
)
from aws_durable_execution_sdk_python.lambda_service import ErrorObject

from steprig.aws.history import Event, events
from steprig.aws.model import ExecutionStatus as ServiceStatus
from steprig.aws.operations import ExecutionOperation, Operation, Operations, the_execution, top_level, walk
from steprig.aws.projection import project
from steprig.aws.sdk_objects import error_of
from steprig.aws.state import Execution
from steprig.aws.told_history import without_data
from steprig.kernel import Record, Run
from steprig.kernel.tree import run_tree


class ExecutionStatus(Enum):
    """How far an execution has come."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    TIMED_OUT = "TIMED_OUT"


@dataclass(frozen=True)
class DurableFunctionTestResult(Operations):
    """How an execution has ended, and what it did. Print it for the tree of its steps.

    Attributes:
        status: The SDK's `InvocationStatus`: FAILED, too, for what was stopped or took too long.
        operations: Those that are part of no context.
        result: JSON.
        error: Why it failed.
        execution_status: As the service has it.
        execution_arn: Its name.
    """

    status: InvocationStatus
    operations: list[Operation]
    result: str | None = None
    error: ErrorObject | None = None
    execution_status: ExecutionStatus | None = None
    execution_arn: str = ""
    _execution: ExecutionOperation | None = field(default=None, repr=False, compare=False)
    _records: Sequence[Record] = field(default=(), repr=False, compare=False)
    _told: Sequence[Event] | None = field(default=None, repr=False, compare=False)

    def _level(self) -> Sequence[Operation]:
        return self.operations

    def get_execution(self, name: str) -> ExecutionOperation:
        """The execution itself, by its name.

        Raises:
            DurableFunctionsTestError: It is not called so.
        """
        if self._execution is not None and self._execution.name == name:
            return self._execution
        return super().get_execution(name)

    def get_all_operations(self) -> list[Operation]:
        """Every operation but the execution itself, parents first."""
        return [*walk(self.operations)]

    def history(self, *, include_execution_data: bool = True) -> list[Event]:
        """The events of the execution as the service reports them, in the order in which they happened.

        Args:
            include_execution_data: False to leave out inputs, results and errors.
        """
        if self._told is None:
            return events(self._records, include_execution_data=include_execution_data)
        return [event if include_execution_data else without_data(event) for event in self._told]

    def run(self) -> Run | None:
        """The execution in the timeline's words."""
        run: Run | None = None
        for record in self._records:
            run = project(run, record)
        return run

    def tree(self) -> str:
        """The execution and its steps, a line each, with what failed and what was waited for."""
        run = self.run()
        return "" if run is None else run_tree(run)

    def __str__(self) -> str:
        return self.tree()


def result_of(
    state: Execution, records: Sequence[Record], told: Sequence[Event] | None = None
) -> DurableFunctionTestResult:
    """What a test gets to see.

    Args:
        state: Of an execution that has ended.
        records: Its own.
        told: Its history as a service elsewhere tells it, where the records are made from that.
    """
    succeeded = state.status is ServiceStatus.SUCCEEDED
    return DurableFunctionTestResult(
        status=InvocationStatus.SUCCEEDED if succeeded else InvocationStatus.FAILED,
        operations=top_level(state.operations),
        result=state.result,
        error=error_of(state.error),
        execution_status=ExecutionStatus[state.status.name],
        execution_arn=state.arn,
        _execution=the_execution(state.operations),
        _records=records,
        _told=told,
    )
