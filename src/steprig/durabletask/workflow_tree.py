"""A run with the steps of its sub-orchestrations below them, as one tree."""

import msgspec
from durabletask import worker

from steprig.durabletask.workflow_calls import Calls
from steprig.kernel import Failure, Run, Span, Timeline

_ADVICE = (
    "tell steprig of it: DurableTaskWorkflow(orchestrator, activities=[...], orchestrators=[...], entities=[...]) "
    "from steprig.durabletask.workflow_runner"
)


class WholeRun:
    """A run with all its steps.

    Args:
        timeline: Where those are that it has started.
        calls: What is known of its code.
        run: The run, which has ended.
    """

    def __init__(self, timeline: Timeline, calls: Calls, run: Run) -> None:
        self._timeline = timeline
        self._calls = calls
        self.raised: dict[str, BaseException] = {}
        """What the code of steps has raised, by the ids that they have here."""
        self.run = msgspec.structs.replace(run, spans=self._steps(run, ""))

    def _steps(self, run: Run, prefix: str) -> tuple[Span, ...]:
        return tuple(self._step(run, span, prefix) for span in run.spans)

    def _step(self, run: Run, span: Span, prefix: str) -> Span:
        placed = msgspec.structs.replace(span, id=f"{prefix}{span.id}")
        error: BaseException | None
        child = self._timeline.run(str(span.attributes.get("instance_id", "")))
        if span.kind == "orchestration" and child is not None:
            placed = msgspec.structs.replace(placed, children=self._steps(child, f"{child.id}/"))
            error = self._calls.raised_by(child.id)
        else:
            error = self._calls.raised_by(run.id, _task_id(span))
        if error := error or _unregistered(span.failure):
            self.raised[placed.id] = error
        return placed


def _task_id(span: Span) -> int:
    number = span.id.removeprefix("task.")
    return int(number) if number.isdecimal() else -1


def _unregistered(failure: Failure | None) -> BaseException | None:
    """The SDK's error for a function that its worker does not know, with what to do."""
    kind = getattr(worker, failure.name.rpartition(".")[2], None) if failure is not None else None
    if failure is None or not failure.name.endswith("NotRegisteredError") or kind is None:
        return None
    return kind(f"{failure.message} {_ADVICE}")  # type: ignore[no-any-return]
