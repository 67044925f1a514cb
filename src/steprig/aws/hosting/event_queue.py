"""Functions that are not durable, invoked by `Event`: repeated when they fail, and dropped in the end.

A durable function needs none of this: the event starts an execution, and that has retries of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from steprig.aws import records as r
from steprig.aws.hosting.hosts import Hosts
from steprig.aws.invocations import timed_out
from steprig.aws.invoker import PlainCall
from steprig.aws.model import ErrorObject
from steprig.kernel import Clock, Timer, Work

_log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 300
"""Seconds between attempts to find a function with concurrency to spare."""


@dataclass(frozen=True)
class EventInvokeConfig:
    """What `PutFunctionEventInvokeConfig` sets, with Lambda's own values otherwise.

    Attributes:
        retries: How often an event is repeated whose invocation has failed.
        age: Seconds after which it is dropped, with attempts left or not.
        modified: When it was set.
    """

    retries: int = 2
    age: int = 21600
    modified: datetime | None = None


@dataclass(frozen=True)
class _Event:
    call: PlainCall
    name: str
    sent: datetime
    invoked: int = 0
    throttled: int = 0
    error: ErrorObject | None = None


class EventQueue:
    """Invokes functions for events: again one minute after a first failure and two minutes after a second.

    While the function has no concurrency to spare the event waits, from a second on ever longer, up to five minutes.
    It is dropped after its last attempt, or when it is six hours old; the log then says what a destination for failures
    would be told. All this is kept in memory, and goes by the clock. Used on one loop alone.

    Source: "How Lambda handles errors and retries with asynchronous invocation" of the Lambda developer guide.

    Args:
        clock: Tells when to try again.
        hosts: Call functions.
    """

    def __init__(self, clock: Clock, hosts: Hosts) -> None:
        self.configs: dict[str, EventInvokeConfig] = {}
        """By the function's name, or by that of a version or an alias for its events alone."""
        self._clock = clock
        self._hosts = hosts
        self._timers: dict[Timer, None] = {}
        self._working: dict[Work, None] = {}
        self._closed = False

    def send(self, call: PlainCall, name: str) -> None:
        """Take an event in.

        Args:
            call: What is to be done.
            name: The function's as it was asked for, which has the configuration.
        """
        self._attempt(_Event(call, name, self._clock.now()))

    def close(self) -> None:
        """Try nothing again, and wait for no answer."""
        self._closed = True
        for timer in list(self._timers):
            timer.cancel()
        for work in list(self._working):
            work.done()

    def _attempt(self, event: _Event) -> None:
        function = event.call.caller.function
        if (self._clock.now() - event.sent).total_seconds() > self._config(event).age:
            _drop(event, "EventAgeExceeded")
            return
        loop, work = asyncio.get_running_loop(), self._clock.working(f"call of {function}")
        self._working[work] = None
        settle, limited = self._settlement(event, work)

        def report(end: r.ExecutionEnd) -> None:
            try:
                loop.call_soon_threadsafe(settle, end)
            except RuntimeError:  # the server was stopped, and its loop with it
                work.done()

        if self._hosts.try_call(event.call, report):
            timeout = event.call.caller.timeout
            late = r.ExecutionFailed(error=timed_out(timeout).error)
            limited.append(loop.call_later(self._hosts.patience(function, timeout), settle, late))
        else:
            self._again(replace(event, throttled=event.throttled + 1), _backoff(event.throttled))
            self._done(work)

    def _settlement(
        self, event: _Event, work: Work
    ) -> tuple[Callable[[r.ExecutionEnd], None], list[asyncio.TimerHandle]]:
        """What takes the end of an attempt, the first that it is told of; and where to put the timer of the others."""
        told, limits = list[r.ExecutionEnd](), list[asyncio.TimerHandle]()

        def settle(end: r.ExecutionEnd) -> None:
            told.append(end)
            if len(told) == 1:
                for limit in limits:
                    limit.cancel()
                self._ended(replace(event, invoked=event.invoked + 1, throttled=0), end)
                self._done(work)

        return settle, limits

    def _ended(self, event: _Event, end: r.ExecutionEnd) -> None:
        if isinstance(end, r.ExecutionSucceeded):
            return
        event = replace(event, error=getattr(end, "error", None))
        if event.invoked > self._config(event).retries:
            _drop(event, "RetriesExhausted")
        else:
            self._again(event, timedelta(minutes=event.invoked))

    def _done(self, work: Work) -> None:
        self._working.pop(work, None)
        work.done()

    def _config(self, event: _Event) -> EventInvokeConfig:
        return self.configs.get(event.name) or EventInvokeConfig()

    def _again(self, event: _Event, delay: timedelta) -> None:
        if self._closed:
            return

        def attempt() -> None:
            self._timers.pop(timer, None)
            self._attempt(event)

        loop = asyncio.get_running_loop()
        with suppress(RuntimeError):  # the clock is closed
            label = f"event for {event.call.caller.function}"
            timer = self._clock.call_later(delay, attempt, dispatch=loop.call_soon_threadsafe, label=label)
            self._timers[timer] = None


def _backoff(throttled: int) -> timedelta:
    return timedelta(seconds=min(2**throttled, _LONGEST_BACKOFF))


def _drop(event: _Event, condition: str) -> None:
    error = event.error or ErrorObject()
    _log.warning(
        "an event for function %s was dropped (request %s, condition %s, approximateInvokeCount %d): %s: %s",
        event.call.caller.function,
        event.call.request_id,
        condition,
        event.invoked,
        error.error_type,
        error.error_message,
    )
