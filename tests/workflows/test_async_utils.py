"""Waiting, limits, repetition and load."""

import asyncio
import threading
import time
import tracemalloc

import pytest

from steprig.workflows import AsyncAssertions, AsyncTestUtils


def run(coroutine):
    async def main():
        async with asyncio.timeout(60):
            return await coroutine

    return asyncio.run(main())


async def never():
    await asyncio.Event().wait()


class Rising:
    """Gives 1, 2, 3, ... up to a last value."""

    def __init__(self, last=10**9):
        self.count, self.last = 0, last

    def now(self):
        self.count += 1
        return min(self.count, self.last)

    async def soon(self):
        return self.now()


@pytest.mark.parametrize("form", [lambda it: it.now() >= 3, lambda it: at_least_three(it)], ids=["sync", "coroutine"])
def test_a_condition_is_waited_for_whether_it_gives_a_value_or_a_coroutine(form):
    rising = Rising()

    run(AsyncTestUtils.wait_for_condition(lambda: form(rising), timeout=20, interval=0))

    assert rising.count == 3


async def at_least_three(rising):
    return await rising.soon() >= 3


def test_a_condition_that_never_holds_shows_what_was_seen():
    with pytest.raises(TimeoutError, match=r"the queue is empty: not true within 0.05 s; .*None after"):
        run(AsyncTestUtils.wait_for_condition(lambda: None, timeout=0.05, interval=0.01, message="the queue is empty"))
    with pytest.raises(TimeoutError, match="never seen"):
        run(AsyncTestUtils.wait_for_condition(never, timeout=0.05))


def test_an_error_in_a_condition_comes_at_once():
    with pytest.raises(ZeroDivisionError):
        run(AsyncTestUtils.wait_for_condition(lambda: 1 / 0, timeout=60))


def test_what_takes_too_long_is_stopped():
    assert run(AsyncTestUtils.assert_completes_within(asyncio.sleep(0, 5), 20)) == 5
    with pytest.raises(AssertionError, match=r"the job did not come to an end within 0.05 s"):
        run(AsyncTestUtils.assert_completes_within(never(), 0.05, "the job"))


def test_the_own_timeout_of_what_is_limited_stays_that():
    async def late():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        run(AsyncTestUtils.assert_completes_within(late(), 20))


def test_an_expected_exception_is_given_back():
    async def fail(message):
        raise ValueError(message)

    assert str(run(AsyncTestUtils.assert_raises_async(ValueError, fail, "a"))) == "a"
    assert str(run(AsyncTestUtils.assert_raises_async(ValueError, fail("b")))) == "b"
    with pytest.raises(ValueError, match="c"):
        run(AsyncTestUtils.assert_raises_async(KeyError, fail, "c"))


@pytest.mark.parametrize("kind", [ValueError, AssertionError, (KeyError, AssertionError)])
def test_nothing_raised_is_a_failure_also_when_a_failure_is_expected(kind):
    with pytest.raises(AssertionError, match="nothing was raised and 7 given"):
        run(AsyncTestUtils.assert_raises_async(kind, asyncio.sleep(0, 7)))


def test_a_duration_has_two_bounds():
    async def within(body, **bounds):
        async with AsyncTestUtils.assert_duration(**bounds):
            await body

    run(within(asyncio.sleep(0.01), min_seconds=0.005, max_seconds=20))
    with pytest.raises(AssertionError, match="expected at least 5 s"):
        run(within(asyncio.sleep(0), min_seconds=5))
    with pytest.raises(AssertionError, match=r"at most 0.05 s"):
        run(within(never(), max_seconds=0.05))


def test_things_run_at_once_and_an_error_ends_the_others():
    ended = []

    async def wait():
        try:
            await never()
        finally:
            ended.append(True)

    async def fail():
        await asyncio.sleep(0)
        raise ValueError("first")

    assert run(AsyncTestUtils.run_concurrent(asyncio.sleep(0, 1), asyncio.sleep(0, 2))) == [1, 2]
    with pytest.raises(ValueError, match="first"):
        run(AsyncTestUtils.run_concurrent(wait(), fail()))
    assert ended == [True]
    results = run(AsyncTestUtils.run_concurrent(fail(), asyncio.sleep(0, 2), return_exceptions=True))
    assert (type(results[0]), results[1]) == (ValueError, 2)


def test_things_run_one_after_the_other_and_stop_at_an_error():
    order = []

    async def note(name):
        order.append(name)
        await asyncio.sleep(0)
        order.append(name)
        if name == "b":
            raise ValueError("b")
        return name

    assert run(AsyncTestUtils.run_sequential(note("a"), note("c"))) == ["a", "c"]
    with pytest.raises(ValueError, match="b"):
        run(AsyncTestUtils.run_sequential(note("b"), note("d")))
    assert order == ["a", "a", "c", "c", "b", "b"]


