"""Pausing and resuming, each request at most once."""

from datetime import timedelta

from steprig.aws import records as r
from steprig.aws.engine import Engine
from steprig.aws.errors import ResourceConflictException
from steprig.aws.model import Arn, ExecutionStatus
from steprig.kernel import Clock, Entry, Journal, stream_of

_PAUSED = (ExecutionStatus.PAUSING, ExecutionStatus.PAUSED)
_REMEMBERED = timedelta(minutes=15)
"""How long a request is known by its token, as the service model has it."""


class PauseRequest(Entry, frozen=True, kw_only=True, tag="aws.http.PauseRequest"):
    """What is asked for, and the token that a repetition is known by."""

    client_token: str | None = None
    reason: str | None = None
    timeout_paused: bool | None = None
    """None for the request to resume."""


class Pauses:
    """Takes requests, and records those with a token, as a client repeats one whose answer was lost.

    To be used by one thread.

    Args:
        engine: Does it.
        journal: The engine's. A service that goes on with it knows the requests of the one before.
        clock: The engine's.
    """

    def __init__(self, engine: Engine, journal: Journal, clock: Clock) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock

    def pause(self, arn: str, request: PauseRequest) -> None:
        """Pause an execution.

        Raises:
            ResourceConflictException: It has ended, or is paused already.
            ResourceNotFoundException: There is no such execution.
        """
        state = self._engine.execution(arn)
        if self._is_repeated(state.arn, request):
            return
        if state.status in _PAUSED:
            raise ResourceConflictException(f"The durable execution is {state.status} already.")
        self._engine.pause(arn, timeout_paused=bool(request.timeout_paused), reason=request.reason)
        self._remember(state.arn, request)

    def resume(self, arn: str, request: PauseRequest) -> None:
        """Go on with an execution that is paused.

        Raises:
            ResourceConflictException: It has ended, or is not paused.
            ResourceNotFoundException: There is no such execution.
        """
        state = self._engine.execution(arn)
        if self._is_repeated(state.arn, request):
            return
        if state.status not in _PAUSED:
            raise ResourceConflictException(f"The durable execution is {state.status}, not paused.")
        self._engine.resume_execution(arn, reason=request.reason)
        self._remember(state.arn, request)

    def _is_repeated(self, arn: Arn, request: PauseRequest) -> bool:
        if request.client_token is None:
            return False
        since = self._clock.now() - _REMEMBERED
        taken = self._engine.records(arn)
        return any(record.entry == request and record.at > since for record in taken)

    def _remember(self, arn: Arn, request: PauseRequest) -> None:
        """After it was done: a crash in between has a repetition refused, and no request lost.

        It is kept with the execution, which it says nothing of, and as long.
        """
        if request.client_token is not None:
            self._journal.append(self._clock.now(), (stream_of(r.EXECUTION, arn), request))
