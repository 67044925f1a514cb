"""What workers do: take work, answer, give it back."""

from steprig.durabletask.engine import Engine
from steprig.durabletask.pb import pb


class WorkerRpcs:
    """The calls of workers. An answer that nobody waits for is taken, and changes nothing: a worker has no use for
    an error there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def complete_orchestrator_task(self, response: pb.OrchestratorResponse) -> pb.CompleteTaskResponse:
        """A turn's actions."""
        self._engine.complete_turn(response)
        return pb.CompleteTaskResponse()

    def complete_activity_task(self, response: pb.ActivityResponse) -> pb.CompleteTaskResponse:
        """An activity's result."""
        self._engine.activities.complete(response)
        return pb.CompleteTaskResponse()

    def complete_entity_task(self, result: pb.EntityBatchResult) -> pb.CompleteTaskResponse:
        """The results of operations."""
        self._engine.entities.complete(result)
        return pb.CompleteTaskResponse()

    def abandon_task_orchestrator_work_item(
        self, request: pb.AbandonOrchestrationTaskRequest
    ) -> pb.AbandonOrchestrationTaskResponse:
        """A worker gives a turn back."""
        self._engine.dispatcher.abandon(request.completionToken)
        return pb.AbandonOrchestrationTaskResponse()

    def abandon_task_activity_work_item(self, request: pb.AbandonActivityTaskRequest) -> pb.AbandonActivityTaskResponse:
        """A worker gives an activity back."""
        self._engine.dispatcher.abandon(request.completionToken)
        return pb.AbandonActivityTaskResponse()

    def abandon_task_entity_work_item(self, request: pb.AbandonEntityTaskRequest) -> pb.AbandonEntityTaskResponse:
        """A worker gives operations back."""
        self._engine.dispatcher.abandon(request.completionToken)
        return pb.AbandonEntityTaskResponse()
