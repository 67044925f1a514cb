"""One run of a workflow, as its runner tells of it."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Protocol

import msgspec

from steprig.kernel import Failure, Span, Status


class Resources(Protocol):
    """Where a workflow gets its resources."""

    async def get_resource(self, name: str) -> Any:
        """The resource of that name; an error that lists the known ones if there is none."""


class WorkflowRun:
    """What a runner is given: resources, and a place to tell of each step as it ends.

    Args:
        resources: The test's resources.
    """

    def __init__(self, resources: Resources) -> None:
        self.id = f"run-{uuid.uuid4().hex}"
        self.resources = resources
        self.outputs: dict[str, Any] = {}
        self.errors: list[tuple[str, BaseException]] = []
        self.timings: dict[str, float] = {}
        self.summary: str | None = None
        self._steps: list[Span] = []
        self._began = (datetime.now(UTC), perf_counter())

    @property
    def steps(self) -> tuple[Span, ...]:
        """The steps so far, in the order of their start."""
        return tuple(sorted(self._steps, key=lambda step: step.queued_at))

    def completed(self, node_id: str, output: Any, *, began: float, kind: str = "node") -> None:
        """A node has finished.

        Args:
            node_id: The node.
            output: What it gave.
            began: The `time.perf_counter()` of its start.
            kind: The platform's own word for such a step.
        """
        self.outputs[node_id] = output
        self._note(node_id, kind, began, Status.COMPLETED, output=_as_json(output))

    def failed(self, node_id: str, error: BaseException, *, began: float, kind: str = "node") -> None:
        """A node has raised. For the arguments see `completed`."""
        self.errors.append((node_id, error))
        self._note(node_id, kind, began, Status.FAILED, failure=Failure(type(error).__name__, str(error)))

    def cancelled(self, node_id: str, *, began: float, kind: str = "node") -> None:
        """A node was stopped, as another had failed or time was up."""
        self._note(node_id, kind, began, Status.CANCELLED)

    def add_steps(self, steps: Sequence[Span]) -> None:
        """Add steps that a platform has kept itself."""
        self._steps += steps

    def _note(
        self,
        node_id: str,
        kind: str,
        began: float,
        status: Status,
        *,
        output: msgspec.Raw | None = None,
        failure: Failure | None = None,
    ) -> None:
        ended = perf_counter()
        self.timings[node_id] = ended - began
        start = self._at(began)
        self._steps.append(
            Span(
                id=node_id,
                name=node_id,
                kind=kind,
                status=status,
                queued_at=start,
                started_at=start,
                ended_at=self._at(ended),
                attempts=1,
                output=output,
                failure=failure,
            )
        )

    def _at(self, moment: float) -> datetime:
        wall, zero = self._began
        return wall + timedelta(seconds=moment - zero)


def _as_json(output: Any) -> msgspec.Raw | None:
    try:
        return msgspec.Raw(msgspec.json.encode(output))
    except (TypeError, ValueError, msgspec.MsgspecError):
        return None  # an async callable may give anything
