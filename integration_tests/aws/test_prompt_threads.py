"""The threads and the counters of a hurried SDK behave as its own do."""

import contextvars
import json
import threading
from concurrent import futures

import pytest
from aws_durable_execution_sdk_python import threading as sdk_threading

from steprig.aws.prompt.ids import prompt_counter
from steprig.aws.prompt.threads import PromptThreads

from ..waiting import until
from . import samples

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture
def threads():
    made = PromptThreads(futures.ThreadPoolExecutor)
    yield made
    made.close()


@pytest.fixture(params=["the SDK's", "prompt"])
def pool_of(request, threads):
    """Makes pools as the SDK asks for them."""
    kind = futures.ThreadPoolExecutor if request.param == "the SDK's" else threads
    return lambda workers=2: kind(max_workers=workers, thread_name_prefix="some")


@pytest.fixture(params=["the SDK's", "prompt"])
def counter(request):
    original = sdk_threading.OrderedCounter
    return original() if request.param == "the SDK's" else prompt_counter(original)()


def test_a_pool_runs_what_it_is_given(pool_of):
    with pool_of() as pool:
        right = pool.submit(divmod, 7, 2)
        wrong = pool.submit(divmod, 7, 0)

    assert right.result() == (3, 1)
    assert isinstance(wrong.exception(), ZeroDivisionError)


def test_a_pool_hands_on_what_is_no_exception(pool_of):
    def leave():
        raise SystemExit(3)

    with pool_of() as pool:
        left = pool.submit(leave)

    assert isinstance(left.exception(), SystemExit)


def test_a_pool_has_no_more_threads_than_it_may(pool_of):
    gate, running = threading.Event(), []

    def job():
        running.append(threading.current_thread().name)
        assert gate.wait(20), "nobody opens the gate"

    with pool_of(2) as pool:
        jobs = [pool.submit(job) for _ in range(3)]
        until(lambda: len(running) == 2, "that two run")
        assert sorted(running) == ["some_0", "some_1"]
        gate.set()

    assert [job.exception() for job in jobs] == [None] * 3
    assert len(running) == 3


def test_a_pool_takes_nothing_once_it_is_left(pool_of):
    with pool_of() as pool:
        pass

    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(int)


def test_every_call_has_a_context_of_its_own(pool_of):
    def change():
        before = VARIABLE.get()
        VARIABLE.set("changed")
        return before

    VARIABLE.set("of the caller")
    with pool_of(1) as pool:
        first = pool.submit(change)
    with pool_of(1) as pool:
        second = pool.submit(VARIABLE.get)

    assert first.result() == second.result() == "unset"


def test_pools_share_their_threads(threads):
    seen = set()
    for _ in range(20):
        with threads(max_workers=1, thread_name_prefix="some") as pool:
            pool.submit(lambda: seen.add(threading.get_ident()))

    assert len(seen) < 20


def test_a_pool_goes_on_when_its_threads_are_given_up(threads):
    with threads(max_workers=2, thread_name_prefix="some") as pool:
        threads.close()
        late = pool.submit(int, "7")

    assert late.result() == 7


def test_a_pool_of_another_kind_is_the_original_one(threads):
    assert type(threads(max_workers=2)) is futures.ThreadPoolExecutor
    assert type(threads(3)) is futures.ThreadPoolExecutor


def test_no_thread_is_left_behind(runner_of):
    before = threading.active_count()

    with runner_of(samples.sleeps) as runner:
        runner.run(json.dumps(None))

    until(lambda: threading.active_count() <= before, "that all threads have ended")


def test_a_counter_counts_up_and_down(counter):
    assert [counter.increment(), counter.increment(), counter.decrement(), counter.get_current()] == [1, 2, 1, 1]


def test_no_two_get_the_same_number(counter):
    drawn = []

    def draw():
        for _ in range(2000):
            drawn.append(counter.increment())

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(drawn) == list(range(1, 8001))
    assert counter.get_current() == 8000
