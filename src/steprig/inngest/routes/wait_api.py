"""Waiting without polling (`/steprig/...`): an answer comes when what is asked for is there.

Not of the real dev server. A response header tells clients that they may wait here.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from anyio import create_task_group
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from steprig.inngest.platform import InngestPlatform
from steprig.inngest.records import RunQueued
from steprig.inngest.routes.answers import failure
from steprig.kernel import Record, Run, RunNotReachedError, Status, Stream

_LONGEST_WAIT = 600.0
_SHOWN = tuple(status.name for status in Status)


def wait_routes(platform: InngestPlatform) -> list[Route]:
    """The routes on which clients wait.

    - `GET /steprig/runs/{id}/wait?status=COMPLETED,FAILED` until the run has one of these statuses;
      `?step=<name>&occurrence=<n>` until that step has output; without either, until its app was called.
      In every case also when the run has ended. With `skip_deadlines=1` a virtual clock may jump to deadlines.
    - `GET /steprig/events/{id}/wait?runs=<n>` until the event has started so many runs.

    Each takes `timeout`, in seconds, after which it answers as well. The answer is a stream of one server-sent event.
    """

    async def wait_for_run(request: Request) -> Response:
        try:
            timeout, reached = _timeout(request.query_params), _reached(request.query_params)
        except ValueError as error:
            return failure(400, str(error))
        run_id, skip_deadlines = request.path_params["id"], request.query_params.get("skip_deadlines") == "1"

        async def wait() -> object:
            with platform.rig.clock.awaiting_result(skip_deadlines=skip_deadlines):
                run = await _until(platform, run_id, reached, timeout)
            return {"id": run_id, "status": None if run is None else run.status.name}

        return Announcement(wait)

    async def wait_for_runs(request: Request) -> Response:
        try:
            timeout, count = _timeout(request.query_params), _number(request.query_params, "runs", 1)
        except ValueError as error:
            return failure(400, str(error))
        event_id = request.path_params["id"]

        async def wait() -> object:
            with platform.rig.clock.awaiting_result():
                return {"id": event_id, "runs": await _runs_of(platform, event_id, count, timeout)}

        return Announcement(wait)

    return [
        Route("/steprig/runs/{id}/wait", wait_for_run, methods=["GET"]),
        Route("/steprig/events/{id}/wait", wait_for_runs, methods=["GET"]),
    ]


class Announcement(Response):
    """Awaits something, then sends it, unless the client has gone away meanwhile: then the waiting ends.

    It goes out as an event stream, headers first: the server knows such a one as something that does not end by
    itself, and does not wait for it at shutdown.

    Args:
        work: What to await; its result is sent as JSON.
    """

    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        headers = [header for header in self.raw_headers if header[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body: bytes | None = None
        async with create_task_group() as group:

            async def hang_up_with_client() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(hang_up_with_client)
            body = b"data: " + msgspec.json.encode(await self._work()) + b"\n\n"
            group.cancel_scope.cancel()
        if body is not None:
            await send({"type": "http.response.body", "body": body})


async def _until(platform: InngestPlatform, run_id: str, reached: Callable[[Run], bool], timeout: float) -> Run | None:
    try:
        return await platform.timeline.until(run_id, reached, timeout=timeout)
    except RunNotReachedError:
        return platform.timeline.run(run_id)


async def _runs_of(platform: InngestPlatform, event_id: str, count: int, timeout: float) -> list[str]:
    bell = _Bell(event_id)
    stop_listening = platform.rig.journal.listen(bell)
    try:
        async with asyncio.timeout(timeout):
            while len(runs := platform.engine.index.runs_of(event_id)) < count:
                await bell.rings()
    except TimeoutError:
        runs = platform.engine.index.runs_of(event_id)
    finally:
        stop_listening()
    return [*runs]


class _Bell:
    """Rings when an event starts a run. It listens to the journal, so whoever appends only sets it off."""

    def __init__(self, event_id: str) -> None:
        self._event_id = event_id
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    async def rings(self) -> None:
        await self._rung.wait()
        self._rung.clear()

    def appended(self, record: Record) -> None:
        entry = record.entry
        if isinstance(entry, RunQueued) and any(event.internal_id == self._event_id for event in entry.events):
            self._loop.call_soon_threadsafe(self._rung.set)

    def dropped(self, stream: Stream) -> None:
        """Nothing starts by being forgotten."""


def _reached(parameters: QueryParams) -> Callable[[Run], bool]:
    if (asked := parameters.get("status")) is not None:
        wanted = {_status(name) for name in asked.split(",")}
        return lambda run: run.status in wanted or run.status.ended
    if (step := parameters.get("step")) is not None:
        occurrence = _number(parameters, "occurrence", 1)
        return lambda run: run.status.ended or _has_output(run, step, occurrence)
    return lambda run: run.status is not Status.QUEUED


def _has_output(run: Run, name: str, occurrence: int) -> bool:
    named = [span for span in run.spans if span.name == name][occurrence - 1 :]
    return bool(named) and (named[0].output is not None or named[0].failure is not None)


def _status(name: str) -> Status:
    if name not in _SHOWN:
        raise ValueError(f"status is {name!r}; expected one or more of {', '.join(_SHOWN)}")
    return Status[name]


def _timeout(parameters: QueryParams) -> float:
    text = parameters.get("timeout", "20")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"timeout is {text!r}; expected seconds, such as 2.5")
    return min(seconds, _LONGEST_WAIT)


def _number(parameters: QueryParams, name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is {text!r}; expected a whole number")
    return int(text)