def test_a_retry_calls_again_for_the_errors_it_is_told_of_and_raises_the_last():
    tries = []

    @AsyncTestUtils.async_retry(max_attempts=3, delay=0.001, exceptions=(ConnectionError,))
    async def flaky(works_at, error=ConnectionError):
        tries.append(1)
        if len(tries) < works_at:
            raise error(len(tries))
        return "fine"

    assert run(flaky(3)) == "fine"
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(ConnectionError, match="3"):
        run(flaky(9))
    tries.clear()
    with pytest.raises(KeyError):
        run(flaky(9, KeyError))
    assert len(tries) == 1


def test_a_value_that_comes_in_time_is_enough():
    rising = Rising()
    run(AsyncAssertions.assert_eventually_equals(rising.soon, 3, timeout=20, interval=0))
    run(AsyncAssertions.assert_eventually_true(lambda: rising.now() > 5, timeout=20))
    with pytest.raises(AssertionError, match=r"the count was not 9 within 0.05 s; .* seen: 7 after"):
        run(AsyncAssertions.assert_eventually_equals(lambda: 7, 9, timeout=0.05, interval=0.01, message="the count"))
    with pytest.raises(AssertionError, match="seen: 0 after"):
        run(AsyncAssertions.assert_eventually_true(lambda: 0, timeout=0.05))


def test_a_value_that_moves_and_then_settles_has_converged():
    rising = Rising(last=10)

    last = run(AsyncAssertions.assert_converges(rising.soon, tolerance=1.0, timeout=20, samples=20, interval=0))

    assert (last, rising.count) == (10, 20)


def test_a_value_that_goes_on_moving_has_not_and_the_samples_are_shown():
    with pytest.raises(AssertionError, match=r"the last 5 samples differ by 4, allowed are 1.0; 10 seen: 1 after"):
        run(AsyncAssertions.assert_converges(Rising().now, tolerance=1.0, timeout=20, samples=10, interval=0))


def test_a_getter_that_hangs_does_not_hold_up_the_test():
    with pytest.raises(AssertionError, match=r"only 0 of 20 samples within 0.05 s"):
        run(AsyncAssertions.assert_converges(never, timeout=0.05, samples=20))


def test_whether_a_value_settles_takes_two_samples_a_tenth_of_a_second_apart():
    with pytest.raises(ValueError, match="two samples or more, not by 1"):
        run(AsyncAssertions.assert_converges(lambda: 1, samples=1))
    with pytest.raises(AssertionError, match=r"more slowly than in 0\.2 s pass interval="):
        run(AsyncAssertions.assert_converges(Rising().now, tolerance=0.5, timeout=100.0, samples=2))


def test_a_getters_own_timeout_stays_that():
    def stuck():
        raise TimeoutError("the socket's own")

    for waiting in (AsyncTestUtils.wait_for_condition, AsyncAssertions.assert_eventually_true):
        with pytest.raises(TimeoutError, match="the socket's own"):
            run(waiting(stuck))


def test_of_many_samples_the_first_and_the_last_are_shown():
    with pytest.raises(AssertionError) as caught:
        run(AsyncAssertions.assert_converges(Rising().now, tolerance=0, timeout=60, samples=20, interval=0))
    message = str(caught.value)
    assert "20 seen: 1 after" in message
    assert ", ... (10 more) ..., 14 after" in message
    assert "4 after" not in message.replace("14 after", "")


def test_throughput_is_operations_by_time():
    assert (
        run(AsyncAssertions.assert_performance(asyncio.sleep(0.001, 3), max_time=20, min_throughput=1, operations=1000))
        == 3
    )
    with pytest.raises(AssertionError, match=r"operations/s \(5 in"):
        run(AsyncAssertions.assert_performance(asyncio.sleep(0.01), min_throughput=10_000, operations=5))
    with pytest.raises(AssertionError, match=r"stopped after .* expected at most 0.05 s"):
        run(AsyncAssertions.assert_performance(never(), max_time=0.05))


def test_performance_of_a_function_is_that_of_its_calls_one_by_one():
    calls = iter(range(100))
    assess = AsyncAssertions.assert_performance

    assert run(assess(lambda: next(calls), max_time=20, operations=3, percentiles={50: 10, 100: 20})) == [0, 1, 2]
    with pytest.raises(AssertionError, match=r"p100 .* \(at most 1e-09\); 4 calls from"):
        run(assess(lambda: asyncio.sleep(0), operations=4, percentiles={100: 1e-9}))
    with pytest.raises(AssertionError, match="stopped after"):
        run(assess(never, max_time=0.05, operations=2))
    with pytest.raises(ValueError, match="pass it uncalled"):
        run(assess(asyncio.sleep(0), percentiles={50: 1}))


def test_a_percentile_is_the_time_in_which_so_many_of_the_calls_have_ended():
    from steprig.workflows.load import _check_percentiles

    taken = [float(second) for second in range(1, 101)]
    _check_percentiles(taken, {1: 1.0, 50: 50.0, 99: 99.0, 99.5: 100.0, 100: 100.0})
    for percent, seconds in ((1, 0.5), (50, 49.5), (99, 98.5), (100, 99.5)):
        with pytest.raises(AssertionError, match=rf"p{percent} "):
            _check_percentiles(taken, {percent: seconds})


