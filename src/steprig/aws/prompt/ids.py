"""The ids of operations, drawn and made at little cost.

The SDK draws the number of every operation under a lock that makes an event for each who wants it, and hashes the
number for the id. An execution with many suspensions does that again for all its operations whenever it is invoked.
"""

import functools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from steprig.aws.prompt.sources import hash_of_source

_KNOWN_COUNTER = "3744e960435319d61bebbbff14480b2925bead647b81815cbcd91b61069c61bb"
"""Of the source of `OrderedCounter` from 1.5 to 3.0: it does nothing with its lock but to count under it."""

_KNOWN_ID = "19887d34edbb4730cacbe18cd3a83bc0f52716a87b6b3337d738753b4f60761b"
"""Of the source of `OperationIdNamespace.create_id_for_step` from 2.0 to 3.0: it reads `prefix` alone."""

_KEPT_IDS = 10_000
"""At most; some 250 bytes each."""


@functools.lru_cache(maxsize=8)
def prompt_counter(original: Any) -> type[Any] | None:
    """A subclass of the SDK's `OrderedCounter` that has a plain lock; None in the place of another than the one known.

    No two get the same number either way, and while one counts nobody can tell in which order others came.
    """
    if hash_of_source(original) != _KNOWN_COUNTER:
        return None

    class PromptCounter(original):  # type: ignore[misc] # the SDK has no types
        def __init__(self) -> None:
            super().__init__()
            self._lock = threading.Lock()

    return PromptCounter


@functools.lru_cache(maxsize=8)
def prompt_id(original: Any) -> Callable[[Any, int], str] | None:
    """An `OperationIdNamespace.create_id_for_step` that remembers; None in the place of another than the one known."""
    if hash_of_source(original) != _KNOWN_ID:
        return None

    @functools.lru_cache(maxsize=_KEPT_IDS)
    def made(prefix: str | None, step: int) -> str:
        return str(original(SimpleNamespace(prefix=prefix), step))

    def create_id_for_step(self: Any, step: int) -> str:
        return made(self.prefix, step)

    return create_id_for_step
