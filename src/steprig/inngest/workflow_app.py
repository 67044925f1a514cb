"""An app of the SDK on the event loop of a test, which knows what its functions do and raise."""

import asyncio
import copy
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from functools import cache
from typing import Any

import inngest
import msgspec
from aiohttp import web

from steprig.kernel.workflow_runner import adopt
from steprig.live.listening import end_listening

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what it has of pydantic
    from inngest._internal import comm_lib, const, server_lib, transforms  # what the SDK's own adapters are made of

_PATH = "/api/inngest"

Raised = tuple[str | None, Exception]
"""The id of a step, or None for the function itself, and what it has raised."""


class Calls:
    """The calls of functions: in whose context they run, which are under way, and what they have raised.

    Args:
        function_id: Of the function that is run; others may be called besides.
    """

    def __init__(self, function_id: str) -> None:
        self._function_id = function_id
        self._runs: dict[str, tuple[Context, list[Raised]]] = {}
        self._under_way: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    def expect(self, event_id: str, context: Context) -> list[Raised]:
        """Have a run that an event starts go in a context. Returns what it raises, as it raises it."""
        raised: list[Raised] = []
        self._runs[event_id] = (context, raised)
        return raised

    def forget(self, event_id: str) -> None:
        """The run has ended."""
        del self._runs[event_id]

    def of(self, event: inngest.Event, function_id: str) -> tuple[Context, list[Raised]]:
        """The context of a call, and where to note what it raises.

        For what a run has started besides, and for a function that was invoked, the context is that of the only run
        that there is.
        """
        only = next(iter(self._runs.values())) if len(self._runs) == 1 else (Context(), [])
        context, raised = self._runs.get(event.id, only)
        is_run_itself = function_id == self._function_id and event.name != "inngest/function.failed"
        return context, raised if is_run_itself else []

    async def make(self, run_id: str, call: Awaitable[comm_lib.CommResponse]) -> comm_lib.CommResponse:
        """Make a call that `cancel` can stop."""
        task = asyncio.ensure_future(call)
        self._under_way[run_id].add(task)
        try:
            return await task
        finally:
            self._under_way[run_id].discard(task)
            if not self._under_way[run_id]:
                del self._under_way[run_id]

    def cancel(self, run_id: str) -> None:
        """Stop the calls of a run. One of a function that is not async goes on in its thread."""
        for task in [*self._under_way.get(run_id, ())]:
            task.cancel()


def client_of(given: inngest.Inngest | None, app_id: str, origin: str, calls: Calls) -> inngest.Inngest:
    """A client that talks to a dev server at `origin`, and is otherwise as the given one."""
    client = copy.copy(_pattern())
    client.app_id = app_id
    client._api_origin = client._event_api_origin = origin
    client.middleware = [_observer(calls), *(given.middleware if given is not None else ())]
    if given is not None:
        client.logger, client._serializer, client._app_version = given.logger, given._serializer, given._app_version
    return client


@cache
def _pattern() -> inngest.Inngest:
    """The client that others are copied from: to make one takes a tenth of a second, as it reads certificates twice."""
    client = inngest.Inngest(app_id="steprig", is_production=False)
    for pooled in (client._http_client._http_client, client._http_client._http_client_sync):
        # The SDK never closes them: the garbage collector would find the sockets that they keep.
        pooled.headers["Connection"] = "close"
    return client


def _observer(calls: Calls) -> Callable[[inngest.Inngest, object], inngest.MiddlewareSync]:
    class Observer(inngest.MiddlewareSync):
        raised: list[Raised]

        def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
            context, self.raised = calls.of(ctx.event, function.id)
            adopt(context)

        def transform_output(self, result: inngest.TransformOutputResult) -> None:
            if result.error is not None:
                self.raised.append((result.step.id if result.step is not None else None, result.error))

    return Observer


@asynccontextmanager
async def serving(
    client: inngest.Inngest, functions: Sequence[inngest.Function[Any]], calls: Calls
) -> AsyncIterator[str]:
    """Serve functions on the running loop, on a free port. Gives the URL."""
    handler = comm_lib.CommHandler(
        client=client,
        enable_unauthed_sync=None,
        framework=server_lib.Framework.FAST_API,
        functions=[*functions],
        streaming=const.Streaming.DISABLE,
    )

    async def post(request: web.Request) -> web.Response:
        body = await request.read()
        call = handler.post(_request(request, body))
        return _response(await calls.make(msgspec.json.decode(body)["ctx"]["run_id"], call))

    async def put(request: web.Request) -> web.Response:
        return _response(await handler.put(_request(request, await request.read())))

    app = web.Application(client_max_size=0)
    app.add_routes([web.post(_PATH, post), web.put(_PATH, put)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        assert runner.server is not None, "it was set up"
        listening = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}{_PATH}"
        finally:
            await end_listening([listening])
    finally:
        await runner.cleanup()


def _request(request: web.Request, body: bytes) -> comm_lib.CommRequest:
    return comm_lib.CommRequest(
        body=body,
        headers={name.lower(): value for name, value in request.headers.items()},
        public_path=None,
        query_params=dict(request.query),
        raw_request=request,
        request_url=str(request.url),
        serve_origin=str(request.url.origin()),  # and not what the environment says of the application
        serve_path=_PATH,
    )


def _response(answer: comm_lib.CommResponse) -> web.Response:
    body = transforms.dump_json(answer.body)
    if isinstance(body, Exception):  # a function has returned what is no JSON
        raise body
    return web.Response(body=body.encode(), headers=answer.headers, status=answer.status_code)
