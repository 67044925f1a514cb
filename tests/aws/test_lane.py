"""The way into the engine, when something goes wrong on it."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from steprig.aws.lane import Lane, StoppedError
from steprig.kernel import MemoryJournal, SqliteJournal, VirtualClock


def is_free(lock):
    """Whether another thread gets it."""

    def take():
        free = lock.acquire(blocking=False)
        if free:
            lock.release()
        return free

    with ThreadPoolExecutor(1) as other:
        return other.submit(take).result()


@pytest.fixture
def clock():
    with VirtualClock() as clock:
        yield clock


def test_a_journal_that_fails_keeps_nobody_out(clock, tmp_path):
    journal, lock = SqliteJournal(tmp_path / "journal"), threading.RLock()
    journal.close()

    with pytest.raises(sqlite3.Error), Lane(clock, journal, lock):
        pass

    assert is_free(lock)
    assert not clock.in_flight


def test_nobody_comes_in_once_it_is_closed(clock):
    lock = threading.RLock()
    lane = Lane(clock, MemoryJournal(), lock)
    lane.close()

    with pytest.raises(StoppedError), lane:
        pass

    assert is_free(lock)
    assert not clock.in_flight


def test_what_follows_is_begun_when_others_may_come_in_whatever_fails_of_it(clock, caplog):
    lock, found = threading.RLock(), []
    lane = Lane(clock, MemoryJournal(), lock)

    with lane:
        lane.then(lambda: 1 / 0)
        lane.then(lambda: found.append((is_free(lock), [*clock.in_flight])))
        assert not found

    assert found == [(True, ["the engine"])]
    assert "division by zero" in caplog.text
    assert not clock.in_flight
