"""No jump happens while anything is in flight, whatever the threads do."""

import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from steprig.kernel import TimerKind, VirtualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 20


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Lane:
    """A thread that runs what is dispatched to it, as an event loop does."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def dispatch(self, callback: Callable[[], None]) -> None:
        self._queue.put(callback)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while (callback := self._queue.get()) is not None:
            callback()


class Durable:
    """A made-up function that works, sleeps, works, ... `turns` times, each turn on one of the lanes.

    The oracle: it alone knows when it has to wake, as nothing but its own sleeps moves its time between turns
    further than it asked for.
    """

    def __init__(self, clock: VirtualClock, lanes: list[Lane], seed: int, turns: int) -> None:
        self.clock, self.lanes, self.random, self.left = clock, lanes, random.Random(seed), turns
        self.asked = clock.now()
        self.faults: list[str] = []
        self.woken: list[datetime] = []

    def turn(self) -> None:
        with self.clock.working("turn"):
            now = self.clock.now()
            self.woken.append(now)
            if now != self.asked:
                self.faults.append(f"asked for {self.asked}, woken at {now}")
            for _ in range(self.random.randrange(30)):
                if self.clock.now() != now:
                    self.faults.append(f"time moved during a turn at {now}")
            self.left -= 1
            if self.left:
                self.sleep(now)

    def sleep(self, now: datetime) -> None:
        self.asked = now + timedelta(seconds=self.random.randrange(1, 5))
        beaten = self.clock.call_at(self.asked, lambda: self.faults.append("cancelled, but fired"))
        self.clock.call_at(self.asked, self.turn, dispatch=self.random.choice(self.lanes).dispatch)
        beaten.cancel()


@pytest.mark.parametrize("seed", range(3))
def test_every_sleep_ends_at_its_very_moment_on_many_threads(seed: int) -> None:
    clock = VirtualClock(start=START)
    lanes = [Lane() for _ in range(3)]
    functions = [Durable(clock, lanes, seed * 100 + n, turns=20) for n in range(30)]
    with clock.working("begin"):
        for function in functions:
            function.lanes[0].dispatch(_held(clock, function.turn))
    clock.run_until_idle(timeout=PATIENCE)
    for lane in lanes:
        lane.close()
    assert [fault for function in functions for fault in function.faults] == []
    assert [function.left for function in functions] == [0] * 30
    assert all(function.woken == sorted(function.woken) for function in functions)
    assert clock.now() == max(function.asked for function in functions)
    assert clock.in_flight == {}


def _held(clock: VirtualClock, callback: Callable[[], None]) -> Callable[[], None]:
    work = clock.working("queued")

    def run() -> None:
        with work:
            callback()

    return run


def test_clients_of_no_loop_never_see_time_move_during_their_calls() -> None:
    """Handlers call a platform synchronously from threads of their own, and sleep by timers without dispatch."""
    clock = VirtualClock(start=START)
    faults: list[str] = []
    fired: list[tuple[datetime, datetime]] = []
    fired_lock = threading.Lock()

    def note(when: datetime) -> None:
        with fired_lock:
            fired.append((when, clock.now()))

    def handler(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            with clock.working("invocation"):
                now = clock.now()
                when = now + timedelta(seconds=chance.randrange(0, 3))
                clock.call_at(when, lambda when=when: note(when))  # type: ignore[misc]
                clock.call_at(when, lambda: None, kind=chance.choice(list(TimerKind)))
                for _ in range(chance.randrange(20)):
                    pass
                if clock.now() != now:
                    faults.append(f"time moved from {now} to {clock.now()}")

    threads = [threading.Thread(target=handler, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    clock.run_until_idle(timeout=PATIENCE)
    assert faults == []
    assert len(fired) == 600
    assert all(when == at for when, at in fired), "each was set for a moment that nothing could have passed"
    assert [when for when, _ in fired] == sorted(when for when, _ in fired)


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    clock = VirtualClock(start=START)
    fired: list[int] = []

    def client(number: int) -> None:
        for n in range(100):
            done = threading.Event()
            with clock.working("request"):
                clock.call_later(
                    timedelta(seconds=n % 3), done.set, kind=TimerKind.AMBIGUOUS if n % 2 else TimerKind.DEADLINE
                )
            with clock.awaiting_result(skip_deadlines=True):
                if done.wait(PATIENCE):
                    fired.append(number)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(fired) == 400
    assert clock.pending == []
    with clock.working("set"):
        left = clock.call_later(timedelta(seconds=1), lambda: None, kind=TimerKind.AMBIGUOUS)
    assert clock.pending == [left]
