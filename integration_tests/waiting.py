"""Waiting for what no event tells."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0
"""Real seconds for what takes milliseconds."""

T = TypeVar("T")


def until(condition: Callable[[], T], what: str = "it", timeout: float = PATIENCE) -> T:
    """Ask again and again, until the answer is a true one; returns that."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:g} s"
        pause.wait(0.002)
    return value
