"""The service: every call of the protocol, and who answers it."""

import re
from collections.abc import Callable
from typing import Any

from steprig.durabletask import instance_view
from steprig.durabletask.engine import Engine
from steprig.durabletask.grpc_server import Call, Method
from steprig.durabletask.pb import SERVICE, DecodeError, pb
from steprig.durabletask.problems import RefusedError, invalid, stopping
from steprig.durabletask.records import InstanceId
from steprig.durabletask.rpc_entities import EntityRpcs
from steprig.durabletask.rpc_instances import InstanceRpcs
from steprig.durabletask.rpc_listings import ListingRpcs
from steprig.durabletask.rpc_workers import WorkerRpcs
from steprig.durabletask.state import InstanceState

_Parse = Callable[[bytes], Any]


class HubRpcs:
    """The calls about the task hub itself, of which there is one."""

    def hello(self, request: object) -> bytes:
        """A worker's first call."""
        return b""

    def create_task_hub(self, request: pb.CreateTaskHubRequest) -> pb.CreateTaskHubResponse:
        """It is there already."""
        return pb.CreateTaskHubResponse()

    def delete_task_hub(self, request: pb.DeleteTaskHubRequest) -> pb.DeleteTaskHubResponse:
        """It stays there."""
        return pb.DeleteTaskHubResponse()


def methods(engine: Engine) -> dict[str, Method]:
    """All calls by their full names, answered by an engine."""
    groups = (
        HubRpcs(),
        InstanceRpcs(engine),
        ListingRpcs(engine),
        EntityRpcs(engine),
        WorkerRpcs(engine),
    )
    found: dict[str, Method] = {}
    for method in pb.DESCRIPTOR.services_by_name[SERVICE].methods:
        parse = _parsing(method.input_type._concrete_class.FromString, method.name)
        answering = _answering(engine, groups, method.name, parse)
        if not method.name.startswith(_OF_WORK):
            answering = _while_it_runs(engine, answering)
        found[f"/{SERVICE}/{method.name}"] = _refusing(answering)
    return found


_OF_WORK = ("Complete", "Abandon")
"""What workers say of work that they were given. They have no use for an error there, whenever they say it."""


def _answering(engine: Engine, groups: tuple[object, ...], name: str, parse: _Parse) -> Method:
    if name == "GetWorkItems":
        return _work_items(engine, parse)
    if name == "StreamInstanceHistory":
        return _history(ListingRpcs(engine), parse)
    answer = _answers_of(groups, name)
    return _waiting(engine, parse, answer) if name.startswith("WaitFor") else _at_once(parse, answer)


def snake_case(name: str) -> str:
    """The name of the method that answers a call."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _answers_of(groups: tuple[object, ...], name: str) -> Callable[..., Any]:
    found = [getattr(group, snake_case(name)) for group in groups if hasattr(group, snake_case(name))]
    (answer,) = found
    return answer  # type: ignore[no-any-return]


def _parsing(parse: _Parse, name: str) -> _Parse:
    def parsed(message: bytes) -> Any:
        try:
            return parse(message)
        except DecodeError as error:
            raise invalid(f"the request of {name} is no message of its type: {error}") from error

    return parsed


def _while_it_runs(engine: Engine, method: Method) -> Method:
    """What begins now would be left behind, on a clock that may outlive the engine."""

    def handle(call: Call, message: bytes) -> None:
        if engine.is_stopped:
            raise stopping()
        method(call, message)

    return handle


def _refusing(method: Method) -> Method:
    def handle(call: Call, message: bytes) -> None:
        try:
            method(call, message)
        except RefusedError as problem:
            call.fail(problem.status, problem.message)

    return handle


def _at_once(parse: _Parse, answer: Callable[[Any], Any]) -> Method:
    def handle(call: Call, message: bytes) -> None:
        response = answer(parse(message))
        call.reply(response if isinstance(response, bytes) else response.SerializeToString())

    return handle


class _WaitingCall:
    """See `Waiter`."""

    def __init__(self, call: Call, *, payloads: bool) -> None:
        self._call = call
        self._payloads = payloads

    def told(self, state: InstanceState | None) -> None:
        self._call.reply(instance_view.response(state, payloads=self._payloads).SerializeToString())

    def refused(self, problem: RefusedError) -> None:
        self._call.fail(problem.status, problem.message)


def _waiting(engine: Engine, parse: _Parse, wait: Callable[[Any, _WaitingCall], None]) -> Method:
    def handle(call: Call, message: bytes) -> None:
        request: pb.GetInstanceRequest = parse(message)
        waiter = _WaitingCall(call, payloads=request.getInputsAndOutputs)
        instance_id = InstanceId(request.instanceId)
        call.on_cancel = lambda: engine.waiters.forget(instance_id, waiter)
        wait(request, waiter)

    return handle


def _work_items(engine: Engine, parse: _Parse) -> Method:
    def handle(call: Call, message: bytes) -> None:
        dispatcher = engine.dispatcher
        stream = dispatcher.connect(parse(message), call)
        call.on_cancel = lambda: dispatcher.disconnect(stream)
        call.on_ready = dispatcher.rouse
        call.begin()

    return handle


def _history(listings: ListingRpcs, parse: _Parse) -> Method:
    def handle(call: Call, message: bytes) -> None:
        for chunk in listings.stream_instance_history(parse(message)):
            call.send(chunk)
        call.end()

    return handle
