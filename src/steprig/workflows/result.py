"""What running a workflow has given, whatever it was run by."""

from dataclasses import dataclass, field
from typing import Any

from steprig.kernel import Span
from steprig.workflows.errors import OutputPathError
from steprig.workflows.paths import MISSING, find, paths_in


@dataclass
class WorkflowTestResult:
    """The outcome of one run."""

    status: str
    """`success` or `failed`."""
    outputs: dict[str, Any]
    """What each node that finished gave; for a node whose code sets `result`, the value of that."""
    errors: list[tuple[str, BaseException]] = field(default_factory=list)
    """For each node that failed, its id and the exception that its code raised."""
    error: str | None = None
    """What failed, in words."""
    execution_time: float = 0.0
    """Seconds."""
    node_timings: dict[str, float] = field(default_factory=dict)
    """Seconds for each node that finished or failed, by the clock of the platform: a sleep that was skipped took its
    whole time."""
    logs: list[str] = field(default_factory=list)
    """What was logged meanwhile by the run, by any logger, a line a record."""
    steps: tuple[Span, ...] = ()
    """The tree of steps, as every platform of steprig shows it, in the order of their start."""
    run_id: str = ""
    """Unique to this run."""
    returned: Any = None
    """What the workflow itself has returned; of kailash's, whose nodes alone have outputs, None."""

    def get_output(self, node_id: str, key: str | int | None = None) -> Any:
        """What a node gave.

        Args:
            node_id: The node.
            key: A path into it, with dots, such as `user.address.city` or `items.0`; or an index.

        Returns:
            The value, or None when there is no such node or path.
        """
        value = self._find(node_id, key)
        return None if value is MISSING else value

    def output(self, node_id: str, key: str | int | None = None) -> Any:
        """`get_output` that does not pass over what is not there.

        Raises:
            OutputPathError: There is no such node or path; says what there is.
        """
        value = self._find(node_id, key)
        if value is MISSING:
            raise OutputPathError(self._nothing_at(node_id, key))
        return value

    def get_logs(self) -> str:
        """The logs as one text."""
        return "\n".join(self.logs)

    def print_summary(self) -> None:
        """Print status, time, nodes and errors."""
        print(f"Status: {self.status}")
        print(f"Execution time: {self.execution_time:.3f}s")
        print(f"Nodes finished: {len(self.outputs)}")
        for node_id, seconds in self.node_timings.items():
            print(f"  - {node_id}: {seconds:.3f}s")
        if self.errors:
            print(f"Errors: {len(self.errors)}")
        for node_id, error in self.errors:
            print(f"  - {node_id}: {error!r}")

    def _find(self, node_id: str, key: str | int | None) -> Any:
        if node_id not in self.outputs:
            return MISSING
        return self.outputs[node_id] if key in (None, "") else find(self.outputs[node_id], str(key))

    def _nothing_at(self, node_id: str, key: str | int | None) -> str:
        if node_id not in self.outputs:
            finished = ", ".join(map(repr, self.outputs)) or "none"
            failure = f"; the workflow failed: {self.error}" if self.error else ""
            return f"no node {node_id!r} has finished; those that have: {finished}{failure}"
        return f"node {node_id!r} has no output {key!r}; there is: {paths_in(self.outputs[node_id])}"
