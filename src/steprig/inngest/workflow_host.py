"""What one Inngest function runs on as a workflow: a dev server with a virtual clock, and the function's app."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import inngest
import msgspec

from steprig.inngest.client import DevServerClient
from steprig.inngest.dev_server import DevServer
from steprig.inngest.projection import FUNCTION_SPAN
from steprig.inngest.workflow_app import Calls, Raised, client_of, serving
from steprig.inngest.workflow_runner import InngestWorkflow
from steprig.kernel import Run, Status, VirtualClock, WorkflowInputError, WorkflowReport

logger = logging.getLogger("steprig.workflows")

_FOREVER = 1e6
"""Seconds. Who asks for the run limits it."""


@asynccontextmanager
async def hosted(workflow: InngestWorkflow) -> AsyncIterator["WorkflowHost"]:
    """Start what a workflow runs on, and end it."""
    app_id = workflow.function.id.removesuffix(f"-{workflow.function.local_id}")
    calls = Calls(workflow.function.id)
    async with AsyncExitStack() as started:
        clock = started.enter_context(VirtualClock())
        server = await asyncio.to_thread(DevServer(clock=clock).start)
        started.push_async_callback(asyncio.to_thread, server.stop)
        client = client_of(workflow.client, app_id, server.origin, calls)
        url = await started.enter_async_context(serving(client, workflow.functions, calls))
        await asyncio.to_thread(server.sync, url)
        yield WorkflowHost(workflow, server, clock, client, calls)


class WorkflowHost:
    """Runs the function, also several times at once.

    Args:
        workflow: What to run.
        server: The dev server that its app is registered with.
        clock: The server's.
        client: The app's.
        calls: The app's.
    """

    def __init__(
        self, workflow: InngestWorkflow, server: DevServer, clock: VirtualClock, client: inngest.Inngest, calls: Calls
    ) -> None:
        self._function = workflow.function
        self._event = workflow.event
        self._server = server
        self._clock = clock
        self._client = client
        self._calls = calls

    async def run(self, inputs: Mapping[str, Any], run: WorkflowReport) -> None:
        """Run it once. See `WorkflowRunner.run`."""
        data, name = _as_json(inputs), self._event_name()
        raised = self._calls.expect(run.id, run.context)
        try:
            run_id = await self._start(name, data, run.id)
            try:
                await self._wait_for_end(run_id)
            finally:
                self._tell(run_id, raised, run)
        finally:
            self._calls.forget(run.id)

    def _tell(self, run_id: str, raised: Sequence[Raised], run: WorkflowReport) -> None:
        """Tell of a run that has ended, or was stopped."""
        ended = self._server.timeline.run(run_id)
        assert ended is not None
        own = next((error for step, error in reversed(raised) if step is None), None)
        run.ended(
            msgspec.structs.replace(ended, spans=tuple(span for span in ended.spans if span.id != FUNCTION_SPAN)),
            name=self._function.local_id,
            raised=_by_span(ended, raised),
            own=None if isinstance(own, inngest.StepError) else own,
        )

    def _event_name(self) -> str | None:
        """Of the event that starts the function; None for one that is invoked."""
        if self._event is not None:
            return self._event
        config = self._function.get_config("http://none").main
        names = [trigger.event for trigger in config.triggers if isinstance(trigger, inngest.TriggerEvent)]
        if names and "*" in names[0]:
            raise WorkflowInputError(
                f"the function {self._function.local_id!r} is started by events such as {names[0]!r}; say which: "
                f"InngestWorkflow(function, event={names[0].replace('*', 'one')!r})"
            )
        return names[0] if names else None

    async def _start(self, name: str | None, data: dict[str, Any], run_id: str) -> str:
        if name is None:
            event_id = await self._invoke(data)
        else:
            event = inngest.Event(name=name, data=data, id=run_id)
            (event_id,) = await self._client.send(event, skip_middleware=True)
        if not (runs := self._server.runs_of(event_id)) and self._starts_later():
            runs = await DevServerClient(self._server.origin).get_run_ids_from_event_id(event_id, timeout=_FOREVER)
        mine = [each for each in runs if self._is_of_function(each)]
        if not mine:
            raise WorkflowInputError(
                f"the event {name!r} with the data {data!r} starts no run of {self._function.local_id!r}: look at the "
                "expression of its trigger, and at its idempotency, rate limit and singleton, which also count the "
                "runs that this test has had before"
            )
        return mine[0]

    async def _invoke(self, data: dict[str, Any]) -> str:
        async with (
            aiohttp.ClientSession(self._server.origin) as http,
            http.post(f"/invoke/{self._function.id}", json={"data": data}, raise_for_status=True) as answer,
        ):
            return str((await answer.json())["id"])

    def _starts_later(self) -> bool:
        config = self._function.get_config("http://none").main
        return config.debounce is not None or config.batch_events is not None

    def _is_of_function(self, run_id: str) -> bool:
        run = self._server.timeline.run(run_id)
        return run is not None and run.name == self._function.id

    async def _wait_for_end(self, run_id: str) -> None:
        try:
            with self._clock.awaiting_result(skip_deadlines=True):
                run = await self._until_ended(run_id)
                if run.status is Status.FAILED and self._function.on_failure_fn_id is not None:
                    await self._server_is_at_rest()
                    for failure_run in self._runs_on_failure(run_id):
                        await self._until_ended(failure_run)
        except BaseException:
            await asyncio.shield(self._cancel(run_id))
            raise

    async def _until_ended(self, run_id: str) -> Run:
        return await self._server.timeline.until(run_id, lambda run: run.status.ended, timeout=_FOREVER)

    async def _server_is_at_rest(self) -> None:
        """Wait for what a run's end leads to: all in one turn of the server's loop, which answers nobody before."""
        async with aiohttp.ClientSession(self._server.origin) as http, http.get("/dev"):
            pass

    def _runs_on_failure(self, run_id: str) -> Sequence[str]:
        """The runs of the function's `on_failure` that the end of a run has started."""
        runs = (run for run in self._server.timeline.runs() if run.name == self._function.on_failure_fn_id)
        return [run.id for run in runs if msgspec.json.decode(run.input or b"{}")["data"]["run_id"] == run_id]

    async def _cancel(self, run_id: str) -> None:
        async with aiohttp.ClientSession(self._server.origin) as http, http.delete(f"/v1/runs/{run_id}"):
            self._calls.cancel(run_id)


def _as_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(msgspec.json.encode(inputs))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise WorkflowInputError(f"the inputs are the data of an event, which is JSON: {error}") from None
    return data  # type: ignore[no-any-return]


def _by_span(run: Run, raised: Sequence[Raised]) -> dict[str, BaseException]:
    """For each step that has failed, what its code raised last."""
    return {
        span.id: error
        for span in run.spans
        if span.failure is not None
        for step, error in raised
        if step == span.name and str(error) == span.failure.message
    }
