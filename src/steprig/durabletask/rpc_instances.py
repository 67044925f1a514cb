"""What clients do with orchestrations: start, look, wait, tell, end."""

from datetime import datetime

from steprig.durabletask import history, instance_view, problems
from steprig.durabletask.creating import NewInstance, again
from steprig.durabletask.engine import Engine
from steprig.durabletask.instances import Instance
from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import pb
from steprig.durabletask.records import ExecutionId, InstanceId
from steprig.durabletask.waiters import Reached, Waiter
from steprig.durabletask.wire import moment


class InstanceRpcs:
    """The calls about one orchestration each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start_instance(self, request: pb.CreateInstanceRequest) -> pb.CreateInstanceResponse:
        """Begin an orchestration.

        Raises:
            RefusedError: Its name is empty, its id is an entity's, or taken by one that may not be replaced.
        """
        if not request.name:
            raise problems.invalid("the name of the orchestration to start is empty")
        if request.instanceId.startswith("@"):
            raise problems.invalid(
                f"the instance id '{request.instanceId}' begins with '@', as only those of entities do"
            )
        old = self._engine.instances.get(request.instanceId)
        if old is not None and int(old.state.status) not in request.orchestrationIdReusePolicy.replaceableStatus:
            raise problems.instance_exists(request.instanceId, old.state.status)
        new = NewInstance(
            instance_id=InstanceId(request.instanceId or self._engine.new_id()),
            name=request.name,
            version=request.version.value if request.HasField("version") else None,
            input=request.input.value if request.HasField("input") else None,
            tags=dict(request.tags),
            trace_context=request.parentTraceContext if request.HasField("parentTraceContext") else None,
            start_at=self._start_at(request),
            execution_id=ExecutionId(request.executionId.value) if request.executionId.value else None,
        )
        self._engine.create(new)
        return pb.CreateInstanceResponse(instanceId=new.instance_id)

    @staticmethod
    def _start_at(request: pb.CreateInstanceRequest) -> datetime | None:
        return moment(request.scheduledStartTimestamp) if request.HasField("scheduledStartTimestamp") else None

    def get_instance(self, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
        """How far an orchestration is."""
        instance = self._engine.instances.get(request.instanceId)
        state = None if instance is None else instance.state
        return instance_view.response(state, payloads=request.getInputsAndOutputs)

    def wait_for_instance_start(self, request: pb.GetInstanceRequest, waiter: Waiter) -> None:
        """Tell of the orchestration as soon as it is not pending any more."""
        self._wait(request, waiter, lambda state: state.status is not OrchestrationStatus.PENDING)

    def wait_for_instance_completion(self, request: pb.GetInstanceRequest, waiter: Waiter) -> None:
        """Tell of the orchestration as soon as it is over."""
        self._wait(request, waiter, lambda state: state.status.is_terminal)

    def _wait(self, request: pb.GetInstanceRequest, waiter: Waiter, reached: Reached) -> None:
        instance = self._engine.instances.get(request.instanceId)
        if instance is not None and reached(instance.state):
            waiter.told(instance.state)
        else:
            self._engine.waiters.add(InstanceId(request.instanceId), reached, waiter)

    def raise_event(self, request: pb.RaiseEventRequest) -> pb.RaiseEventResponse:
        """Tell an orchestration an event.

        Raises:
            RefusedError: There is none, or the event has no name.
        """
        if not request.name:
            raise problems.invalid("the name of the event to raise is empty")
        data = request.input.value if request.HasField("input") else None
        self._engine.raise_event(self._find(request.instanceId), request.name, data)
        return pb.RaiseEventResponse()

    def terminate_instance(self, request: pb.TerminateRequest) -> pb.TerminateResponse:
        """End an orchestration, and those below it if asked. One that does not exist, or is over, stays so."""
        instance = self._engine.instances.get(request.instanceId)
        if instance is not None:
            output = request.output.value if request.HasField("output") else None
            self._engine.terminate(instance, output, recurse=request.recursive)
        return pb.TerminateResponse()

    def suspend_instance(self, request: pb.SuspendRequest) -> pb.SuspendResponse:
        """Have an orchestration stand still. Raises RefusedError when there is none."""
        instance = self._find(request.instanceId)
        if not instance.state.status.is_terminal and instance.state.status is not OrchestrationStatus.SUSPENDED:
            now = self._engine.clock.stamp()
            reason = request.reason.value if request.HasField("reason") else None
            self._engine.control(instance, history.execution_suspended(now, reason), now)
        return pb.SuspendResponse()

    def resume_instance(self, request: pb.ResumeRequest) -> pb.ResumeResponse:
        """Have a suspended orchestration go on. Raises RefusedError when there is none."""
        instance = self._find(request.instanceId)
        state = instance.state
        if not state.status.is_terminal and (state.status is OrchestrationStatus.SUSPENDED or state.controls):
            now = self._engine.clock.stamp()
            reason = request.reason.value if request.HasField("reason") else None
            self._engine.control(instance, history.execution_resumed(now, reason), now)
        return pb.ResumeResponse()

    def rewind_instance(self, request: pb.RewindInstanceRequest) -> pb.RewindInstanceResponse:
        """Have a failed orchestration go back to where it failed.

        Raises:
            RefusedError: There is none, or it has not failed.
        """
        instance = self._find(request.instanceId)
        if instance.state.status is not OrchestrationStatus.FAILED:
            raise problems.not_failed(request.instanceId, instance.state.status)
        self._engine.families.rewind(instance, request.reason.value if request.HasField("reason") else None)
        return pb.RewindInstanceResponse()

    def restart_instance(self, request: pb.RestartInstanceRequest) -> pb.RestartInstanceResponse:
        """Begin an orchestration anew that is over, with what it was given at first.

        Raises:
            RefusedError: There is none, or it goes on.
        """
        instance = self._find(request.instanceId)
        if not instance.state.status.is_terminal:
            raise problems.not_ended(request.instanceId, instance.state.status)
        instance_id = self._engine.new_id() if request.restartWithNewInstanceId else request.instanceId
        self._engine.create(again(instance.state, InstanceId(instance_id)))
        return pb.RestartInstanceResponse(instanceId=instance_id)

    def skip_graceful_orchestration_terminations(
        self, request: pb.SkipGracefulOrchestrationTerminationsRequest
    ) -> pb.SkipGracefulOrchestrationTerminationsResponse:
        """End orchestrations without asking a worker. Returns those that there are not."""
        unknown = []
        for instance_id in request.instanceBatch.instanceIds:
            instance = self._engine.instances.get(instance_id)
            if instance is None:
                unknown.append(instance_id)
            else:
                self._engine.terminate(instance, None, recurse=False)
        return pb.SkipGracefulOrchestrationTerminationsResponse(unterminatedInstanceIds=unknown)

    def _find(self, instance_id: str) -> Instance:
        instance = self._engine.instances.get(instance_id)
        if instance is None:
            raise problems.unknown_instance(instance_id)
        return instance
