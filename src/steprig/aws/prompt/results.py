"""The result that the SDK makes of an operation, made once.

An invocation begins at the beginning, and asks for the result of every operation that was there before, each time
twice or more. A runner in this process hands the SDK the same operation each time.
"""

import functools
from collections.abc import Callable
from typing import Any

from steprig.aws.prompt.sources import hash_of_source

_KNOWN = "2c04a4ffdcb34201a3b9b82f58166ac9b868afe79997934e5e7ebffa9c2c0aca"
"""SHA-256 of the source of `CheckpointedResult.create_from_operation` from 1.5 to 3.0: it reads the operation alone,
and neither the operation nor the result can change."""

_RESULT = "_steprig_result"
"""Where an operation has its result: beside its fields, which alone are compared, shown and sent."""


@functools.lru_cache(maxsize=8)
def prompt_result(original: Any) -> Callable[[Any], Any] | None:
    """A `CheckpointedResult.create_from_operation` that remembers; None in the place of another than the one known."""
    if hash_of_source(original) != _KNOWN:
        return None

    def create_from_operation(operation: Any) -> Any:
        beside = operation.__dict__
        made = beside.get(_RESULT)
        if made is None:
            made = beside[_RESULT] = original(operation)
        return made

    return create_from_operation
