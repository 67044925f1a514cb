"""What a kailash node is given: the workflow's inputs, and what its connections bring."""

from collections.abc import Mapping
from typing import Any

from steprig.workflows.errors import OutputPathError, WorkflowInputError
from steprig.workflows.paths import MISSING, find, paths_in

_DROPPED = frozenset({"code", "timeout", "max_concurrent_tasks", "max_memory_mb", "imports", "sandbox_mode"})
"""Names that a code node takes for its own settings, and drops without a word."""


def check_inputs(workflow: Any, inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that kailash would drop in silence, or that no code could name.

    Raises:
        WorkflowInputError: Names the input, and says what to do.
    """
    only_code = all(type(node).__name__ == "AsyncPythonCodeNode" for node in workflow._node_instances.values())
    for name, value in inputs.items():
        if name in workflow.graph.nodes:
            if not isinstance(value, Mapping):
                raise WorkflowInputError(
                    f"the input {name!r} has the name of a node, so it is for that node alone and has to be a dict of "
                    f"its variables; got {value!r}"
                )
        elif not name.isidentifier():
            raise WorkflowInputError(f"the input {name!r} cannot be a variable in the nodes' code: it is no identifier")
        elif only_code and name in _DROPPED:
            raise WorkflowInputError(
                f"the input {name!r} would never reach a node, as kailash takes it for a setting of its own; rename it"
            )


def resolve_connections(graph: Any, node_id: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What each connection into a node brings.

    Raises:
        OutputPathError: A path that the node before it has not given.
    """
    found: dict[str, Any] = {}
    for source in graph.predecessors(node_id):
        if outputs.get(source) is None:
            continue  # not run, or skipped by a condition
        for path, target in (graph.get_edge_data(source, node_id).get("mapping") or {}).items():
            found[target] = _resolved(source, path, node_id, target, outputs[source])
    return found


def _resolved(source: str, path: str, node_id: str, target: str, output: Any) -> Any:
    value = find(output, path)
    if value is MISSING:
        raise OutputPathError(
            f"the connection {source}.{path} -> {node_id}.{target} leads nowhere: {source!r} gave no {path!r}; "
            f"there is: {paths_in(output)}"
        )
    return value
