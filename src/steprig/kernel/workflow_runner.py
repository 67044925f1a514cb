"""How a platform lets its functions be run as workflows by `steprig.workflows`, which knows no platform.

A runner is found by the entry point group `steprig.workflow_runners`; it is a class whose instances are as
`WorkflowRunner` says. Another package can bring one in the same way.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, TypeVar

from steprig.errors import SteprigError
from steprig.kernel.timeline import Run

T = TypeVar("T")


class WorkflowInputError(SteprigError, ValueError):
    """A workflow would never see an input as it was meant. Raised before anything runs."""


class WorkflowResources(Protocol):
    """Where a workflow gets its resources."""

    async def get_resource(self, name: str) -> Any:
        """The resource of that name; an error that lists the known ones if there is none."""


class WorkflowReport(Protocol):
    """What a runner is given for one run: resources, what it keeps for the whole test, and a place to tell."""

    returned: Any
    """What the workflow itself has returned, to be set where nothing else tells it."""

    @property
    def id(self) -> str:
        """Unique to this run."""

    @property
    def resources(self) -> WorkflowResources:
        """The test's resources."""

    @property
    def context(self) -> Context:
        """The context variables of whoever has asked for the run. What is logged in a copy of it is this run's."""

    async def kept(self, key: object, open: Callable[[], AbstractAsyncContextManager[T]]) -> T:  # noqa: A002
        """What is opened once for all runs of a test, such as a server, and closed at the test's end.

        Args:
            key: What it is for; runs that give an equal one share it.
            open: Makes it; entered at the first call, in no context of any run.
        """

    def completed(self, node_id: str, output: Any, *, began: float, kind: str = "node") -> None:
        """A node has finished.

        Args:
            node_id: The node.
            output: What it gave.
            began: The `time.perf_counter()` of its start.
            kind: The platform's own word for such a step.
        """

    def failed(self, node_id: str, error: BaseException, *, began: float, kind: str = "node") -> None:
        """A node has raised. For the arguments see `completed`."""

    def cancelled(self, node_id: str, *, began: float, kind: str = "node") -> None:
        """A node was stopped, as another had failed or time was up."""

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
        """The run has ended on a platform that has kept its steps itself: they become those of the result.

        The output of each step goes by the step's name, that of the second of one name as `name:1`, and so on. The
        workflow's own goes by `name`, unless a step has that.

        Args:
            run: From the platform's timeline.
            name: The workflow's.
            raised: By the ids of failed steps, what their code has raised. What is missing is made anew from what the
                platform knows of it.
            own: What the workflow itself has raised, and not a step of it.
            is_own: Whether the workflow itself has raised something, where it is not known as an exception.
            decode: Makes a step's output of what the platform keeps of it; by default as JSON says.
        """

    def taking_stray_logs(self) -> AbstractContextManager[None]:
        """Count what is logged meanwhile in the context of no run as this one's: for functions on threads of an SDK."""


class WorkflowRunner(Protocol):
    """Runs one kind of workflow.

    One with a true attribute `takes_any_input` gets inputs that are no dict, too. One with a method `prepare` has it
    called before each run, on another thread and outside of the run's time limit: there it may import an SDK.
    """

    kind: str
    """What it takes, for messages: "an Inngest function"."""

    def accepts(self, workflow: object) -> bool:
        """Whether this is its kind. Quick, and imports nothing: an object's module is imported already."""

    def name_of(self, workflow: Any) -> str:
        """The workflow's name, for messages and logs."""

    async def run(self, workflow: Any, inputs: Mapping[str, Any], run: WorkflowReport) -> None:
        """Run it to its end, and tell `run` of each step.

        What fails in a step is told by `run.failed` or `run.ended`; what is raised fails the workflow itself. Nothing
        of it may go on after the return, nor after a cancellation.
        """


def needing(extra: str, module: str) -> ModuleType:
    """Import a module that needs an extra of steprig.

    Raises:
        ImportError: A package of it is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"to run this workflow steprig needs {error.name!r}, which is not installed: "
            f"pip install 'steprig[{extra}]'",
            name=error.name,
        ) from error


def adopt(context: Context) -> None:
    """Have the context variables of a run in the current context, too: on a thread of an SDK, or in a server's task."""
    for variable, value in context.items():
        variable.set(value)
