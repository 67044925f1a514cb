"""Asks a dev server about runs: the embedded one, the real `inngest-cli dev`, or any at a URL."""

import json
import time
from collections.abc import Set as AbstractSet
from typing import Any, Final

import httpx

from steprig.inngest.client_model import (
    HistoryStep,
    Run,
    RunStatus,
    StepError,
    StepOutput,
    ended_statuses,
)
from steprig.inngest.conversation import Conversation
from steprig.inngest.sync_client import SyncDevServerClient
from steprig.inngest.waiting_errors import (
    DevServerClientError,
    NoStepOutputError,
    UnexpectedRunCountError,
    UnexpectedStatusError,
)

_RUNS_OF_EVENT: Final = "query ($id: ID!) { event(query: {eventId: $id}) { functionRuns { id } } }"
_RUN: Final = "query ($id: String!) { run(runID: $id) { status output } runTrigger(runID: $id) { payloads } }"
_HISTORY: Final = "query ($id: String!) { run(runID: $id) { status trace { childrenSpans { name outputID } } } }"
_OUTPUT: Final = "query ($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { message name stack } } }"

_LAG: Final = 1.0
"""Seconds by which the real dev server's outputs and traces may come after the end of their run."""

_SHOWN: Final = 500
"""How many characters of an output messages show."""

_NO_RUNS: Final = (
    "Check that the app is registered (`dev_server.sync(url)`), that a function's trigger has the event's name "
    "and a condition that it meets, and that the id is the one that sending the event returned"
)
_NO_STATUS: Final = (
    "A run that waits for an event or an invoked function goes on when that comes, or when its timeout may be "
    "skipped (`skip_deadlines=True` with a VirtualClock); otherwise look at the app's own log, or give a longer timeout"
)
_NO_HISTORY: Final = "A run has a history once its app was called: check that the app still answers at the URL it has"
_NO_OUTPUT: Final = "Check the step's id; sleeps, and waits that have timed out, have no output"


