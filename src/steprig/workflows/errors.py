"""What goes wrong in a workflow test by the test's own doing."""

from collections.abc import Iterable

from steprig.errors import SteprigError
from steprig.kernel import WorkflowInputError

__all__ = [
    "DockerUnavailableError",
    "NotSetUpError",
    "OutputPathError",
    "UnknownResourceError",
    "UnusableWorkflowError",
    "WorkflowInputError",
    "WorkflowStepError",
    "count",
]


class UnknownResourceError(SteprigError, KeyError):
    """No resource or mock of that name. The message names those there are."""

    def __init__(self, name: str, known: Iterable[str], *, what: str = "resource") -> None:
        arguments = f"{name!r}, factory{', mock=True' if what == 'mock' else ''}"
        super().__init__(
            f"there is no {what} {name!r}; known: {', '.join(map(repr, known)) or 'none'}. "
            f"Make it first: await self.create_test_resource({arguments})"
        )

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show its repr


class UnusableWorkflowError(SteprigError, TypeError):
    """What was given as a workflow is none, or its runner is not installed."""


class OutputPathError(SteprigError, LookupError):
    """A path leads to no output. The message says what there is."""


class DockerUnavailableError(SteprigError, RuntimeError):
    """Docker was asked for, and there is none, or it cannot run the image. The message says what to do."""


class WorkflowStepError(SteprigError):
    """What a step has raised on a platform that keeps but the name and the message of it."""


class NotSetUpError(SteprigError, RuntimeError):
    """A test case is used before its set-up or after its end."""


def count(number: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
