"""The timers of executions, held by what is to come of each."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from steprig.aws.model import Arn
from steprig.aws.timing import Appointment, TimerKey
from steprig.kernel import Clock, Timer, TimerKind, VirtualClock

Fire = Callable[[Arn, TimerKey, datetime], None]
Overdue = tuple[Arn, TimerKey, datetime]


class Timers:
    """Sets and cancels timers so that they are those that the state of each execution asks for.

    A deadline on a virtual clock comes about in one of two ways. Somebody moves the clock, or says that it may skip
    deadlines. Or else as many real seconds pass as the deadline is long, while somebody waits for a result: who
    does nothing but wait is not left waiting for ever. The latter is asked for with `take_overdue`.

    To be used under the engine's lock.

    Args:
        clock: Calls back.
        fire: Takes the execution, what the timer was for, and when it was due; from any thread.
        sooner: Called when `seconds_to_next` would say less than it has said.
    """

    def __init__(self, clock: Clock, fire: Fire, sooner: Callable[[], object]) -> None:
        self._clock = clock
        self._fire = fire
        self._sooner = sooner
        self._told = math.inf
        self._is_virtual = isinstance(clock, VirtualClock)
        self._wanted: dict[Arn, Mapping[TimerKey, Appointment]] = {}
        self._timers: dict[tuple[Arn, TimerKey], Timer] = {}
        self._real: dict[tuple[Arn, TimerKey], tuple[float, datetime]] = {}

    def keep(self, arn: Arn, wanted: Mapping[TimerKey, Appointment]) -> None:
        """Let an execution have these timers, and no others."""
        had = self._wanted.get(arn, {})
        if had == wanted:
            return
        for key, appointment in had.items():
            if wanted.get(key) != appointment:
                self._cancel((arn, key))
        for key, appointment in wanted.items():
            if had.get(key) != appointment:
                self._set(arn, key, appointment)
        if wanted:
            self._wanted[arn] = wanted
        else:
            self._wanted.pop(arn, None)

    def is_wanted(self, arn: Arn, key: TimerKey, when: datetime) -> bool:
        """Whether a timer that has fired is still meant. It is then taken for done."""
        wanted = self._wanted.get(arn, {})
        appointment = wanted.get(key)
        if appointment is None or appointment.when != when:
            return False
        self._cancel((arn, key))
        self._wanted[arn] = {other: kept for other, kept in wanted.items() if other != key}
        return True

    def seconds_to_next(self) -> float:
        """Real seconds to the next deadline that is due by them; infinity when there is none."""
        self._told = min((due for due, _ in self._real.values()), default=math.inf)
        return max(0.0, self._told - time.monotonic())

    def take_overdue(self) -> list[Overdue]:
        """The deadlines that as many real seconds have passed for as they are long. Each is given once."""
        now = time.monotonic()
        due = [(*key, when) for key, (at, when) in self._real.items() if at <= now]
        for arn, key, _ in due:
            del self._real[arn, key]
        return due

    def stop(self) -> None:
        """Cancel all."""
        for key in list(self._timers):
            self._cancel(key)
        self._real.clear()
        self._wanted.clear()

    def _set(self, arn: Arn, key: TimerKey, appointment: Appointment) -> None:
        when, kind, real_seconds = appointment
        if real_seconds is None or not self._is_virtual:
            fire = partial(self._fire, arn, key, when)
            self._timers[arn, key] = self._clock.call_at(when, fire, kind=kind, label=f"{key.what} of {arn}")
        if self._is_virtual and kind is TimerKind.DEADLINE:
            seconds = (when - self._clock.now()).total_seconds() if real_seconds is None else real_seconds
            due = time.monotonic() + max(0.0, seconds)
            self._real[arn, key] = (due, when)
            if due < self._told:
                self._told = due
                self._sooner()

    def _cancel(self, key: tuple[Arn, TimerKey]) -> None:
        self._real.pop(key, None)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
