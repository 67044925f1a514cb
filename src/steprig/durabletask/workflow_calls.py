"""What an orchestrator and its activities do, when they are run as a workflow."""

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context
from types import GeneratorType
from typing import Any

from durabletask.task import ActivityContext, TaskFailedError

from steprig.kernel.workflow_runner import adopt

_Place = tuple[str, int | None]
"""The id of an orchestration, and of an activity in it or None for itself."""


class Calls:
    """The calls of functions: in whose context they run, and what they have raised."""

    def __init__(self) -> None:
        self._contexts: dict[str, Context] = {}
        self._runs: dict[str, str] = {}
        """For sub-orchestrations that were given ids of their own: of which run they are."""
        self._raised: dict[_Place, Exception] = {}

    def expect(self, instance_id: str, context: Context) -> None:
        """Have a run, and what it starts, go in a context."""
        self._contexts[instance_id] = context

    def forget(self, instance_id: str) -> None:
        """The run has ended."""
        for place in [place for place in self._raised if self._run_of(place[0]) == instance_id]:
            del self._raised[place]
        for sub_orchestration in [each for each, run in self._runs.items() if run == instance_id]:
            del self._runs[sub_orchestration]
        del self._contexts[instance_id]

    def raised_by(self, instance_id: str, task_id: int | None = None) -> Exception | None:
        """What an activity has raised last, or an orchestrator itself: what it only let through does not count."""
        error = self._raised.get((instance_id, task_id))
        return None if isinstance(error, TaskFailedError) else error

    def observed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, an orchestrator or an activity, by the same name and with the same types."""

        @functools.wraps(function)
        def wrapper(context: Any, value: Any) -> Any:
            place = _place(context)
            self._note_parent(place[0], getattr(context, "parent_instance_id", None))
            adopt(self._context_of(place[0]))
            with self._noting(place):
                result = function(context, value)
            return self._iterated(result, place) if isinstance(result, GeneratorType) else result

        return wrapper

    def _iterated(self, turn: Generator[Any, Any, Any], place: _Place) -> Generator[Any, Any, Any]:
        with self._noting(place):
            return (yield from turn)

    @contextmanager
    def _noting(self, place: _Place) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._raised[place] = error
            raise

    def _note_parent(self, instance_id: str, parent_id: str | None) -> None:
        if parent_id is not None and self._run_of(instance_id) is None and (run := self._run_of(parent_id)) is not None:
            self._runs[instance_id] = run

    def _run_of(self, instance_id: str) -> str | None:
        """A sub-orchestration's id begins with that of who has started it, unless the user gives it another."""
        run = self._runs.get(instance_id)
        return run or next((known for known in [*self._contexts] if instance_id.startswith(known)), None)

    def _context_of(self, instance_id: str) -> Context:
        contexts = {**self._contexts}
        only = next(iter(contexts.values())) if len(contexts) == 1 else Context()
        return contexts.get(self._run_of(instance_id) or "", only)


def _place(context: Any) -> _Place:
    if isinstance(context, ActivityContext):
        return context.orchestration_id, context.task_id
    return context.instance_id, None