class DevServerClient:
    """Reads runs from a dev server, waiting for what is not there yet.

    It asks only what the Inngest SDK's own test client asks, so it works with any dev server. Where the server
    is steprig's, waiting is waiting: the server answers the moment that something has changed, and a `VirtualClock`
    learns that a client waits. Any other is asked every 0.05 to 0.2 s.

    Every method has a deadline, and an error at the deadline that says what was seen last. A client holds no
    connection between calls, belongs to no event loop, and needs no closing.

        client = DevServerClient(server.origin)
        (run_id,) = await client.get_run_ids_from_event_id(event_id)
        run = await client.wait_for_run_status(run_id, RunStatus.COMPLETED)
        assert run.result == "done"

    Args:
        origin: The server's URL, such as `http://127.0.0.1:8288`.
        timeout: Seconds for each call that names no time of its own.

    Raises:
        ValueError: `origin` is no http URL.
    """

    def __init__(self, origin: str, *, timeout: float = 20.0) -> None:
        if not origin.startswith(("http://", "https://")):
            raise ValueError(f"origin is {origin!r}; expected a URL such as 'http://127.0.0.1:8288'")
        self.origin = origin.rstrip("/")
        self.timeout = timeout

    @property
    def sync(self) -> SyncDevServerClient:
        """The same methods for tests that are not async: `client.sync.wait_for_run_status(...)`."""
        return SyncDevServerClient(self)

    async def get_run_ids_from_event_id(
        self, event_id: str, *, run_count: int = 1, timeout: float | None = None
    ) -> list[str]:
        """The runs that an event has started, once they are as many as expected.

        Args:
            event_id: What sending the event returned.
            run_count: How many to expect. With 0 the answer comes at once, and is empty.
            timeout: Seconds; by default the client's.

        Returns:
            The ids, in the server's order.

        Raises:
            UnexpectedRunCountError: It has started more.
            WaitTimeoutError: It has not started as many in time.
            DevServerUnreachableError: No dev server answers.
        """
        async with self._talk(f"event {event_id} to start {run_count} run(s)", timeout, _NO_RUNS) as talk:
            while True:
                ids = await _runs_of_event(talk, event_id)
                if ids is not None and len(ids) == run_count:
                    return ids
                if ids is not None and len(ids) > run_count:
                    found = f"expected event {event_id} to start {run_count} run(s), found {len(ids)}: {', '.join(ids)}"
                    raise UnexpectedRunCountError(f"{found}; give their number as `run_count`", tuple(ids))
                await talk.change(f"/steprig/events/{event_id}/wait", runs=run_count)

    async def wait_for_run_status(
        self,
        run_id: str,
        status: RunStatus | AbstractSet[RunStatus],
        *,
        timeout: float | None = None,
        skip_deadlines: bool = False,
    ) -> Run:
        """The run, once it has a status.

        Args:
            run_id: A run.
            status: What to wait for, or several of which one is enough, such as `ended_statuses`.
            timeout: Seconds; by default the client's.
            skip_deadlines: Says that nothing more will be sent to the run, so that a `VirtualClock` may jump to
                the timeouts of waits and invocations. Means nothing to a server in real time.

        Raises:
            UnexpectedStatusError: The run has ended with another status.
            WaitTimeoutError: The status did not come in time.
            DevServerUnreachableError: No dev server answers.
        """
        wanted = {RunStatus(status)} if isinstance(status, str) else {*status}
        expected = f"run {run_id} to be {' or '.join(sorted(wanted))}"
        async with self._talk(expected, timeout, _NO_STATUS) as talk:
            lag = _Lag()
            while True:
                run = await _run(talk, run_id)
                if run is not None and run.status in wanted and (_is_whole(run) or lag.is_over(talk)):
                    return run
                if run is not None and run.has_ended and run.status not in wanted:
                    raise UnexpectedStatusError(f"expected {expected}; it has ended: {await _story(talk, run)}", run)
                await talk.change(
                    f"/steprig/runs/{run_id}/wait",
                    status=",".join(wanted),
                    skip_deadlines=int(skip_deadlines),
                )

    async def get_history(self, run_id: str, *, timeout: float | None = None) -> list[HistoryStep]:
        """The steps of a run so far, in the order in which they came, as soon as its app was called.

        Args:
            run_id: A run.
            timeout: Seconds; by default the client's.

        Returns:
            The steps. At the end there is one for the function itself, named by the dev server.

        Raises:
            WaitTimeoutError: The app was not called in time.
            DevServerUnreachableError: No dev server answers.
        """
        async with self._talk(f"run {run_id} to have a history", timeout, _NO_HISTORY) as talk:
            while True:
                _, steps = await _history(talk, run_id)
                if steps is not None:
                    return steps
                await talk.change(f"/steprig/runs/{run_id}/wait")

    async def get_step_output(
        self, run_id: str, step_id: str, *, occurrence: int = 1, timeout: float | None = None
    ) -> StepOutput:
        """What a step gave, once it has ended.

        Args:
            run_id: A run.
            step_id: The id that the function gives the step.
            occurrence: Which of several steps with this id, from 1.
            timeout: Seconds; by default the client's.

        Raises:
            NoStepOutputError: The run has ended, and there is no such step or it has no output.
            WaitTimeoutError: The step had no output in time.
            DevServerUnreachableError: No dev server answers.
            ValueError: `occurrence` is less than 1.
        """
        if occurrence < 1:
            raise ValueError(f"occurrence is {occurrence}; the first step of a name has 1")
        expected = (
            f"step {step_id!r}{f' (number {occurrence})' if occurrence > 1 else ''} of run {run_id} to give output"
        )
        async with self._talk(expected, timeout, _NO_OUTPUT) as talk:
            lag = _Lag()
            while True:
                status, steps = await _history(talk, run_id)
                output = await _output_of(talk, steps or [], step_id, occurrence)
                if output is not None:
                    return output
                if status in ended_statuses and lag.is_over(talk):
                    raise NoStepOutputError(f"expected {expected}; last seen: {talk.last_seen}. {_NO_OUTPUT}")
                await talk.change(f"/steprig/runs/{run_id}/wait", step=step_id, occurrence=occurrence)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.origin}>"

    def _talk(self, expected: str, timeout: float | None, hint: str) -> Conversation:
        return Conversation(self.origin, expected, self.timeout if timeout is None else timeout, hint)