def test_percentiles_are_of_calls_one_by_one():
    taken = run(AsyncAssertions.assert_latency(lambda: None, {50: 20, 99: 20}, iterations=30))
    assert len(taken) == 30
    assert taken == sorted(taken)
    with pytest.raises(AssertionError, match=r"p50 .* \(at most 1e-09\)"):
        run(AsyncAssertions.assert_latency(lambda: asyncio.sleep(0), {50: 1e-9}, iterations=5))


def test_calls_at_once_get_their_arguments_in_threads_too_and_all_failures_are_listed():
    def sync(number, *, by):
        time.sleep(0)
        return number * by

    async def fail():
        raise ValueError("shared")

    assert run(AsyncAssertions.assert_concurrent_safe(sync, 2, by=3, concurrency=4)) == [6] * 4
    with pytest.raises(AssertionError, match=r"3 of 3 calls at once failed:\n  call 1: ValueError"):
        run(AsyncAssertions.assert_concurrent_safe(fail, concurrency=3))


def test_calls_in_threads_are_all_at_once():
    together = threading.Barrier(20)
    arrived = run(AsyncAssertions.assert_concurrent_safe(lambda: together.wait(30), concurrency=20))
    assert sorted(arrived) == [*range(20)]


def test_a_leak_is_found_and_its_line_is_shown():
    kept = []

    async def leak():
        kept.append(bytearray(20_000))

    run(AsyncAssertions.assert_memory_stable(lambda: bytearray(20_000), iterations=50))
    with pytest.raises(AssertionError, match=r"grew by \d+ bytes in 50 calls.*\n.*test_async_utils.py"):
        run(AsyncAssertions.assert_memory_stable(leak, iterations=50))


def test_memory_may_grow_by_a_share_of_what_is_in_use():
    kept = []

    def grow():
        kept.append(bytearray(2_000 if kept else 10_000_000))

    run(AsyncAssertions.assert_memory_stable(grow, iterations=100, growth_tolerance=0.1))
    kept.clear()
    with pytest.raises(AssertionError, match="allowed are"):
        run(AsyncAssertions.assert_memory_stable(grow, iterations=100, growth_tolerance=0.001))


@pytest.mark.parametrize("was_tracing", [False, True])
def test_memory_is_traced_afterwards_if_it_was_before(was_tracing):
    if was_tracing:
        tracemalloc.start()
    try:
        run(AsyncAssertions.assert_memory_stable(lambda: None, iterations=1))
        assert tracemalloc.is_tracing() == was_tracing
    finally:
        tracemalloc.stop()


def test_what_blocks_the_loop_for_too_long_is_told_of_when_it_ends():
    async def blocks():
        async with AsyncTestUtils.assert_duration(max_seconds=0.01):
            time.sleep(0.05)  # noqa: ASYNC251 - what blocks the loop is what is tested

    with pytest.raises(AssertionError, match=r"it took .* expected at most 0.01 s"):
        run(AsyncAssertions.assert_performance(lambda: time.sleep(0.05), max_time=0.01))
    with pytest.raises(AssertionError, match=r"it took .* expected at most 0.01 s"):
        run(blocks())


def test_a_retry_waits_longer_each_time(monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    @AsyncTestUtils.async_retry(max_attempts=4, delay=0.5, backoff=3.0)
    async def fails():
        raise ValueError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(ValueError):  # noqa: PT011
        run(fails())
    assert waits == [0.5, 1.5, 4.5]


def test_a_workflow_is_run_outside_of_a_test_case():
    async def double(n):
        return n * 2

    async def fail():
        raise ValueError("no")

    assert run(AsyncAssertions.assert_workflow_succeeds(double, {"n": 4})) == {"double": 8}
    with pytest.raises(AssertionError, match="ValueError: no"):
        run(AsyncAssertions.assert_workflow_succeeds(fail))


@pytest.mark.parametrize("percent", [0, 0.95, 101])
def test_a_percentile_is_a_percentage(percent):
    with pytest.raises(ValueError, match=rf"a percentage from 1 to 100, .*; got {percent}"):
        run(AsyncAssertions.assert_latency(lambda: None, {percent: 1.0}))


def test_no_percentile_is_known_of_no_calls():
    with pytest.raises(ValueError, match="of no calls"):
        run(AsyncAssertions.assert_latency(lambda: None, {95: 1.0}, iterations=0))


@pytest.mark.parametrize("form", [lambda all_: [all_], lambda all_: [*all_, 5]], ids=["a list", "no coroutine"])
def test_what_cannot_run_at_once_is_refused_before_anything_is_begun(form):
    begun = []

    async def job():
        begun.append(True)

    with pytest.raises(TypeError, match=r"as in run_concurrent\(\*all\)"):
        run(AsyncTestUtils.run_concurrent(*form([job(), job()])))
    assert begun == []
