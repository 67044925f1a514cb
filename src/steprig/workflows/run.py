"""One run of a workflow, as its runner tells of it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from time import perf_counter
from typing import Any, TypeVar

import msgspec

from steprig.kernel import Failure, Run, Span, Status, WorkflowResources
from steprig.workflows.kept import Kept
from steprig.workflows.log_capture import stray_logs_taken
from steprig.workflows.platform_run import read_run

T = TypeVar("T")


class WorkflowRun:
    """What a runner is given: resources, and a place to tell of each step as it ends. A `WorkflowReport`.

    Args:
        resources: The test's resources.
        kept: What the test keeps for its runs.
    """

    def __init__(self, resources: WorkflowResources, kept: Kept) -> None:
        self.id = f"run-{token_hex(16)}"
        self.resources = resources
        self._kept = kept
        self.outputs: dict[str, Any] = {}
        self.errors: list[tuple[str, BaseException]] = []
        self.timings: dict[str, float] = {}
        self.returned: Any = None
        self._steps: list[Span] = []
        self._began = (datetime.now(UTC), perf_counter())

    @property
    def steps(self) -> tuple[Span, ...]:
        """The steps so far, in the order of their start."""
        return tuple(sorted(self._steps, key=lambda step: step.queued_at))

    @property
    def context(self) -> Context:
        """See `WorkflowReport.context`."""
        return copy_context()

    async def kept(self, key: object, open: Callable[[], AbstractAsyncContextManager[T]]) -> T:  # noqa: A002
        """See `WorkflowReport.kept`."""
        return await self._kept.get(key, open)

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

    def ended(
        self,
        run: Run,
        *,
        name: str,
        raised: Mapping[str, BaseException] | None = None,
        own: BaseException | None = None,
        is_own: bool = False,
        decode: Callable[[bytes], Any] | None = None,
    ) -> None:
        """See `WorkflowReport.ended`."""
        read = read_run(run, name, raised or {}, own, is_own, decode or msgspec.json.decode)
        self.outputs |= read.outputs
        self.timings |= read.timings
        self.errors += read.errors
        self.returned = read.returned
        self._steps += run.spans

    def taking_stray_logs(self) -> AbstractContextManager[None]:
        """See `WorkflowReport.taking_stray_logs`."""
        return stray_logs_taken()

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
