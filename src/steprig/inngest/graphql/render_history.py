"""The history of a run as the dev server told it before it had traces: `[RunHistoryItem]`."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from steprig.inngest.functions import Slug
from steprig.inngest.graphql.values import text, time
from steprig.inngest.ids import function_uuid, ulid_at
from steprig.inngest.opcodes import DISCOVERY
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.records import (
    RUN,
    AttemptFailed,
    CallAnswered,
    CallStarted,
    InvokeStarted,
    Job,
    JobId,
    JobQueued,
    RunEnded,
    RunQueued,
    SignalWaitStarted,
    SleepStarted,
    StepEnded,
    StepPlanned,
    WaitStarted,
)
from steprig.kernel import Record, Status, stream_of

_ENDS = {
    Status.COMPLETED: "FunctionCompleted",
    Status.FAILED: "FunctionFailed",
    Status.CANCELLED: "FunctionCancelled",
}
_STEP_TYPES = {
    "RUN": "Run",
    "SLEEP": "Sleep",
    "WAIT_FOR_EVENT": "Wait",
    "WAIT_FOR_SIGNAL": "Wait",
    "INVOKE": "Wait",
    "AI_GATEWAY": "Run",
    "GATEWAY": "Run",
}


class Item(NamedTuple):
    """An item, and the output that is asked for separately."""

    shown: dict[str, Any]
    output: str | None


def items(platform: InngestPlatform, run: InngestRun) -> list[dict[str, Any]]:
    """`[RunHistoryItem]`, the oldest first."""
    return [item.shown for item in _History(platform, run).items()]


def output_of(platform: InngestPlatform, run: InngestRun, item_id: str) -> str | None:
    """`historyItemOutput`: null where there is no such item, or it has none."""
    return next((item.output for item in _History(platform, run).items() if item.shown["id"] == item_id), None)


class _History:
    """Tells the records of a run as items."""

    def __init__(self, platform: InngestPlatform, run: InngestRun) -> None:
        registered = platform.engine.apps.last_known(Slug(run.name))
        self._run = run
        self._url = registered.function.entry.runtime.url
        self._sdk = (registered.app.sdk_language, registered.app.sdk_version)
        self._records = platform.rig.journal.read(stream_of(RUN, run.id))
        self._jobs: dict[JobId, Job] = {}
        self._started: dict[JobId, datetime] = {}

    def items(self) -> Iterator[Item]:
        """All of them."""
        for index, record in enumerate(self._records):
            following = self._records[index + 1].entry if index + 1 < len(self._records) else None
            yield from self._told(record, following)

    def _told(self, record: Record, following: object) -> Iterator[Item]:
        match record.entry:
            case RunQueued():
                yield self._item(record, "FunctionScheduled")
            case JobQueued(job=job):
                self._jobs[job.id] = job
            case StepPlanned(title=title):
                yield self._item(record, "StepScheduled", stepName=title)
            case CallStarted(job_id=job_id):
                yield from self._call_started(record, job_id)
            case CallAnswered() if isinstance(following, AttemptFailed):
                pass  # which tells it
            case CallAnswered(job_id=job_id):
                yield self._answered(record, job_id, following)
            case AttemptFailed():
                yield self._failed(record, record.entry)
            case RunEnded(status=status):
                yield from self._ended(record, record.entry, status)
            case _:
                yield from self._waited(record)

    def _call_started(self, record: Record, job_id: JobId) -> Iterator[Item]:
        if not self._started:
            yield self._item(record, "FunctionStarted", place=1)
        self._started[job_id] = record.at
        job = self._jobs[job_id]
        yield self._item(record, "StepStarted", job, stepName=job.title or str(job.step), url=self._url)

    def _answered(self, record: Record, job_id: JobId, following: object) -> Item:
        """The call is over. It is told as the one step that it has reported, where it was one."""
        job, alone = self._jobs[job_id], None
        if isinstance(record.entry, CallAnswered) and record.entry.ops == 1:
            alone = following
        match alone:
            case StepEnded(title=title, op=op, output=output):
                kind, given = _STEP_TYPES[op], output or None
                return self._item(
                    record, "StepCompleted", job, output=given, took=job_id, stepName=title, stepType=kind
                )
            case SleepStarted(title=title):
                return self._item(record, "StepCompleted", job, took=job_id, stepName=title, stepType="Sleep")
            case WaitStarted(title=title) | SignalWaitStarted(title=title) | InvokeStarted(title=title):
                return self._item(record, "StepCompleted", job, took=job_id, stepName=title, stepType="Wait")
            case _:
                return self._item(record, "StepCompleted", job, took=job_id, stepName=str(DISCOVERY))

    def _failed(self, record: Record, failed: AttemptFailed) -> Item:
        job = self._jobs[failed.job_id]
        if failed.retry is not None:
            self._jobs[failed.retry.id] = failed.retry
        kind = "StepFailed" if failed.retry is None else "StepErrored"
        name = failed.title or str(failed.step or job.step)
        return self._item(record, kind, job, output=failed.problem.json, took=failed.job_id, stepName=name)

    def _waited(self, record: Record) -> Iterator[Item]:
        match record.entry:
            case SleepStarted(title=title, until=until):
                yield self._item(record, "StepSleeping", stepName=title, stepType="Sleep", sleep={"until": time(until)})
            case WaitStarted(title=title, event=event, condition=condition, expires=expires):
                about = {"eventName": event, "expression": condition, "timeout": time(expires)}
                yield self._item(record, "StepWaiting", stepName=title, stepType="Wait", waitForEvent=about)
            case SignalWaitStarted(title=title):
                yield self._item(record, "StepWaiting", stepName=title, stepType="Wait")
            case InvokeStarted(title=title):
                about = self._invoked(record.entry)
                yield self._item(record, "StepWaiting", stepName=title, stepType="Wait", invokeFunction=about)
            case StepEnded(op="WAIT_FOR_EVENT", title=title, event_id=event_id, timed_out=timed_out, output=output):
                result = {"eventID": event_id, "timeout": timed_out}
                yield self._item(record, "StepCompleted", output=output or None, stepName=title, waitResult=result)
            case StepEnded(op="INVOKE", title=title, event_id=event_id, timed_out=timed_out, run_id=run_id):
                outcome = {"eventID": event_id, "timeout": timed_out, "runID": run_id}
                given = record.entry.output or None
                yield self._item(record, "StepCompleted", output=given, stepName=title, invokeFunctionResult=outcome)
            case StepEnded(op="WAIT_FOR_SIGNAL" | "AI_GATEWAY" | "GATEWAY", title=title, output=output):
                yield self._item(record, "StepCompleted", output=output or None, stepName=title)

    def _ended(self, record: Record, ended: RunEnded, status: Status) -> Iterator[Item]:
        """The call that the function has returned in is told as a step, too."""
        output = ended.output or None
        if status is Status.COMPLETED and self._started:
            last = max(self._started, key=self._started.__getitem__)
            yield self._item(
                record, "StepCompleted", self._jobs[last], output=output, took=last, place=1, stepName=str(DISCOVERY)
            )
        cancel: dict[str, Any] | None = {} if status is Status.CANCELLED else None
        yield self._item(record, _ENDS[status], output=output, cancel=cancel)

    def _invoked(self, invoked: InvokeStarted) -> dict[str, Any]:
        return {
            "eventID": invoked.event.internal_id,
            "functionID": invoked.function,
            "correlationID": f"{self._run.id}.{invoked.step}",
            "timeout": time(invoked.expires),
        }

    def _item(
        self,
        record: Record,
        kind: str,
        job: Job | None = None,
        *,
        output: msgspec.Raw | None = None,
        took: JobId | None = None,
        place: int = 0,
        **about: object,
    ) -> Item:
        """An item.

        Args:
            record: What it tells.
            kind: Its type.
            job: The call that it is about.
            output: What is asked for separately.
            took: The call whose result it is.
            place: Tells apart what one record is told as.
            about: Its own fields.
        """
        group = None if job is None else str(function_uuid(f"{self._run.id}.{job.step}.{job.position}"))
        shown = {
            "id": _id(record, place),
            "type": kind,
            "attempt": 0 if job is None else job.attempt,
            "createdAt": time(record.at),
            "functionVersion": 1,
            "groupID": group,
            "result": None if took is None else self._result(record, took, output),
        }
        return Item({**shown, **about}, text(output))

    def _result(self, record: Record, job_id: JobId, output: msgspec.Raw | None) -> dict[str, Any]:
        language, version = self._sdk
        return {
            "durationMS": int((record.at - self._started.get(job_id, record.at)).total_seconds() * 1000),
            "sdkLanguage": language,
            "sdkVersion": version,
            "sizeBytes": len(output or b""),
        }


def _id(record: Record, place: int) -> str:
    """The same whenever it is asked for."""
    digest = hashlib.sha256(f"{record.stream}.{record.seq}.{place}".encode()).digest()
    return ulid_at(int(record.at.timestamp() * 1000), digest[:10])