class _Lag:
    """The time that a server gets to show what belongs to a run that has ended. Steprig's own needs none."""

    def __init__(self) -> None:
        self._end: float | None = None

    def is_over(self, talk: Conversation) -> bool:
        now = time.monotonic()
        if self._end is None:
            self._end = now + _LAG
        return talk.tells_of_changes or now >= self._end


def _is_whole(run: Run) -> bool:
    """Whether the output is there, if there will be one: of a completed run even None is one."""
    return run.output is not None or run.status not in (RunStatus.COMPLETED, RunStatus.FAILED)


async def _runs_of_event(talk: Conversation, event_id: str) -> list[str] | None:
    data = await talk.ask(_RUNS_OF_EVENT, id=event_id)
    if data is None:
        return None
    event = data.get("event")
    if not isinstance(event, dict):
        talk.last_seen = "the server does not know the event"
        return None
    # The real server lists a cancelled run twice at times.
    ids = list(dict.fromkeys(run["id"] for run in event.get("functionRuns") or []))
    talk.last_seen = f"{len(ids)} run(s){''.join(f' {each}' for each in ids)}"
    return ids


async def _run(talk: Conversation, run_id: str) -> Run | None:
    data = await talk.ask(_RUN, id=run_id)
    if data is None:
        return None
    run, trigger = data.get("run"), data.get("runTrigger")
    if not isinstance(run, dict) or not isinstance(trigger, dict):
        talk.last_seen = "the server does not know the run"
        return None
    events = tuple(json.loads(payload) for payload in trigger.get("payloads") or [])
    found = Run(run_id, RunStatus(run["status"]), run.get("output"), events)
    talk.last_seen = f"it was {found.status}"
    return found


async def _history(talk: Conversation, run_id: str) -> tuple[RunStatus | None, list[HistoryStep] | None]:
    data = await talk.ask(_HISTORY, id=run_id)
    if data is None:
        return None, None
    run = data.get("run")
    if not isinstance(run, dict):
        talk.last_seen = "the server does not know the run"
        return None, None
    status, steps = RunStatus(run["status"]), _steps(run.get("trace"))
    shown = "no steps" if not steps else "the steps " + ", ".join(map(str, steps))
    talk.last_seen = f"the run was {status}, with {shown}"
    return status, steps


def _steps(trace: dict[str, Any] | None) -> list[HistoryStep] | None:
    if trace is None:
        return None
    return [HistoryStep(span["name"], span.get("outputID")) for span in trace.get("childrenSpans") or []]


async def _output_of(talk: Conversation, steps: list[HistoryStep], step_id: str, occurrence: int) -> StepOutput | None:
    named = [step for step in steps if step.name == step_id]
    output_id = named[occurrence - 1].output_id if len(named) >= occurrence else None
    if output_id is None:
        return None
    data = await talk.ask(_OUTPUT, id=output_id)
    shown = (data or {}).get("runTraceSpanOutputByID")
    if not isinstance(shown, dict):
        return None
    error = shown.get("error")
    if error is not None:
        return StepOutput(error=StepError(error.get("message") or "", error.get("name"), error.get("stack")))
    text = shown.get("data")
    return StepOutput(data=None if text is None else json.loads(text))


async def _story(talk: Conversation, run: Run) -> str:
    """How a run ended, with what is known of its steps."""
    output = (run.output or "null")[:_SHOWN]
    try:
        await _history(talk, run.id)
    except (DevServerClientError, httpx.HTTPError):
        talk.last_seen = "its steps are not known"
    return f"{run.status} with the output {output}; last seen: {talk.last_seen}"
