"""Python's clock, set by a test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from steprig.workflows.extras import needed


class MockedTime:
    """The time as `time.time()` and `datetime.now()` show it meanwhile. Calling it gives the time, in seconds."""

    def __init__(self, shift: Callable[[timedelta], None]) -> None:
        self._shift = shift

    def __call__(self) -> float:
        return datetime.now(UTC).timestamp()

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._shift(timedelta(seconds=seconds))


@contextmanager
def mocked_time(start_time: float | datetime | None) -> Iterator[MockedTime]:
    """See `AsyncWorkflowFixtures.mock_time`."""
    time_machine = needed("time_machine", "workflows", "mock_time")
    begin = datetime.now(UTC) if start_time is None else start_time
    # A datetime with a zone would set the process's own.
    seconds = begin.timestamp() if isinstance(begin, datetime) else float(begin)
    with time_machine.travel(seconds, tick=True) as traveller:
        yield MockedTime(traveller.shift)
