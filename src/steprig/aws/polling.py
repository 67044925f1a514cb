"""Looking again and again, where the service tells nobody when something has come about."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from steprig.aws.errors import DurableFunctionsTestError

T = TypeVar("T")

_FIRST = 0.02
"""Seconds to the second look. The time between looks doubles until it is what was asked for."""


def polled(look: Callable[[], T | None], *, timeout: float, interval: float, closed: threading.Event) -> T:
    """What `look` finds.

    Args:
        look: Returns None while there is nothing to be found.
        timeout: Seconds. It looks a last time at the end of them.
        interval: Seconds between looks, at most.
        closed: Ends it.

    Raises:
        TimeoutError: There was nothing. Without a message, as only who looks knows what at.
        DurableFunctionsTestError: It was closed.
    """
    end, delay = time.monotonic() + timeout, min(_FIRST, interval)
    while (found := look()) is None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if closed.wait(min(delay, left)):
            raise DurableFunctionsTestError("the runner was closed while somebody waited")
        delay = min(2 * delay, interval)
    return found
