"""Makes the SDK end its invocations at once.

Handlers that run in this process can be spared what the SDK waits for, and does over and over: see the modules here.
What is sent stays what it was, and its order. Wherever the SDK is not built as expected it is left as it is, and slow.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from aws_durable_execution_sdk_python import context, execution, identifier
from aws_durable_execution_sdk_python import state as sdk_state

from steprig.aws.prompt.ids import prompt_counter, prompt_id
from steprig.aws.prompt.results import prompt_result
from steprig.aws.prompt.state import prompt_state
from steprig.aws.prompt.threads import PromptThreads, prompt_threads

_log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where the SDK has something slow."""

    owner: ModuleType | type
    name: str
    prompt: Callable[[Any], Any]
    """Makes the prompt one of the slow one, or None where it cannot."""

    def change(self) -> Callable[[], None]:
        """Put the prompt one there. Returns the undoing, which leaves alone what somebody else has put there since."""
        original = getattr(self.owner, self.name, None)
        mine = self.prompt(original)
        if mine is None:
            _log.debug("%s.%s is not built as expected, and left as slow as it is", self.owner.__name__, self.name)
            return lambda: None
        kept = vars(self.owner).get(self.name, original)  # a class method as it lies in its class
        setattr(self.owner, self.name, mine)

        def undo() -> None:
            if getattr(self.owner, self.name, None) is mine:
                setattr(self.owner, self.name, kept)
            if isinstance(mine, PromptThreads):
                mine.close()

        return undo


_PLACES = (
    _Place(execution, "ExecutionState", prompt_state),
    _Place(execution, "ThreadPoolExecutor", prompt_threads),
    _Place(context, "OrderedCounter", prompt_counter),
    _Place(getattr(identifier, "OperationIdNamespace", object), "create_id_for_step", prompt_id),
    _Place(getattr(sdk_state, "CheckpointedResult", object), "create_from_operation", prompt_result),
)


class _Patch:
    """Is in place as long as anybody holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = 0
        self._undo: Sequence[Callable[[], None]] = ()

    def hold(self) -> None:
        with self._lock:
            self._held += 1
            if self._held == 1:
                self._undo = [place.change() for place in _PLACES]

    def release(self) -> None:
        with self._lock:
            self._held -= 1
            if not self._held:
                for undo in self._undo:
                    undo()


_patch = _Patch()


def hurry_sdk() -> Callable[[], None]:
    """Let the SDK end its invocations at once, for all who run handlers in this process.

    Returns:
        The undoing, to be called once; the last one that is called leaves the SDK as it was.
    """
    _patch.hold()
    released = threading.Lock()

    def release() -> None:
        if released.acquire(blocking=False):
            _patch.release()

    return release
