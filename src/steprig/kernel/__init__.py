"""What every platform shares: time, the journal, the timeline and the rig that holds them together."""

from steprig.kernel.clock import Clock, RealClock, Work
from steprig.kernel.journal import (
    Entry,
    Journal,
    JournalListener,
    Record,
    Stream,
    kind_of,
    stream_of,
)
from steprig.kernel.memory_journal import MemoryJournal
from steprig.kernel.rig import Platform, Rig
from steprig.kernel.sqlite_journal import JournalFileError, SqliteJournal
from steprig.kernel.timeline import Failure, Projection, Run, RunNotReachedError, Span, Status, Timeline
from steprig.kernel.timers import Callback, Dispatch, Timer, TimerKind
from steprig.kernel.virtual_clock import ClockTimeoutError, VirtualClock
from steprig.kernel.workflow_runner import WorkflowInputError, WorkflowReport, WorkflowResources, WorkflowRunner

__all__ = [
    "Callback",
    "Clock",
    "ClockTimeoutError",
    "Dispatch",
    "Entry",
    "Failure",
    "Journal",
    "JournalFileError",
    "JournalListener",
    "MemoryJournal",
    "Platform",
    "Projection",
    "RealClock",
    "Record",
    "Rig",
    "Run",
    "RunNotReachedError",
    "Span",
    "SqliteJournal",
    "Status",
    "Stream",
    "Timeline",
    "Timer",
    "TimerKind",
    "VirtualClock",
    "Work",
    "WorkflowInputError",
    "WorkflowReport",
    "WorkflowResources",
    "WorkflowRunner",
    "kind_of",
    "stream_of",
]
