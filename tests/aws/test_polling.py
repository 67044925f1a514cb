"""How often it is looked, and until when."""

import pytest

from steprig.aws import polling
from steprig.aws.errors import DurableFunctionsTestError


class Waiting:
    """In the place of the event that ends it, and of the time: nothing here takes any."""

    def __init__(self, monkeypatch, closes_after=None):
        self.now = 0.0
        self.waits = []
        self._closes_after = closes_after
        monkeypatch.setattr(polling.time, "monotonic", lambda: self.now)

    def wait(self, seconds):
        self.waits.append(round(seconds, 6))
        self.now += seconds
        return len(self.waits) == self._closes_after


def test_it_looks_ever_less_often_until_the_interval(monkeypatch):
    closed, looks = Waiting(monkeypatch), iter([None] * 6 + ["found"])

    assert polling.polled(lambda: next(looks), timeout=10, interval=0.2, closed=closed) == "found"
    assert closed.waits == [0.02, 0.04, 0.08, 0.16, 0.2, 0.2]


def test_a_short_interval_holds_from_the_first(monkeypatch):
    closed, looks = Waiting(monkeypatch), iter([None, None, "found"])

    assert polling.polled(lambda: next(looks), timeout=10, interval=0.001, closed=closed) == "found"
    assert closed.waits == [0.001, 0.001]


def test_it_looks_a_last_time_at_the_end(monkeypatch):
    closed, looked = Waiting(monkeypatch), []

    with pytest.raises(TimeoutError):
        polling.polled(lambda: looked.append(round(closed.now, 6)), timeout=0.1, interval=1, closed=closed)

    assert looked == [0, 0.02, 0.06, 0.1]
    assert sum(closed.waits) == pytest.approx(0.1)


def test_it_ends_when_it_is_closed(monkeypatch):
    closed = Waiting(monkeypatch, closes_after=2)

    with pytest.raises(DurableFunctionsTestError, match="closed"):
        polling.polled(lambda: None, timeout=10, interval=1, closed=closed)

    assert len(closed.waits) == 2
