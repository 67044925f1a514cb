"""Pausing and resuming, each request at most once."""

from typing import NamedTuple

from steprig.aws.engine import Engine
from steprig.aws.errors import ResourceConflictException
from steprig.aws.model import Arn, ExecutionStatus

_PAUSED = (ExecutionStatus.PAUSING, ExecutionStatus.PAUSED)


class PauseRequest(NamedTuple):
    """What is asked for, and the token that a repetition is known by."""

    client_token: str | None
    reason: str | None
    timeout_paused: bool | None = None
    """None for the request to resume."""


class Pauses:
    """Keeps the last request of each execution, as a client repeats it whose answer was lost.

    To be used by one thread.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: dict[Arn, PauseRequest] = {}

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
        self._last[state.arn] = request

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
        self._last[state.arn] = request

    def _is_repeated(self, arn: Arn, request: PauseRequest) -> bool:
        return request.client_token is not None and self._last.get(arn) == request
