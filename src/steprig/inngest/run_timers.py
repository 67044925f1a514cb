"""The timers of runs: of each its sleeps, waits, retries and timeouts."""

from collections.abc import Callable
from datetime import datetime

from steprig.inngest.opcodes import StepId
from steprig.inngest.records import RunId
from steprig.kernel import Rig, Timer, TimerKind


class RunTimers:
    """Timers on the rig's clock, found by the run and by a key: a step's id, or a job's."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._timers: dict[RunId, dict[str, Timer]] = {}

    def set(
        self,
        run_id: RunId,
        key: str,
        when: datetime,
        kind: TimerKind,
        label: str,
        then: Callable[[RunId, StepId], None],
    ) -> None:
        """Call `then` with the run and the key, on the rig's loop, unless the timer is cancelled before."""

        def fire() -> None:
            self._timers.get(run_id, {}).pop(key, None)
            then(run_id, StepId(key))

        timers = self._timers.setdefault(run_id, {})
        timers[key] = self._rig.call_at(when, fire, kind=kind, label=label)

    def cancel(self, run_id: RunId, key: str) -> None:
        """Cancel one, if it is set."""
        if (timer := self._timers.get(run_id, {}).pop(key, None)) is not None:
            timer.cancel()

    def cancel_run(self, run_id: RunId) -> None:
        """Cancel all of a run."""
        for timer in self._timers.pop(run_id, {}).values():
            timer.cancel()

    def stop(self) -> None:
        """Cancel all."""
        for run_id in list(self._timers):
            self.cancel_run(run_id)
