"""Answers to callbacks that a test gives in advance."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from steprig.aws.errors import CallbackTimeoutException, ResourceNotFoundException, ServiceException
from steprig.aws.in_process import error_object
from steprig.aws.model import ErrorObject, Operation, OperationType
from steprig.aws.state import Execution
from steprig.aws.workers import Workers
from steprig.kernel import Clock, Work

_log = logging.getLogger(__name__)

_OF_WAIT_FOR_CALLBACK = " create callback id"
"""What the SDK adds to the name of a `wait_for_callback` for the callback in it."""


@dataclass(frozen=True)
class PendingCallback:
    """A callback that waits for its answer.

    Attributes:
        callback_id: What it is answered by.
        name: As the function calls it.
        execution_arn: The execution that waits.
    """

    callback_id: str
    name: str
    execution_arn: str


Responder = Callable[[PendingCallback], Any] | Any
"""What answers a callback: a value, or a callable that gives it. One that raises fails the callback with its error."""


class Answers(Protocol):
    """What takes the answers."""

    def succeed_callback(self, callback_id: str, result: bytes | None) -> None:
        """Answer a callback."""
        ...

    def fail_callback(self, callback_id: str, error: ErrorObject | None) -> None:
        """Answer a callback with an error."""
        ...


class Responders:
    """Answers callbacks by name, each once the invocation that made it is over, as somebody outside would.

    Args:
        by_name: For each name of a callback, or of a `wait_for_callback`, what answers it.
        answers: Takes the answers.
        clock: Stands still while one is on its way.
    """

    def __init__(self, by_name: Mapping[str, Responder], answers: Answers, clock: Clock) -> None:
        self._by_name = dict(by_name)
        self._answers = answers
        self._clock = clock
        self._workers = Workers("steprig-responder")
        self._lock = threading.Lock()
        self._answered: set[str] = set()

    def look(self, state: Execution) -> None:
        """See to the callbacks of an execution that is not being invoked. Takes no time."""
        if state.invocation is not None:
            return  # it is looked at again when that is over
        for operation in state.pending.values():
            name = self._name(operation) if operation.type is OperationType.CALLBACK else None
            if name is not None and operation.callback_id is not None:
                self._begin(PendingCallback(operation.callback_id, name, state.arn))

    def close(self) -> None:
        """Answer no more."""
        self._workers.close(1.0)

    def _name(self, operation: Operation) -> str | None:
        name = operation.name or ""
        return next((one for one in (name, name.removesuffix(_OF_WAIT_FOR_CALLBACK)) if one in self._by_name), None)

    def _begin(self, callback: PendingCallback) -> None:
        with self._lock:
            if callback.callback_id in self._answered:
                return
            self._answered.add(callback.callback_id)
        work = self._clock.working(f"answer to callback {callback.name}")
        self._workers.run(lambda: self._answer(callback, self._by_name[callback.name], work))

    def _answer(self, callback: PendingCallback, responder: Responder, work: Work) -> None:
        with work:
            try:
                self._send(callback, responder)
            except (ResourceNotFoundException, CallbackTimeoutException, ServiceException) as error:
                _log.warning("the answer to callback %r came to nothing: %s", callback.name, error)

    def _send(self, callback: PendingCallback, responder: Responder) -> None:
        try:
            answer = as_bytes(responder(callback) if callable(responder) else responder)
            self._answers.succeed_callback(callback.callback_id, answer)
        except (ResourceNotFoundException, CallbackTimeoutException, ServiceException):
            raise
        except Exception as error:  # noqa: BLE001 - it is the answer
            self._answers.fail_callback(callback.callback_id, error_object(error))


def as_bytes(answer: object) -> bytes | None:
    """An answer as it is sent: bytes and text as they are, whatever else as JSON."""
    if answer is None or isinstance(answer, bytes):
        return answer
    return answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
