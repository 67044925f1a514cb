"""Makes the SDK end its invocations at once.

The SDK's checkpoint thread waits on its queue for a tenth of a second before it looks whether it has to stop, at the
end of every invocation; and with every checkpoint that somebody waits for, it waits a little for others to join it.
Handlers that run in this process can be spared that: their `ExecutionState` gets a queue that stops waiting when the
state is told to stop, and does not wait for company.

What is sent stays what it was, and its order. Wherever the SDK is not built as expected it is left as it is, and slow.
"""

import inspect
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from aws_durable_execution_sdk_python import execution
from aws_durable_execution_sdk_python import state as sdk_state

_log = logging.getLogger(__name__)
_NAME = "ExecutionState"
T = TypeVar("T")


class PromptQueue(queue.Queue[T]):
    """A queue whose timed `get` gives up at once when it is told to.

    Args:
        shortest_wait: Seconds. A `get` that would wait no longer than this does not wait at all.
    """

    def __init__(self, shortest_wait: float = 0.0) -> None:
        super().__init__()
        self._shortest_wait = shortest_wait
        self._hurried = False

    def hurry(self) -> None:
        """From now on a timed `get` waits no more."""
        with self.mutex:
            self._hurried = True
            self.not_empty.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """See `queue.Queue.get`."""
        if not block or timeout is None or timeout < 0:
            return super().get(block, timeout)
        with self.not_empty:
            if not self._qsize() and not self._hurried and timeout > self._shortest_wait:
                self.not_empty.wait_for(lambda: self._qsize() or self._hurried, timeout)
            if not self._qsize():
                raise queue.Empty
            item = self._get()
            self.not_full.notify()
            return item


def _prompt(original: type[Any]) -> type[Any] | None:
    """A subclass of the SDK's class that stops at once; None when that is not built as expected."""
    if not inspect.isclass(original) or not callable(getattr(original, "stop_checkpointing", None)):
        return None
    wait_for_company = getattr(sdk_state, "_BLOCKED_CALLER_WAIT_SECONDS", None)
    batching = {} if isinstance(wait_for_company, float) else _no_batches(original)
    shortest_wait = wait_for_company if isinstance(wait_for_company, float) else 0.0

    class PromptExecutionState(original):  # type: ignore[misc] # the SDK has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**batching, **kwargs})
            known = getattr(self, "_checkpoint_queue", None)
            if type(known) is queue.Queue and known.empty() and known.maxsize == 0:
                self._checkpoint_queue: Any = PromptQueue(shortest_wait)

        def stop_checkpointing(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().stop_checkpointing(*args, **kwargs)
            finally:
                if isinstance(self._checkpoint_queue, PromptQueue):
                    self._checkpoint_queue.hurry()

    PromptExecutionState.__name__ = PromptExecutionState.__qualname__ = original.__name__
    return PromptExecutionState


def _no_batches(original: type[Any]) -> dict[str, Any]:
    """Before 2.1 the SDK waits for company as long as a batch may take; its own setting for that has to do."""
    try:
        inspect.signature(original.__init__).bind_partial(None, batcher_config=None)
        return {"batcher_config": sdk_state.CheckpointBatcherConfig(max_batch_time_seconds=0)}
    except (AttributeError, TypeError, ValueError) as error:
        _log.debug("the SDK's batches cannot be hurried: %s", error)
        return {}


class _Patch:
    """Is in place as long as anybody holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = 0
        self._original: Any = None
        self._mine: Any = None

    def hold(self) -> None:
        with self._lock:
            self._held += 1
            if self._held > 1:
                return
            self._original = getattr(execution, _NAME, None)
            self._mine = _prompt(self._original)
            if self._mine is None:
                _log.debug("the SDK is not built as expected, and left as slow as it is")
            else:
                setattr(execution, _NAME, self._mine)

    def release(self) -> None:
        with self._lock:
            self._held -= 1
            if self._held or self._mine is None:
                return
            if getattr(execution, _NAME, None) is self._mine:  # else somebody else has put theirs there
                setattr(execution, _NAME, self._original)
            self._mine = None


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
