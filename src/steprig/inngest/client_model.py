"""What a `DevServerClient` returns."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class RunStatus(StrEnum):
    """How far a run has come, in the dev server's words."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


ended_statuses: Final = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED},
)
"""Those after which nothing more happens to a run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run at one moment."""

    id: str
    status: RunStatus
    output: str | None
    """What the function returned or failed with, as JSON text; None while there is none, and for a cancelled run."""
    events: tuple[dict[str, Any], ...]
    """The events that have started the run, each with `id`, `name`, `data` and `ts`; more than one for a batch."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ended_statuses

    @property
    def result(self) -> Any:
        """The output decoded: what the function returned, or an object with the error's name and message."""
        return None if self.output is None else json.loads(self.output)


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A step of a run, or what the dev server shows in line with steps, such as `function success`."""

    name: str
    output_id: str | None
    """What the dev server knows the output by; None for a sleep, and for a step that has none yet."""

    def __str__(self) -> str:
        return self.name if self.output_id is not None else f"{self.name} (no output)"


@dataclass(frozen=True, slots=True)
class StepError:
    """What a step failed with."""

    message: str
    name: str | None = None
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step gave: either data or an error. `str()` gives it as JSON text with the member that there is."""

    data: Any = None
    """What the step returned, decoded."""
    error: StepError | None = None

    def __str__(self) -> str:
        if self.error is None:
            return json.dumps({"data": self.data})
        error = {"message": self.error.message, "name": self.error.name, "stack": self.error.stack}
        return json.dumps({"error": error})
