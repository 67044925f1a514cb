"""What a test gets: a task hub to connect to, and clients and workers that end with the test."""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from durabletask.client import TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

from steprig.durabletask.backend import InMemoryOrchestrationBackend
from steprig.durabletask.prompt_stop import stop_promptly
from steprig.errors import SteprigError
from steprig.kernel import Clock, Journal, Timeline

Function = Callable[..., Any]
"""An orchestrator, an activity, or an entity: a function, or an entity's class."""


class NoClockError(SteprigError):
    """Time was to be moved that nobody can move. The message says why, and what to do."""


class TaskHub:
    """Where the clients and workers of a test connect to; `close` ends them.

    Args:
        address: `HOST:PORT`.
        name: Of the task hub, for a scheduler that has several.
    """

    def __init__(self, address: str, name: str | None = None) -> None:
        self.address = address
        self._metadata = [] if name is None else [("taskhub", name)]
        self._workers: list[TaskHubGrpcWorker] = []
        self._clients = ExitStack()

    @property
    def clock(self) -> Clock:
        """The clock that timers go by.

        Raises:
            NoClockError: It is not one of this process.
        """
        raise NoClockError(
            f"the task hub at {self.address} runs in another process, in real time, and has no clock that a test "
            "could move; leave out --steprig-durabletask for the embedded one, or skip the test where it is set"
        )

    @property
    def logs(self) -> Sequence[str]:
        """Lines that it has logged: none, what it does is on the timeline."""
        return ()

    def client(self, **options: Any) -> TaskHubGrpcClient:
        """A client, closed with the task hub.

        Args:
            **options: As for `TaskHubGrpcClient`.
        """
        client = TaskHubGrpcClient(**self._connecting(options))
        self._clients.callback(client.close)
        return client

    def worker(
        self,
        *,
        orchestrators: Iterable[Function] = (),
        activities: Iterable[Function] = (),
        entities: Iterable[Function] = (),
        start: bool = True,
        **options: Any,
    ) -> TaskHubGrpcWorker:
        """A worker, stopped with the task hub, and within milliseconds where the SDK's own takes a second.

        Args:
            orchestrators: What it runs, and so for the others.
            activities: Functions.
            entities: Functions and classes.
            start: False to add to it first; then call its `start`.
            **options: As for `TaskHubGrpcWorker`.
        """
        worker = stop_promptly(TaskHubGrpcWorker(**self._connecting(options)))
        for orchestrator in orchestrators:
            worker.add_orchestrator(orchestrator)
        for activity in activities:
            worker.add_activity(activity)
        for entity in entities:
            worker.add_entity(entity)
        self._workers.append(worker)
        if start:
            worker.start()  # type: ignore[no-untyped-call]
        return worker

    def _connecting(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"host_address": self.address, "metadata": self._metadata or None, **options}

    def close(self) -> None:
        """Stop the workers, all at once, and close the clients. Idempotent."""
        workers, self._workers = self._workers, []
        stopping = [threading.Thread(target=worker.stop, name="stop of a worker") for worker in workers]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._clients.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EmbeddedTaskHub(TaskHub):
    """A task hub in this process.

    Args:
        backend: One that runs. It is not stopped.
    """

    def __init__(self, backend: InMemoryOrchestrationBackend) -> None:
        super().__init__(backend.address)
        self.backend = backend

    @property
    def clock(self) -> Clock:
        """The clock that timers go by."""
        return self.backend.clock

    @property
    def timeline(self) -> Timeline:
        """What has happened to each orchestration."""
        return self.backend.timeline

    @property
    def journal(self) -> Journal:
        """What is kept of it."""
        return self.backend.journal
