"""A decision about a run in the making: the entries to record, and the state that they lead to."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from steprig.inngest import problems
from steprig.inngest.ceilings import Ceilings
from steprig.inngest.durations import backoff, parse_retry_after
from steprig.inngest.functions import Slug
from steprig.inngest.opcodes import DISCOVERY, StepId
from steprig.inngest.records import AttemptFailed, Job, JobId, JobQueued, Problem, RunEnded, RunId, StepEnded
from steprig.inngest.state import COALESCING_VERSION, RunState, advance
from steprig.kernel import Entry, Status


class Given(NamedTuple):
    """What a decision may not find out by itself."""

    now: datetime
    new_id: Callable[[], str]
    """Draws a ULID."""
    jitter: Callable[[], float]
    """Draws a number from 0 to 1."""
    retry_interval: timedelta | None = None
    """Instead of the usual backoff."""
    ahead: timedelta = timedelta()
    """How far `now` is ahead of the clock by which SDKs tell the time. They turn the length of a sleep into its end."""
    signal_waiter: Callable[[str], tuple[RunId, StepId] | None] = lambda _: None
    """The step that waits for a signal, of whatever run."""
    ceilings: Callable[[Slug], Ceilings] = lambda _: Ceilings()
    """How large runs of a function may become."""


class Decision:
    """Entries, each folded into the state as it is added, so that later parts see what earlier ones did."""

    def __init__(self, state: RunState, given: Given) -> None:
        self.state = state
        self.given = given
        self.entries: list[Entry] = []

    @property
    def ended(self) -> bool:
        """True once the run is over; nothing may be added any more."""
        return self.state.status.ended

    def add(self, entry: Entry) -> None:
        """Record an entry."""
        self.entries.append(entry)
        self.state = advance(self.state, entry)

    def queue(self, step: StepId = DISCOVERY, title: str = "", at: datetime | None = None) -> None:
        """Have the function called: for this step, or for what comes next."""
        job = Job(
            id=JobId(self.given.new_id()),
            step=step,
            attempt=0,
            max_attempts=self.state.max_attempts,
            at=at,
            title=title,
            position=len(self.state.memos),
        )
        self.add(JobQueued(job))

    def end_step(self, ended: StepEnded, *, races: bool = False) -> None:
        """Keep a step's outcome and go on where nothing else is waited for. The first outcome counts."""
        if ended.step in self.state.memos:
            return
        opened = self.state.open.get(ended.step)
        races = races or (opened is not None and opened.races)
        self.keep_step(ended)
        if not self.ended and (races or not self.state.group or self.state.version < COALESCING_VERSION):
            self.queue()

    def keep_step(self, ended: StepEnded) -> None:
        """Keep a step's outcome, as far as a run may have so many and so large ones."""
        self.add(ended)
        most = self.given.ceilings(self.state.function)
        if most.steps is not None and len(self.state.memos) > most.steps:
            self.fail(problems.too_many_steps(most.steps))
        elif most.state_bytes is not None and self.state.memo_bytes > most.state_bytes:
            self.fail(problems.state_too_large(most.state_bytes))

    def retry(
        self,
        job: Job,
        problem: Problem,
        *,
        retry_after: str | None = None,
        step: StepId | None = None,
        title: str = "",
        final: bool = False,
    ) -> bool:
        """Record that a call failed, and have it made again if it may be. False when it may not."""
        retry = None if final or job.attempt + 1 >= job.max_attempts else self._next_attempt(job, retry_after)
        self.add(AttemptFailed(job.id, problem, step, title, retry))
        return retry is not None

    def complete(self, output: msgspec.Raw) -> None:
        """The run has succeeded."""
        self.add(RunEnded(Status.COMPLETED, output))

    def fail(self, problem: Problem) -> None:
        """The run has failed."""
        self.add(RunEnded(Status.FAILED, problem.json, problem))

    def cancel(self) -> None:
        """The run is cancelled."""
        self.add(RunEnded(Status.CANCELLED))

    def _next_attempt(self, job: Job, retry_after: str | None) -> Job:
        at = self._asked_for(retry_after) if retry_after else None
        if at is None:
            interval = self.given.retry_interval
            at = self.given.now + (backoff(job.attempt, self.given.jitter()) if interval is None else interval)
        return msgspec.structs.replace(job, id=JobId(self.given.new_id()), attempt=job.attempt + 1, at=at)

    def _asked_for(self, retry_after: str) -> datetime | None:
        return parse_retry_after(retry_after, self.given.now, ahead=self.given.ahead)
