"""The virtual clock: when it jumps, what fires, and what keeps it standing."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from steprig.errors import SteprigError
from steprig.kernel import ClockTimeoutError, TimerKind, VirtualClock, virtual_clock

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DELAY, DEADLINE, AMBIGUOUS, BACKGROUND = TimerKind


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock(start=START) as clock:
        yield clock


@pytest.fixture
def by_hand() -> Iterator[VirtualClock]:
    with VirtualClock(start=START, auto=False) as clock:
        yield clock


class Log(list[tuple[str, timedelta]]):
    """What fired, and how long after the start."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.append((name, self.clock.now() - START))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self]


class TestTime:
    def test_it_starts_at_the_real_time_unless_told_otherwise(self) -> None:
        before = datetime.now(UTC)
        assert before <= VirtualClock().now() <= datetime.now(UTC)

    def test_it_shows_utc_whatever_zone_it_is_given(self) -> None:
        start = datetime(2030, 1, 1, 5, tzinfo=timezone(5 * HOUR))
        assert VirtualClock(start=start).now().isoformat() == "2030-01-01T00:00:00+00:00"

    def test_a_start_without_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"start=.* has no time zone"):
            VirtualClock(start=datetime(2030, 1, 1))

    def test_a_timer_without_zone_is_refused_and_leaves_the_clock_in_order(self, clock: VirtualClock) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            clock.call_at(datetime(2030, 1, 2), lambda: None)
        assert clock.pending == []
        clock.advance(HOUR)
        assert clock.now() == START + HOUR


