"""Sizes of what goes into a batch, reckoned only as exactly as it takes to tell whether it still fits.

The SDK writes every update out as JSON to know its size, then throws the text away, and the batches of nearly all
executions are far from the limit.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

from aws_durable_execution_sdk_python import state as sdk_state

from steprig.aws.prompt.sources import hash_of_source

_log = logging.getLogger(__name__)
_sdk_log = sdk_state.logger
"""Here the SDK tells the size of each batch, at level DEBUG; then all are exact."""

_KNOWN = frozenset(
    {
        "505464069f2cfed64127cae11ae962fc9f11b20c6a09c7e3f73d80a559084795",  # 1.5 to 2.0
        "a359f0ebdeafeb636fbe0ccc16988165bd02ec34165ff080be21d244a0df90ea",  # 2.1 to 3.0
    }
)
"""SHA-256 of the source of what gives sizes and of what uses them."""
_METHODS = ("_collect_checkpoint_batch", "_drain_overflow", "_wait_for_first_operation", "_calculate_operation_size")

_FRAME = 1000
"""More bytes than an update takes without its texts: the names of its fields, its type and action, its numbers."""
_PER_CHARACTER = 12
"""The most that one character takes: `\\ud83d\\ude00`."""


def with_rough_sizes(prompt: type[Any], original: Any) -> type[Any]:
    """A subclass of `prompt` that reckons sizes so; `prompt` itself unless `original` uses them as is known here.

    Args:
        prompt: A subclass of the SDK's `ExecutionState`.
        original: The SDK's.
    """
    if not _is_known(original):
        _log.debug("the SDK uses the sizes of updates in an unknown way, and goes on to reckon them")
        return prompt

    class SizedExecutionState(prompt):  # type: ignore[misc] # the SDK has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._sizes = BatchSizes(super()._calculate_operation_size, self._batcher_config.max_batch_size_bytes)

        def _collect_checkpoint_batch(self) -> Any:
            self._sizes.begin()
            return super()._collect_checkpoint_batch()

        def _calculate_operation_size(self, queued: Any) -> int:
            return self._sizes.size_of(queued)

    return SizedExecutionState


@functools.lru_cache(maxsize=8)
def _is_known(original: Any) -> bool:
    parts = [*(getattr(original, name, None) for name in _METHODS), getattr(sdk_state, "_BatchAccumulator", None)]
    return hash_of_source(*(part for part in parts if part is not None)) in _KNOWN


class BatchSizes:
    """Takes the place of a function that gives sizes, for one batch after the other.

    Sizes sum up to no more than the limit exactly when the true ones do: as long as the most that all can take is
    within it they are that; once it is not, the next size makes up for what the others were too much.

    Args:
        exact: Gives the size of a queued operation in bytes.
        limit: Bytes that fit into a batch.
    """

    def __init__(self, exact: Callable[[Any], int], limit: int) -> None:
        self._exact = exact
        self._limit = limit
        self.begin()

    def begin(self) -> None:
        """The next one is for another batch."""
        self._sum = 0
        self._rough: list[tuple[Any, int]] = []

    def size_of(self, queued: Any) -> int:
        """What to add to the size of the batch for one more queued operation."""
        most = _at_most(queued.operation_update)
        if most is not None and self._sum + most <= self._limit and not _sdk_log.isEnabledFor(logging.DEBUG):
            self._sum += most
            self._rough.append((queued, most))
            return most
        too_much = sum(most - self._exact(one) for one, most in self._rough)
        self._rough.clear()
        size = self._exact(queued) - too_much
        self._sum += size
        return size


def _at_most(update: Any) -> int | None:
    """No fewer bytes than an update takes; None for one that has more than a few texts in it."""
    if update is None:
        return 0
    if update.error is not None or update.chained_invoke_options is not None:
        return None
    try:
        texts = len(update.operation_id) + len(update.parent_id or "") + len(update.name or "")
        return _FRAME + _PER_CHARACTER * (texts + len(update.payload or ""))
    except TypeError:  # some name is no text
        return None
