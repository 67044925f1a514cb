"""A backend, a real worker of the SDK on it, and a real client."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import grpc
import pytest
from durabletask.client import OrchestrationState, TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.worker import TaskHubGrpcWorker

from steprig.durabletask import InMemoryOrchestrationBackend, stop_promptly
from steprig.kernel import VirtualClock

from ..waiting import until

PATIENCE = 20.0
"""Real seconds for what takes milliseconds."""

_quiet = logging.getLogger("durabletask-quiet")
_quiet.setLevel(logging.CRITICAL)


class Stage:
    """A client and, once `work` was called, a worker on a backend that runs."""

    def __init__(self, backend: InMemoryOrchestrationBackend, **client_options: Any) -> None:
        self.backend = backend
        self.client = TaskHubGrpcClient(host_address=backend.address, logger=_quiet, **client_options)
        self._workers: list[TaskHubGrpcWorker] = []
        self._channel = grpc.insecure_channel(backend.address)
        self.stub = stubs.TaskHubSidecarServiceStub(self._channel)
        """For what the SDK's client does not send."""

    @property
    def clock(self) -> VirtualClock:
        assert isinstance(self.backend.clock, VirtualClock)
        return self.backend.clock

    def worker(self, functions: Iterable[Any] = (), **options: Any) -> TaskHubGrpcWorker:
        """A worker with these functions, told apart by their first letters: `do_`, `Entity`, or an orchestrator."""
        worker = TaskHubGrpcWorker(host_address=self.backend.address, logger=_quiet, **options)
        for function in functions:
            if function.__name__.startswith("do_"):
                worker.add_activity(function)
            elif function.__name__.lower().startswith("entity"):
                worker.add_entity(function)
            else:
                worker.add_orchestrator(function)
        return worker

    def work(self, functions: Iterable[Any] = (), **options: Any) -> TaskHubGrpcWorker:
        """Start a worker with these functions."""
        return self.start(self.worker(functions, **options))

    def start(self, worker: TaskHubGrpcWorker) -> TaskHubGrpcWorker:
        """Start a worker, and stop it with the stage."""
        stop_promptly(worker).start()
        self._workers.append(worker)
        return worker

    def schedule(self, orchestrator: Any, value: Any = None, **options: Any) -> str:
        return self.client.schedule_new_orchestration(orchestrator, input=value, **options)

    def wait(self, instance_id: str) -> OrchestrationState:
        state = self.client.wait_for_orchestration_completion(instance_id, timeout=PATIENCE)
        assert state is not None
        return state

    def run(self, orchestrator: Any, value: Any = None, **options: Any) -> OrchestrationState:
        """Start an orchestration and wait for its end."""
        return self.wait(self.schedule(orchestrator, value, **options))

    def output(self, orchestrator: Any, value: Any = None, **options: Any) -> Any:
        """What an orchestration returns, which has to succeed."""
        state = self.run(orchestrator, value, **options)
        state.raise_if_failed()
        assert state.runtime_status.name == "COMPLETED", state
        return state.get_output()

    def history(self, instance_id: str, execution_id: str | None = None) -> list[pb.HistoryEvent]:
        """The events, as they are on the wire."""
        request = pb.StreamInstanceHistoryRequest(instanceId=instance_id)
        if execution_id is not None:
            request.executionId.value = execution_id
        return [event for chunk in self.stub.StreamInstanceHistory(request) for event in chunk.events]

    def kinds(self, instance_id: str) -> list[str]:
        """The types of the events in a history."""
        return [event.WhichOneof("eventType") for event in self.history(instance_id)]

    def answers(self) -> bool:
        """Whether the backend can be reached; a channel that has lost it tries again after a while only."""
        try:
            self.client.get_orchestration_state("any")
        except grpc.RpcError:
            return False
        return True

    def status(self, instance_id: str) -> str | None:
        state = self.client.get_orchestration_state(instance_id)
        return None if state is None else state.runtime_status.name

    def close(self) -> None:
        stopping = [threading.Thread(target=worker.stop) for worker in self._workers]
        for thread in stopping:
            thread.start()  # each finishes what it has begun
        for thread in stopping:
            thread.join()
        self.client.close()
        self._channel.close()


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


class RawWorker:
    """A worker that answers when a test says so."""

    def __init__(self, stage: Stage, **request: Any) -> None:
        self.channel = grpc.insecure_channel(stage.backend.address)
        self.stub = stubs.TaskHubSidecarServiceStub(self.channel)
        self.stream = self.stub.GetWorkItems(pb.GetWorkItemsRequest(**request))
        self.items: list[pb.WorkItem] = []
        self.pings = 0
        self.error: grpc.RpcError | None = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            for item in self.stream:
                if item.HasField("healthPing"):
                    self.pings += 1
                else:
                    self.items.append(item)
        except grpc.RpcError as error:
            self.error = error

    def next(self) -> pb.WorkItem:
        """The next item that it is sent."""
        until(lambda: self.items, "a work item")
        return self.items.pop(0)

    def complete(self, item: pb.WorkItem, *actions: pb.OrchestratorAction) -> None:
        """Answer to a turn."""
        self.stub.CompleteOrchestratorTask(
            pb.OrchestratorResponse(
                instanceId=item.orchestratorRequest.instanceId, actions=actions, completionToken=item.completionToken
            )
        )

    def finish(self, item: pb.WorkItem, result: str = '"done"') -> None:
        """Answer to a turn with the orchestration's end."""
        self.complete(item, completed(result))

    def cut(self) -> None:
        """End the stream, as a worker does that stops: the channel stays open."""
        self.stream.cancel()
        self._reader.join()

    def close(self) -> None:
        self.cut()
        self.channel.close()


def completed(result: str = '"done"', status: int = pb.ORCHESTRATION_STATUS_COMPLETED) -> pb.OrchestratorAction:
    action = pb.OrchestratorAction(id=99)
    action.completeOrchestration.orchestrationStatus = status
    action.completeOrchestration.result.value = result
    return action


def scheduled(task_id: int, name: str) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=task_id, scheduleTask=pb.ScheduleTaskAction(name=name))


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    """Why a call is refused, which it has to be."""
    with pytest.raises(grpc.RpcError) as error:
        call(*args, **kwargs)
    return error.value.code(), error.value.details()
