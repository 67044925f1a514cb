"""Python's own time, made to follow a virtual clock by time-machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steprig.kernel.virtual_clock import VirtualClock


@contextmanager
def following(clock: "VirtualClock") -> Iterator[None]:
    """Let this process's `datetime.now()`, `time.time()` and their kin show the clock's time.

    Monotonic time goes on, and with it every timeout. The local time zone stays what it is.

    Raises:
        ImportError: time-machine is missing.
    """
    try:
        import time_machine
    except ImportError as error:
        raise ImportError("freeze_python_time() needs time-machine: install steprig[time]") from error
    # `travel(clock.now())` and `move_to` would set the process's time zone to UTC, anew at every move.
    begin = int(clock.now().timestamp())
    with time_machine.travel(begin, tick=False) as traveller:
        shown = datetime.fromtimestamp(begin, UTC)

        def show(now: datetime) -> None:
            nonlocal shown
            traveller.shift(now - shown)
            shown = now

        unfollow = clock.follow(show)
        try:
            yield
        finally:
            unfollow()
