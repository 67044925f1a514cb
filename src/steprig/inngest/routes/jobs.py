"""What a run has still to do, as `/v1/runs/{id}/jobs` shows it."""

from datetime import datetime
from typing import Any

from steprig.inngest.records import Job, SleepStarted, StepOpened
from steprig.inngest.state import RunState
from steprig.kernel import Status


def pending_jobs(state: RunState, queued_at: datetime, now: datetime) -> list[dict[str, Any]]:
    """The calls to be made, and the sleeps and waits that go on, the nearest first."""
    jobs = [_call(state, job, queued_at, now) for job in state.jobs.values()]
    jobs += [shown for opened in state.open.values() if (shown := _opened(opened)) is not None]
    jobs.sort(key=lambda job: (job["at"], job["JobID"]))
    return [job | {"position": position} for position, job in enumerate(jobs)]


def _call(state: RunState, job: Job, queued_at: datetime, now: datetime) -> dict[str, Any]:
    starts = state.status is Status.QUEUED
    at = job.at or (queued_at if starts else now)
    return {"JobID": job.id, "at": at, "kind": "start" if starts else "edge", "attempt": job.attempt, "Raw": None}


def _opened(opened: StepOpened) -> dict[str, Any] | None:
    kind, at = (
        ("sleep", opened.until) if isinstance(opened, SleepStarted) else ("pause", getattr(opened, "expires", None))
    )
    return None if at is None else {"JobID": opened.step, "at": at, "kind": kind, "attempt": 0, "Raw": None}
