"""Python's own time, made to follow a virtual clock by time-machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steprig.kernel.virtual_clock import VirtualClock


@contextmanager
def following(clock: "VirtualClock") -> Iterator[None]:
    """Let this process's `datetime.now()`, `time.time()` and their kin show the clock's time.

    Raises:
        ImportError: time-machine is missing.
    """
    try:
        import time_machine
    except ImportError as error:
        raise ImportError("freeze_python_time() needs time-machine: install steprig[time]") from error
    with time_machine.travel(clock.now(), tick=False) as traveller:
        unfollow = clock.follow(traveller.move_to)
        try:
            yield
        finally:
            unfollow()
