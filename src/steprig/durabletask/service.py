"""The service: every call of the protocol, and who answers it."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from steprig.durabletask.engine import Engine
from steprig.durabletask.pb import SERVICE, aio, grpc, pb
from steprig.durabletask.problems import RefusedError
from steprig.durabletask.rpc_entities import EntityRpcs
from steprig.durabletask.rpc_instances import InstanceRpcs
from steprig.durabletask.rpc_listings import ListingRpcs
from steprig.durabletask.rpc_workers import WorkerRpcs

_log = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Any]
"""Takes a request and a gRPC context."""


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


def service(engine: Engine) -> grpc.GenericRpcHandler:
    """All calls, answered by an engine."""
    groups = (
        HubRpcs(),
        InstanceRpcs(engine),
        ListingRpcs(engine),
        EntityRpcs(engine),
        WorkerRpcs(engine),
    )
    handlers: dict[str, object] = {}
    for method in pb.DESCRIPTOR.services_by_name[SERVICE].methods:
        parse = method.input_type._concrete_class.FromString
        if method.name == "GetWorkItems":
            handlers[method.name] = grpc.unary_stream_rpc_method_handler(_work_items(engine), parse)
        elif method.name == "StreamInstanceHistory":
            handlers[method.name] = grpc.unary_stream_rpc_method_handler(_history(ListingRpcs(engine)), parse)
        else:
            answer = _answers_of(groups, method.name)
            wrap = _waiting if method.name.startswith("WaitFor") else _at_once
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(wrap(answer), parse)
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def snake_case(name: str) -> str:
    """The name of the method that answers a call."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _answers_of(groups: tuple[object, ...], name: str) -> Callable[[Any], Any]:
    found = [getattr(group, snake_case(name)) for group in groups if hasattr(group, snake_case(name))]
    (answer,) = found
    return answer  # type: ignore[no-any-return]


def _at_once(answer: Callable[[Any], Any]) -> Handler:
    async def handle(request: object, context: Any) -> bytes:
        try:
            response = answer(request)
        except RefusedError as problem:
            await context.abort(problem.code, problem.message)
            raise
        return response if isinstance(response, bytes) else response.SerializeToString()

    return handle


def _waiting(answer: Callable[[Any], Awaitable[Any]]) -> Handler:
    async def handle(request: object, context: Any) -> bytes:
        try:
            response = await answer(request)
        except RefusedError as problem:
            await context.abort(problem.code, problem.message)
            raise
        return response.SerializeToString()  # type: ignore[no-any-return]

    return handle


def _work_items(engine: Engine) -> Handler:
    async def handle(request: pb.GetWorkItemsRequest, context: Any) -> None:
        """Written one by one, without an iterator in between: this is the hottest path of all."""
        dispatcher = engine.dispatcher
        stream = dispatcher.connect(request)
        try:
            while (item := await stream.next(dispatcher.take)) is not None:
                await context.write(item)
        except aio.BaseError as error:
            _log.debug("a worker's stream broke: %s", error)
        finally:
            dispatcher.disconnect(stream)

    return handle


def _history(listings: ListingRpcs) -> Handler:
    async def handle(request: pb.StreamInstanceHistoryRequest, context: Any) -> AsyncIterator[bytes]:
        try:
            chunks = list(listings.stream_instance_history(request))
        except RefusedError as problem:
            await context.abort(problem.code, problem.message)
            raise
        for chunk in chunks:
            yield chunk

    return handle
