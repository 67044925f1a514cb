"""The threads and the locks of a hurried SDK behave as its own do."""

import contextvars
import json
import threading
from concurrent import futures

import pytest
from aws_durable_execution_sdk_python import threading as sdk_threading
from aws_durable_execution_sdk_python.exceptions import OrderedLockError

from steprig.aws.prompt.lock import prompt_lock
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
def lock(request):
    kind = sdk_threading.OrderedLock if request.param == "the SDK's" else prompt_lock(sdk_threading.OrderedLock)
    return kind()


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


def test_those_who_wait_for_a_lock_get_it_in_their_order(lock):
    got, threads = [], []
    lock.acquire()
    for number in range(5):
        threads.append(threading.Thread(target=lambda n=number: (lock.acquire(), got.append(n), lock.release())))
        threads[-1].start()
        until(lambda n=number: len(lock._waiters) == n + 2, "that it waits")
    lock.release()
    for thread in threads:
        thread.join(20)

    assert got == list(range(5))


def test_a_lock_keeps_others_out(lock):
    found = []

    def count():
        for _ in range(500):
            with lock:
                found.append(len(found))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert found == list(range(2000))


def test_a_lock_whose_holder_failed_is_broken_until_it_is_reset(lock):
    with pytest.raises(KeyError), lock:
        raise KeyError

    assert lock.is_broken()
    with pytest.raises(OrderedLockError):
        lock.acquire()
    lock.reset()
    with lock:
        assert not lock.is_broken()
    with pytest.raises(OrderedLockError):
        lock.release()


def test_one_who_waits_learns_that_the_holder_failed(lock):
    errors = []

    def wait():
        try:
            lock.acquire()
        except OrderedLockError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)

    def fail():
        with lock:
            waiting.start()
            until(lambda: len(lock._waiters) == 2, "that it waits")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    waiting.join(20)

    assert len(errors) == 1
