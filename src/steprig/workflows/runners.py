"""What can be run as a workflow: a runner for each kind, found when it is needed.

A runner of steprig or of another package registers under the entry point group
`steprig.workflow_runners`; a test suite's own with `register_runner`.
"""

import inspect
from functools import cache
from importlib.metadata import entry_points

from steprig.kernel import WorkflowRunner
from steprig.workflows.callable_runner import CallableRunner
from steprig.workflows.errors import UnusableWorkflowError
from steprig.workflows.kailash_runner import KailashRunner

GROUP = "steprig.workflow_runners"


_registered: list[WorkflowRunner] = []
_built_in: tuple[WorkflowRunner, ...] = (KailashRunner(),)
_fallback: WorkflowRunner = CallableRunner()


def register_runner(runner: WorkflowRunner) -> None:
    """Have a runner asked before all others."""
    _registered.insert(0, runner)


def unregister_runner(runner: WorkflowRunner) -> None:
    """Take it back."""
    _registered.remove(runner)


def runner_for(workflow: object) -> WorkflowRunner:
    """The runner of a workflow.

    Raises:
        UnusableWorkflowError: There is none; says what can be run.
    """
    for runner in (*_registered, *_built_in):
        if runner.accepts(workflow):
            return runner
    for runner in _installed()[0]:
        if runner.accepts(workflow):
            return runner
    if _fallback.accepts(workflow):
        return _fallback
    raise UnusableWorkflowError(_refusal(workflow))


@cache
def _installed() -> tuple[tuple[WorkflowRunner, ...], tuple[str, ...]]:
    """The runners of installed packages, and why others are not there."""
    runners: list[WorkflowRunner] = []
    missing: list[str] = []
    for point in entry_points(group=GROUP):
        try:
            runners.append(point.load()())
        except ImportError as error:
            missing.append(f"{point.name} ({error})")
    return tuple(runners), tuple(missing)


def _refusal(workflow: object) -> str:
    if callable(getattr(workflow, "build", None)):
        return f"{type(workflow).__qualname__} only builds a workflow; pass what its build() gives"
    if inspect.iscoroutine(workflow):
        workflow.close()  # else Python warns that nobody has awaited it
        return f"{workflow!r} is a call; pass the function itself, and its arguments as the inputs"
    runners, missing = _installed()
    kinds = dict.fromkeys(runner.kind for runner in (*_registered, *_built_in, *runners, _fallback))
    absent = f". Not to be had: {'; '.join(missing)}" if missing else ""
    return f"{workflow!r} of type {type(workflow).__qualname__} is no workflow; one is {', or '.join(kinds)}{absent}"
