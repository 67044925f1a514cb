"""A run that a platform has kept, as the result of a workflow has it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from steprig.kernel import Run, Span, Status
from steprig.workflows.failures import exception_of

_FAILED = (Status.FAILED, Status.TIMED_OUT)
_ATTEMPT = "attempt"


@dataclass
class PlatformRun:
    """What of a run goes into a result."""

    outputs: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    errors: list[tuple[str, BaseException]] = field(default_factory=list)
    returned: Any = None


def read_run(
    run: Run,
    name: str,
    raised: Mapping[str, BaseException],
    own: BaseException | None,
    is_own: bool,
    decode: Callable[[bytes], Any],
) -> PlatformRun:
    """Read a run. For the arguments see `steprig.kernel.WorkflowReport.ended`."""
    read, failed = PlatformRun(), []
    for step_name, step in _named_steps(run):
        if step.started_at is not None and step.ended_at is not None:
            read.timings[step_name] = (step.ended_at - step.started_at).total_seconds()
        if step.status is Status.COMPLETED:
            read.outputs[step_name] = None if step.output is None else decode(bytes(step.output))
        elif step.status in _FAILED:
            failed.append((step_name, step))
    if run.status is Status.COMPLETED:
        read.returned = None if run.output is None else msgspec.json.decode(run.output)
        read.outputs.setdefault(name, read.returned)
        return read
    came_through = [] if own is not None or is_own else [each for each in failed if _comes_through(each[1], run)]
    for step_name, step in came_through:
        error = raised.get(step.id) or exception_of(step.failure, f"the step {step_name!r} was {step.status}")
        read.errors.append((step_name, error))
    if not came_through:
        read.errors.append((name, own or exception_of(run.failure, f"the run {run.id} was {run.status}")))
    return read


def _comes_through(step: Span, run: Run) -> bool:
    """Whether it is this step's error that the run has ended with, and not one below it that says it more closely."""
    message = step.failure.message if step.failure is not None else None
    told = run.failure.message if run.failure is not None else ""
    below = (each for child in step.children if child.kind != _ATTEMPT for each in child.walk())
    closer = any(each.status in _FAILED and each.kind != _ATTEMPT for each in below)
    return message is not None and message in told and not closer


def _named_steps(run: Run) -> Iterator[tuple[str, Span]]:
    """Each step with the name that the result has it by, parents first."""
    seen: Counter[str] = Counter()
    for top in run.spans:
        for step in top.walk():
            if step.kind != _ATTEMPT:
                times, seen[step.name] = seen[step.name], seen[step.name] + 1
                yield (f"{step.name}:{times}" if times else step.name), step