class TestKinds:
    def test_a_delay_is_jumped_to_at_once_when_nothing_is_in_flight(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(30 * 24 * HOUR, log.note("month"))
        assert log == [("month", timedelta(days=30))]

    @pytest.mark.parametrize("kind", [DEADLINE, AMBIGUOUS, BACKGROUND])
    def test_no_other_kind_is_jumped_to_of_itself(self, clock: VirtualClock, kind: TimerKind) -> None:
        log = Log(clock)
        clock.call_later(HOUR, log.note("late"), kind=kind)
        clock.working("something").done()
        assert log == []
        assert clock.now() == START

    def test_an_ambiguous_timer_is_jumped_to_while_a_client_waits(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(HOUR, log.note("sleep"), kind=AMBIGUOUS)
        with clock.awaiting_result():
            assert log == [("sleep", HOUR)]
            clock.call_later(HOUR, log.note("again"), kind=AMBIGUOUS)
            assert log.names == ["sleep", "again"]
        clock.call_later(HOUR, log.note("later"), kind=AMBIGUOUS)
        assert log.names == ["sleep", "again"]

    def test_a_deadline_is_jumped_to_while_a_client_says_that_nothing_will_beat_it(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(HOUR, log.note("timeout"), kind=DEADLINE)
        with clock.awaiting_result():
            assert log == []
            with clock.awaiting_result(skip_deadlines=True):
                assert log == [("timeout", HOUR)]
            clock.call_later(HOUR, log.note("later"), kind=DEADLINE)
        assert log.names == ["timeout"]

    def test_a_waiting_client_does_not_outrun_work_in_flight(self, clock: VirtualClock) -> None:
        log = Log(clock)
        with clock.awaiting_result(skip_deadlines=True):
            with clock.working("call"):
                for kind in TimerKind:
                    clock.call_later(HOUR, log.note(kind), kind=kind)
                assert log == []
            assert log.names == [DELAY, DEADLINE, AMBIGUOUS, BACKGROUND]

    def test_the_last_of_two_clients_to_leave_ends_the_jumping(self, clock: VirtualClock) -> None:
        log = Log(clock)
        first, second = clock.awaiting_result(), clock.awaiting_result()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        clock.call_later(HOUR, log.note("while one waits"), kind=AMBIGUOUS)
        second.__exit__(None, None, None)
        clock.call_later(HOUR, log.note("while none waits"), kind=AMBIGUOUS)
        assert log.names == ["while one waits"]

    def test_a_client_that_fails_no_longer_waits(self, clock: VirtualClock) -> None:
        log = Log(clock)
        with pytest.raises(KeyError), clock.awaiting_result(skip_deadlines=True):
            raise KeyError
        for kind in (AMBIGUOUS, DEADLINE):
            clock.call_later(HOUR, log.note(kind), kind=kind)
        assert log == []

    def test_background_timers_fire_in_their_order_on_the_way_to_another(self, clock: VirtualClock) -> None:
        log = Log(clock)

        def tick() -> None:
            log.note("tick")()
            clock.call_later(HOUR, tick, kind=BACKGROUND)

        clock.call_later(HOUR, tick, kind=BACKGROUND)
        clock.call_later(2.5 * HOUR, log.note("sleep"))
        assert log == [("tick", HOUR), ("tick", 2 * HOUR), ("sleep", 2.5 * HOUR)]
        clock.run_until_idle(deadlines=True)
        assert clock.now() == START + 2.5 * HOUR

    def test_a_background_timer_for_a_time_that_is_past_fires_without_a_jump(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(timedelta(0), log.note("due now"), kind=BACKGROUND)
        clock.call_later(-HOUR, log.note("long due"), kind=BACKGROUND)
        assert log == [("due now", timedelta(0)), ("long due", timedelta(0))]

    @pytest.mark.parametrize("kind", [DEADLINE, AMBIGUOUS])
    def test_what_a_jump_passed_can_still_be_beaten(self, clock: VirtualClock, kind: TimerKind) -> None:
        log = Log(clock)
        timeout = clock.call_later(HOUR, log.note("timeout"), kind=kind)
        clock.call_later(2 * HOUR, log.note("sleep"))
        assert log == [("sleep", 2 * HOUR)]
        assert clock.pending == [timeout]
        timeout.cancel()
        clock.advance(HOUR)
        assert log.names == ["sleep"]

    def test_an_overdue_deadline_fires_at_the_next_move_by_hand(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(HOUR, log.note("timeout"), kind=DEADLINE)
        clock.call_later(2 * HOUR, log.note("sleep"))
        clock.run_until_idle()
        assert log.names == ["sleep"]
        clock.advance()
        assert log == [("sleep", 2 * HOUR), ("timeout", 2 * HOUR)]

    def test_an_overdue_deadline_fires_once_a_client_skips_deadlines(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(HOUR, log.note("timeout"), kind=DEADLINE)
        clock.call_later(2 * HOUR, log.note("sleep"))
        with clock.awaiting_result(skip_deadlines=True):
            assert log == [("sleep", 2 * HOUR), ("timeout", 2 * HOUR)]

    def test_overdue_timers_fire_one_moment_after_the_other(self, clock: VirtualClock) -> None:
        """So that what follows from the first may still beat the second."""
        log = Log(clock)
        with clock.working("set"):
            late = [clock.call_later(n * HOUR, log.note(f"late {n}"), kind=DEADLINE) for n in (1, 2)]
            clock.call_later(3 * HOUR, log.note("sleep"))
        asyncio.run(_advance_while_a_loop_cancels(clock, late[0].when, late[1].cancel, log))
        assert log.names == ["sleep", "late 1", "beaten"]


async def _advance_while_a_loop_cancels(
    clock: VirtualClock, when: datetime, cancel: Callable[[], None], log: Log
) -> None:
    loop = asyncio.get_running_loop()

    def beat() -> None:
        log.append(("beaten", clock.now() - START))
        cancel()

    clock.call_at(when, beat, kind=DEADLINE, dispatch=loop.call_soon_threadsafe)
    await asyncio.to_thread(clock.advance)


class TestInFlight:
    def test_time_stands_while_any_work_is_open(self, clock: VirtualClock) -> None:
        log = Log(clock)
        first, second = clock.working("a"), clock.working("b")
        clock.call_later(HOUR, log.note("sleep"))
        first.done()
        assert log == []
        second.done()
        assert log == [("sleep", HOUR)]

    def test_work_ends_once_however_often_it_is_told(self, clock: VirtualClock) -> None:
        work, other = clock.working("call"), clock.working("call")
        work.done()
        work.done()
        assert clock.in_flight == {"call": 1}
        other.done()
        assert clock.in_flight == {}

    def test_work_ended_by_many_threads_at_once_ends_once(self, clock: VirtualClock) -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(50):
                work, together = clock.working("call"), threading.Barrier(4)

                def end() -> None:
                    together.wait()  # noqa: B023
                    work.done()  # noqa: B023

                threads = [threading.Thread(target=end) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert clock.in_flight == {}
        finally:
            sys.setswitchinterval(interval)

    def test_work_of_a_block_ends_when_the_block_fails(self, clock: VirtualClock) -> None:
        with pytest.raises(KeyError), clock.working("call"):
            raise KeyError
        assert clock.in_flight == {}

    def test_a_timer_counts_as_in_flight_until_its_callback_has_run(self, clock: VirtualClock) -> None:
        dispatched: list[Callable[[], None]] = []
        log = Log(clock)
        clock.call_later(HOUR, log.note("first"), dispatch=dispatched.append, label="nap")
        clock.call_at(START + 2 * HOUR, log.note("second"))
        assert clock.in_flight == {"nap": 1}
        assert clock.now() == START + HOUR
        dispatched.pop()()
        assert log == [("first", HOUR), ("second", 2 * HOUR)]

    def test_a_past_time_waits_for_work_in_flight_too(self, clock: VirtualClock) -> None:
        log = Log(clock)
        with clock.working("call"):
            clock.call_later(-HOUR, log.note("past"))
            assert log == []
        assert log == [("past", timedelta(0))]


class TestCallbacks:
    def test_ten_thousand_timers_that_follow_from_each_other_do_not_recurse(self, clock: VirtualClock) -> None:
        left = 10_000

        def again() -> None:
            nonlocal left
            left -= 1
            if left:
                clock.call_later(timedelta(seconds=1), again)

        clock.call_later(timedelta(seconds=1), again)
        assert left == 0
        assert clock.now() == START + timedelta(seconds=10_000)

    def test_ten_thousand_pieces_of_work_that_follow_from_timers_do_not_recurse(self, clock: VirtualClock) -> None:
        left = 10_000

        def again() -> None:
            nonlocal left
            left -= 1
            with clock.working("call"):
                if left:
                    clock.call_later(timedelta(0), again)

        clock.call_later(timedelta(0), again)
        assert left == 0

    def test_a_timer_can_cancel_one_that_is_due_at_the_same_moment(self, clock: VirtualClock) -> None:
        log = Log(clock)
        with clock.working("set"):
            clock.call_later(HOUR, lambda: second.cancel())
            second = clock.call_later(HOUR, log.note("cancelled"))
            clock.call_later(HOUR, log.note("third"))
        assert log == [("third", HOUR)]
        assert clock.in_flight == {}

    def test_a_timer_cancelled_between_dispatch_and_its_turn_does_not_run(self, clock: VirtualClock) -> None:
        dispatched: list[Callable[[], None]] = []
        log = Log(clock)
        timer = clock.call_later(HOUR, log.note("cancelled"), dispatch=dispatched.append)
        timer.cancel()
        dispatched.pop()()
        assert log == []
        assert clock.in_flight == {}

    def test_time_does_not_move_for_a_cancelled_timer(self, clock: VirtualClock) -> None:
        with clock.working("set"):
            clock.call_later(HOUR, lambda: None).cancel()
        clock.run_until_idle()
        assert clock.now() == START

    def test_a_callback_that_fails_is_logged_and_stops_nothing(
        self, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = Log(clock)
        with clock.working("set"):
            clock.call_later(HOUR, lambda: 1 / 0, label="broken")  # type: ignore[arg-type]
            clock.call_later(HOUR, log.note("same moment"))
            clock.call_later(2 * HOUR, log.note("later"))
        assert log == [("same moment", HOUR), ("later", 2 * HOUR)]
        assert clock.in_flight == {}
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "broken" in caplog.text
        assert "ZeroDivisionError" in caplog.text

    def test_an_interrupt_in_a_callback_comes_through_and_loses_no_timer(self, clock: VirtualClock) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        log = Log(clock)
        work = clock.working("set")
        clock.call_later(HOUR, interrupt)
        clock.call_later(HOUR, log.note("same moment"))
        clock.call_later(2 * HOUR, log.note("later"))
        with pytest.raises(KeyboardInterrupt):
            work.done()
        assert log.names == ["same moment"]
        assert clock.in_flight == {}
        clock.working("next").done()
        assert log.names == ["same moment", "later"]

    def test_a_dispatch_that_runs_the_callback_itself_hides_no_error_of_it(
        self, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise RuntimeError("the callback's own")

        clock.call_later(HOUR, fail, dispatch=lambda callback: callback())
        assert "the callback's own" in caplog.text
        assert clock.in_flight == {}

    @pytest.mark.parametrize("error", [RuntimeError("closed"), ValueError("cannot"), OSError("no pipe")])
    def test_a_dispatch_that_fails_leaves_nothing_in_flight(self, clock: VirtualClock, error: Exception) -> None:
        def refuse(callback: Callable[[], None]) -> None:
            raise error

        log = Log(clock)
        clock.call_later(HOUR, log.note("never"), dispatch=refuse)
        clock.call_at(START + 2 * HOUR, log.note("next"))
        assert log == [("next", 2 * HOUR)]
        assert clock.in_flight == {}


class TestLoops:
    def test_callbacks_run_on_the_loop_that_asked(self, clock: VirtualClock) -> None:
        async def sleeper() -> list[timedelta]:
            loop, seen = asyncio.get_running_loop(), []
            for _ in range(3):
                woken = asyncio.Event()
                with clock.working("turn"):
                    clock.call_later(HOUR, woken.set, dispatch=loop.call_soon_threadsafe)
                await asyncio.wait_for(woken.wait(), 5)
                seen.append(clock.now() - START)
            return seen

        assert asyncio.run(sleeper()) == [HOUR, 2 * HOUR, 3 * HOUR]

    def test_a_timer_of_a_closed_loop_fires_for_nobody(
        self, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        loop = asyncio.new_event_loop()
        log = Log(clock)
        with clock.working("set"):
            clock.call_later(HOUR, log.note("never"), dispatch=loop.call_soon_threadsafe)
            clock.call_later(2 * HOUR, log.note("next"))
            loop.close()
        assert log == [("next", 2 * HOUR)]
        assert clock.in_flight == {}
        assert not caplog.records


class TestAdvance:
    def test_everything_due_fires_and_nothing_later(self, by_hand: VirtualClock) -> None:
        log = Log(by_hand)
        for seconds in (3, 1, 2, 4):
            by_hand.call_later(timedelta(seconds=seconds), log.note(f"{seconds}"))
        by_hand.advance(seconds=3)
        assert log == [(f"{n}", timedelta(seconds=n)) for n in (1, 2, 3)]
        assert by_hand.now() == START + timedelta(seconds=3)

    def test_timers_that_callbacks_set_fire_when_they_fall_in(self, by_hand: VirtualClock) -> None:
        log = Log(by_hand)

        def again() -> None:
            log.note("tick")()
            by_hand.call_later(timedelta(minutes=25), again)

        again()
        by_hand.advance(HOUR)
        assert [at.total_seconds() / 60 for _, at in log] == [0, 25, 50]
        assert by_hand.now() == START + HOUR

    def test_an_auto_clock_under_a_hand_does_not_jump_of_itself(self, clock: VirtualClock) -> None:
        log = Log(clock)

        def set_sleep() -> None:
            clock.call_at(START + 5 * HOUR, log.note("sleep"))

        def on_another_thread(callback: Callable[[], None]) -> None:
            threading.Thread(target=callback).start()

        with clock.working("set"):
            for minutes in (10, 30):
                clock.call_later(
                    timedelta(minutes=minutes),
                    set_sleep,
                    kind=DEADLINE,
                    dispatch=on_another_thread,
                )
            clock.call_later(HOUR, log.note("deadline"), kind=DEADLINE)
        clock.advance(HOUR)
        clock.run_until_idle()
        assert log == [("deadline", HOUR), ("sleep", 5 * HOUR), ("sleep", 5 * HOUR)]

    def test_what_stamps_made_due_fires_too(self, by_hand: VirtualClock) -> None:
        log = Log(by_hand)

        def mark() -> None:
            for _ in range(10):
                by_hand.stamp()
            by_hand.call_later(timedelta(0), log.note("due now"))

        by_hand.call_later(HOUR, mark)
        by_hand.advance(HOUR)
        assert log == [("due now", HOUR + timedelta(microseconds=9))]

    def test_units_add_up(self, by_hand: VirtualClock) -> None:
        by_hand.advance(timedelta(minutes=1), hours=1, seconds=1)
        assert by_hand.now() - START == timedelta(hours=1, minutes=1, seconds=1)

    def test_a_negative_sum_is_refused(self, by_hand: VirtualClock) -> None:
        with pytest.raises(ValueError, match="cannot advance by -1 day, 23:59:59: time does not go backwards"):
            by_hand.advance(seconds=-1)
        assert by_hand.now() == START

    def test_all_kinds_fire(self, by_hand: VirtualClock) -> None:
        log = Log(by_hand)
        for kind in TimerKind:
            by_hand.call_later(HOUR, log.note(kind), kind=kind)
        by_hand.advance(HOUR)
        assert log.names == list(TimerKind)

    def test_what_follows_on_a_loop_settles_before_the_next_timer_fires(self, clock: VirtualClock) -> None:
        log = Log(clock)

        async def turns() -> None:
            loop = asyncio.get_running_loop()

            async def turn(name: str) -> None:
                work = clock.working(name)
                at = clock.now()
                for _ in range(20):
                    await asyncio.sleep(0)
                assert clock.now() == at
                log.note(name)()
                work.done()

            tasks = []
            for n in (1, 2, 3):

                def start(name: str = f"{n}") -> None:
                    work = clock.working("start")
                    tasks.append(loop.create_task(turn(name)))
                    tasks[-1].add_done_callback(lambda _: work.done())

                clock.call_later(n * HOUR, start, kind=DEADLINE, dispatch=loop.call_soon_threadsafe)
            await asyncio.to_thread(clock.advance, 3 * HOUR)
            await asyncio.gather(*tasks)

        asyncio.run(turns())
        assert log == [("1", HOUR), ("2", 2 * HOUR), ("3", 3 * HOUR)]

    def test_work_that_never_ends_is_named(self, clock: VirtualClock) -> None:
        clock.working("call of my-fn")
        clock.working("call of my-fn")
        with pytest.raises(ClockTimeoutError, match=r"after 0.01 s still in flight: 2 x call of my-fn$") as caught:
            clock.advance(HOUR, timeout=0.01)
        assert isinstance(caught.value, SteprigError)
        assert isinstance(caught.value, TimeoutError)
        assert clock.now() == START

    def test_on_a_loops_own_thread_the_message_says_what_to_do_instead(self, clock: VirtualClock) -> None:
        async def stuck() -> None:
            loop = asyncio.get_running_loop()
            clock.call_later(HOUR, lambda: None, kind=DEADLINE, dispatch=loop.call_soon_threadsafe, label="wait")
            clock.advance(HOUR, timeout=0.01)

        with pytest.raises(ClockTimeoutError, match=r"1 x wait; .*await asyncio.to_thread\(clock.advance"):
            asyncio.run(stuck())

    def test_a_clock_that_gave_up_goes_on_once_the_work_ends(self, clock: VirtualClock) -> None:
        log = Log(clock)
        work = clock.working("slow")
        clock.call_later(HOUR, log.note("sleep"))
        with pytest.raises(ClockTimeoutError):
            clock.advance(HOUR, timeout=0.01)
        work.done()
        assert log == [("sleep", HOUR)]

    def test_no_time_and_nothing_due_needs_no_patience(self, by_hand: VirtualClock) -> None:
        by_hand.call_later(HOUR, lambda: None)
        by_hand.advance(minutes=59, timeout=0)
        assert by_hand.now() == START + timedelta(minutes=59)

    def test_timers_without_end_at_one_moment_are_noticed(self, by_hand: VirtualClock) -> None:
        def again() -> None:
            by_hand.call_later(timedelta(0), again, label="livelock")

        again()
        with pytest.raises(ClockTimeoutError, match=r"timers follow from timers; .*<Timer livelock"):
            by_hand.advance(HOUR, timeout=0.05)

    def test_patience_is_for_each_moment_and_not_for_the_whole_way(
        self, by_hand: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real_seconds = 0.0

        def tick() -> None:
            nonlocal real_seconds
            real_seconds += 6
            by_hand.call_later(HOUR, tick, kind=BACKGROUND)

        monkeypatch.setattr(virtual_clock, "time", SimpleNamespace(monotonic=lambda: real_seconds))
        tick()
        by_hand.advance(24 * HOUR, timeout=10)
        assert real_seconds == 6 * 25

    def test_a_callback_cannot_move_the_clock(self, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
        clock.call_later(HOUR, lambda: clock.advance(HOUR))
        assert "a timer's callback cannot move the clock" in caplog.text
        assert clock.now() == START + HOUR

    def test_two_threads_move_it_one_after_the_other(self, by_hand: VirtualClock) -> None:
        threads = [threading.Thread(target=by_hand.advance, args=(HOUR,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert by_hand.now() == START + 8 * HOUR

    def test_a_thread_that_waits_for_another_hand_gives_up_in_time(self, by_hand: VirtualClock) -> None:
        entered, leave = threading.Event(), threading.Event()

        def stay() -> None:
            entered.set()
            leave.wait(10)

        by_hand.call_later(HOUR, stay)
        thread = threading.Thread(target=by_hand.advance, args=(HOUR,))
        thread.start()
        assert entered.wait(10)
        with pytest.raises(ClockTimeoutError, match="another thread was still moving it"):
            by_hand.advance(HOUR, timeout=0.01)
        leave.set()
        thread.join(10)
        assert by_hand.now() == START + HOUR


class TestRunUntilIdle:
    def test_it_goes_to_delays_and_ambiguous_timers_and_no_further(self, by_hand: VirtualClock) -> None:
        log = Log(by_hand)
        for hours, kind in enumerate((AMBIGUOUS, DELAY, BACKGROUND, DEADLINE), 1):
            by_hand.call_later(hours * HOUR, log.note(kind), kind=kind)
        by_hand.run_until_idle()
        assert log == [(AMBIGUOUS, HOUR), (DELAY, 2 * HOUR)]
        by_hand.run_until_idle(deadlines=True)
        assert log[2:] == [(BACKGROUND, 3 * HOUR), (DEADLINE, 4 * HOUR)]

    def test_it_waits_for_work_in_flight(self, clock: VirtualClock) -> None:
        log = Log(clock)
        work = clock.working("call")

        def end() -> None:
            clock.call_later(HOUR, log.note("sleep"))
            work.done()

        thread = threading.Timer(0.01, end)
        thread.start()
        clock.run_until_idle()
        thread.join(10)
        assert log == [("sleep", HOUR)]

    def test_something_that_goes_on_for_ever_is_named_in_time(self, by_hand: VirtualClock) -> None:
        def again() -> None:
            by_hand.call_later(HOUR, again, label="eternal")

        again()
        with pytest.raises(ClockTimeoutError, match=r"did not come to rest within 0.05 s: .*<Timer eternal"):
            by_hand.run_until_idle(timeout=0.05)


class TestByHand:
    def test_only_a_hand_moves_it(self, by_hand: VirtualClock) -> None:
        log = Log(by_hand)
        by_hand.call_later(timedelta(0), log.note("due"))
        by_hand.call_later(HOUR, log.note("sleep"))
        by_hand.working("call").done()
        with by_hand.awaiting_result(skip_deadlines=True):
            assert log == []
        by_hand.advance()
        assert log == [("due", timedelta(0))]


class TestStamps:
    def test_stamps_differ_while_time_stands_and_the_clock_keeps_up(self, clock: VirtualClock) -> None:
        stamps = [clock.stamp() for _ in range(1_000)]
        assert stamps == sorted(set(stamps))
        assert stamps[0] == START
        assert clock.now() == stamps[-1]

    def test_stamps_of_many_threads_all_differ_and_none_is_in_the_future(self, clock: VirtualClock) -> None:
        stamps: list[list[datetime]] = [[] for _ in range(4)]
        late: list[datetime] = []

        def mark(mine: list[datetime]) -> None:
            for _ in range(2_000):
                mine.append(clock.stamp())
                if mine[-1] > clock.now():
                    late.append(mine[-1])

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=mark, args=(mine,)) for mine in stamps]
            for thread in threads:
                thread.start()
            for _ in range(200):
                clock.advance(timedelta(microseconds=7))
            for thread in threads:
                thread.join(20)
        finally:
            sys.setswitchinterval(interval)
        assert late == []
        assert all(mine == sorted(mine) for mine in stamps)
        assert len({stamp for mine in stamps for stamp in mine}) == 8_000

    def test_a_delay_that_stamps_passed_fires_when_all_is_idle(self, clock: VirtualClock) -> None:
        log = Log(clock)
        with clock.working("call"):
            clock.call_later(timedelta(microseconds=2), log.note("passed"))
            for _ in range(10):
                clock.stamp()
            assert log == []
        assert log == [("passed", timedelta(microseconds=9))]


class TestFollowers:
    def test_a_follower_sees_every_new_time_until_it_leaves(self, clock: VirtualClock) -> None:
        seen: list[datetime] = []
        leave = clock.follow(seen.append)
        clock.advance(HOUR)
        clock.call_later(HOUR, lambda: None)
        leave()
        leave()
        clock.advance(HOUR)
        assert seen == [START, START + HOUR, START + 2 * HOUR]

    def test_one_follower_leaving_leaves_the_others(self, clock: VirtualClock) -> None:
        first: list[datetime] = []
        second: list[datetime] = []
        leave = clock.follow(lambda now: first.append(now))
        clock.follow(lambda now: second.append(now))
        leave()
        clock.advance(HOUR)
        assert first == [START]
        assert second == [START, START + HOUR]


class TestClose:
    def test_no_timer_fires_after_it_and_none_can_be_set(self, clock: VirtualClock) -> None:
        log = Log(clock)
        clock.call_later(HOUR, log.note("never"), kind=DEADLINE)
        clock.close()
        clock.close()
        clock.advance(2 * HOUR)
        assert log == []
        with pytest.raises(RuntimeError, match=r"cannot set <Timer nap \(delay\) at .*: the clock is closed"):
            clock.call_later(HOUR, log.note("never"), label="nap")

    def test_work_may_end_after_it(self, clock: VirtualClock) -> None:
        work = clock.working("call")
        clock.close()
        work.done()
        assert clock.in_flight == {}
