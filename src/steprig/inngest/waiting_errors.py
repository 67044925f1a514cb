"""What goes wrong while a test waits for a dev server, told apart by what there is to do about it."""

from typing import TYPE_CHECKING

from steprig.errors import SteprigError

if TYPE_CHECKING:
    from steprig.inngest.client_model import Run


class DevServerClientError(SteprigError):
    """Base of what a `DevServerClient` raises."""


class DevServerUnreachableError(DevServerClientError):
    """Nothing answers at the origin, or something that is no Inngest dev server."""


class WaitTimeoutError(DevServerClientError, TimeoutError):
    """What was waited for had not come when the time was up. The message says what was seen last."""


class UnexpectedStatusError(DevServerClientError):
    """The run has ended with another status than awaited, so that waiting on would be in vain.

    Attributes:
        run: How it ended.
    """

    def __init__(self, message: str, run: "Run") -> None:
        super().__init__(message)
        self.run = run


class UnexpectedRunCountError(DevServerClientError):
    """An event has started more runs than expected.

    Attributes:
        run_ids: All of them.
    """

    def __init__(self, message: str, run_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.run_ids = run_ids


class NoStepOutputError(DevServerClientError):
    """The run has ended, and the step has no output: it never ran, or is one that gives none."""
