"""Lambda's Runtime API, through which a process fetches its invocations and answers them."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from steprig.aws.hosting.bootstrap import LIFELINE
from steprig.aws.hosting.replies import Reply
from steprig.live import UvicornTestServer

_PREFIX = "/2018-06-01/runtime"
_ACCEPTED = {"status": "OK"}


class RuntimeInvocation(NamedTuple):
    """What a process is handed."""

    request_id: str
    event: bytes
    headers: dict[str, str]


class RuntimeApi:
    """The Runtime API of one process, which has one invocation at a time. On a port of its own, as runtimes expect.

    Args:
        report: Called with the id of an invocation and the answer to it; with None for the id when the process could
            not even begin.
        ready: Called whenever the process asks for an invocation.
    """

    def __init__(
        self, report: Callable[[str | None, Reply], object], ready: Callable[[], object] = lambda: None
    ) -> None:
        self.asked = 0
        """How often the process has asked for an invocation."""
        self.handed_out: str | None = None
        """The id of the last invocation that it was given."""
        self._report = report
        self._ready = ready
        self._lock = threading.Lock()
        self._current: str | None = None
        self._offered: asyncio.Queue[RuntimeInvocation] = asyncio.Queue()
        self._closing = asyncio.Event()
        routes = [
            Route(f"{_PREFIX}/invocation/next", self._next, methods=["GET"]),
            Route(f"{_PREFIX}/invocation/{{request_id}}/response", self._response, methods=["POST"]),
            Route(f"{_PREFIX}/invocation/{{request_id}}/error", self._error, methods=["POST"]),
            Route(f"{_PREFIX}/init/error", self._init_error, methods=["POST"]),
            Route(LIFELINE, self._lifeline, methods=["GET"]),
        ]
        self._server = UvicornTestServer(Starlette(routes=routes), lifespan="off")

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._server.host}:{self._server.port}"

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Listen no more. The process must have ended, or it is cut off."""
        with suppress(RuntimeError):  # it does not run
            self._server.loop.call_soon_threadsafe(self._closing.set)
        self._server.stop()

    def offer(self, invocation: RuntimeInvocation) -> None:
        """Hand the process its next invocation."""
        with self._lock:
            self._current = invocation.request_id
        self._server.loop.call_soon_threadsafe(self._offered.put_nowait, invocation)

    async def _next(self, request: Request) -> Response:
        self.asked += 1
        self._ready()
        offered = asyncio.create_task(self._offered.get())
        closing, left = asyncio.create_task(self._closing.wait()), asyncio.create_task(_left(request))
        await asyncio.wait({offered, closing, left}, return_when=asyncio.FIRST_COMPLETED)
        for task in (offered, closing, left):
            task.cancel()
        if left.done() and offered.done():
            self._offered.put_nowait(offered.result())
        if left.done() or not offered.done():
            return JSONResponse({"errorMessage": "the service was stopped", "errorType": "Shutdown"}, 410)
        invocation = offered.result()
        self.handed_out = invocation.request_id
        return Response(invocation.event, 200, invocation.headers, "application/json")

    async def _response(self, request: Request) -> Response:
        return await self._take(request, is_error=False)

    async def _error(self, request: Request) -> Response:
        return await self._take(request, is_error=True)

    async def _take(self, request: Request, *, is_error: bool) -> Response:
        request_id: str = request.path_params["request_id"]
        with self._lock:
            is_current = self._current == request_id
            self._current = None if is_current else self._current
        if not is_current:
            told = {"errorMessage": f"{request_id} is no invocation under way", "errorType": "InvalidRequestID"}
            return JSONResponse(told, 400)
        self._report(request_id, Reply(200, await request.body(), is_error))
        return JSONResponse(_ACCEPTED, 202)

    async def _lifeline(self, request: Request) -> Response:
        """See `bootstrap`."""
        del request
        await self._closing.wait()
        return Response(status_code=204)

    async def _init_error(self, request: Request) -> Response:
        self._report(None, Reply(200, await request.body(), is_error=True))
        return JSONResponse(_ACCEPTED, 202)


async def _left(request: Request) -> None:
    """Return when the process no longer waits for the answer, so that it takes no invocation with it."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
