"""An `ExecutionState` that ends at once.

The SDK's checkpoint thread waits on its queue for a tenth of a second before it looks whether it has to stop, at the
end of every invocation; and with every checkpoint that somebody waits for, it waits a little for others to join it.
Here it has a queue that stops waiting when the state is told to stop, and does not wait for company. Nor does it write
every update out as JSON to know its size.
"""

import inspect
import logging
import queue
from typing import Any, Generic, TypeVar

from aws_durable_execution_sdk_python import state as sdk_state

from steprig.aws.prompt.sizes import with_rough_sizes

_log = logging.getLogger(__name__)
T = TypeVar("T")


class PromptQueue(Generic[T]):
    """What the SDK uses of a queue; a timed `get` gives up at once when it is told to.

    Built on `queue.SimpleQueue`, which does without the locks of `queue.Queue` and wakes a reader in C.

    Args:
        shortest_wait: Seconds. A `get` that would wait no longer than this does not wait at all.
    """

    def __init__(self, shortest_wait: float = 0.0) -> None:
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._shortest_wait = shortest_wait
        self._hurried = False
        self.empty = self._items.empty
        self.put = self._items.put
        self.qsize = self._items.qsize

    def hurry(self) -> None:
        """From now on a timed `get` waits no more."""
        self._hurried = True
        self._items.put(None)  # for a `get` that waits by now

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """See `queue.Queue.get`."""
        while True:
            if not block or (timeout is not None and (self._hurried or 0 <= timeout <= self._shortest_wait)):
                item = self._items.get_nowait()
            else:
                item = self._items.get(timeout=timeout)
            if item is not None:
                return item

    def get_nowait(self) -> T:
        """See `queue.Queue.get_nowait`."""
        return self.get(block=False)

    def task_done(self) -> None:
        """Nobody waits for that."""


def prompt_state(original: Any) -> type[Any] | None:
    """A subclass of the SDK's `ExecutionState` that stops at once; None when that is not built as expected."""
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

    made = with_rough_sizes(PromptExecutionState, original)
    made.__name__ = made.__qualname__ = original.__name__
    return made


def _no_batches(original: type[Any]) -> dict[str, Any]:
    """Before 2.1 the SDK waits for company as long as a batch may take; its own setting for that has to do."""
    try:
        inspect.signature(original.__init__).bind_partial(None, batcher_config=None)
        return {"batcher_config": sdk_state.CheckpointBatcherConfig(max_batch_time_seconds=0)}
    except (AttributeError, TypeError, ValueError) as error:
        _log.debug("the SDK's batches cannot be hurried: %s", error)
        return {}
