"""Moving the clock of a runner."""

from datetime import timedelta

from steprig.aws.errors import DurableFunctionsTestError
from steprig.kernel import Clock, VirtualClock


def advance(clock: Clock, delta: timedelta, *, instead: str, timeout: float, **units: float) -> None:
    """Move a clock; for the arguments see the runners.

    Args:
        clock: To be moved.
        delta: How far.
        instead: What to do about a clock that cannot be moved.
        timeout: Real seconds that each moment on the way may take to settle.
        **units: More to go.

    Raises:
        DurableFunctionsTestError: The clock cannot be moved.
    """
    if not isinstance(clock, VirtualClock):
        raise DurableFunctionsTestError(f"{type(clock).__name__} cannot be moved; {instead}")
    clock.advance(delta, timeout=timeout, **units)
