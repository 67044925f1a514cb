"""Workers that stop at once."""

import asyncio
import statistics
import threading
import time

import pytest
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from steprig.durabletask import stop_promptly

from ..waiting import until


def seconds_of_stop(worker):
    began = time.perf_counter()
    worker.stop()
    return time.perf_counter() - began


def add_one(_, number):
    return number + 1


def sequence(ctx, number):
    for _ in range(number):
        yield ctx.call_activity(add_one, input=1)


def started(stage, *activities, orchestrators=(sequence,), **options):
    worker = stop_promptly(stage.worker(orchestrators, **options))
    for activity in (add_one, *activities):
        worker.add_activity(activity)
    worker.start()
    return worker


def test_an_idle_worker_stops_within_milliseconds(stage):
    """The SDK's own takes a second each time; the median bears a machine that is busy."""
    took = []
    for _ in range(9):
        worker = started(stage)
        stage.run(sequence, 3)
        took.append(seconds_of_stop(worker))

    assert statistics.median(took) < 0.1


def test_a_worker_that_has_just_begun_stops_too(stage):
    took = [seconds_of_stop(started(stage)) for _ in range(9)]

    assert statistics.median(took) < 0.1


ONE_AT_A_TIME = ConcurrencyOptions(
    maximum_concurrent_activity_work_items=1, maximum_concurrent_orchestration_work_items=1
)


@pytest.mark.parametrize("limits", [None, ONE_AT_A_TIME], ids=["with room for more", "full"])
def test_a_worker_finishes_what_it_has_begun_and_stops_right_then(stage, limits):
    began, may_end, ended = threading.Event(), threading.Event(), []

    def hold(_, value):
        began.set()
        may_end.wait(20)
        ended.append(time.perf_counter())
        return value

    def holding(ctx, value):
        return (yield ctx.call_activity(hold, input=value))

    took = []
    for number in range(5):
        worker = started(stage, hold, orchestrators=[holding], concurrency_options=limits)
        instance_id = stage.schedule(holding, number)
        assert began.wait(20)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        until(worker._shutdown.is_set, "the stop")
        may_end.set()
        stopping.join()
        took.append(time.perf_counter() - ended[-1])
        later = started(stage, orchestrators=[holding])
        assert stage.wait(instance_id).get_output() == number
        later.stop()
        began.clear()
        may_end.clear()

    assert statistics.median(took) < 0.2


class Manager:
    """What a worker's manager has that matters here, and somebody who waits for something in each of its queues."""

    def __init__(self):
        self._shutdown = False
        self.activity_queue, self.orchestration_queue, self.entity_batch_queue = (asyncio.Queue() for _ in range(3))
        queues = (self.activity_queue, self.orchestration_queue, self.entity_batch_queue)
        self.waits = [asyncio.create_task(queue.get()) for queue in queues]

    def shutdown(self):
        self._shutdown = True

    async def _process_work_item(self):
        pass


def with_manager(stage, body):
    """Run a coroutine function on a manager of a worker that stops promptly."""

    async def run():
        worker = stage.worker()
        worker._async_worker_manager = manager = Manager()
        stop_promptly(worker)
        await asyncio.sleep(0)
        try:
            await body(manager)
        finally:
            for wait in manager.waits:
                wait.cancel()

    asyncio.run(run())


def test_nobody_is_woken_while_the_worker_goes_on(stage):
    async def body(manager):
        await manager._process_work_item()
        for _ in range(5):
            await asyncio.sleep(0)

        assert not any(wait.done() for wait in manager.waits)

    with_manager(stage, body)


def test_a_wait_that_ends_by_itself_at_that_moment_holds_up_no_other(stage):
    async def body(manager):
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, manager.waits[0].cancel)
        manager.shutdown()
        async with asyncio.timeout(20):
            ends = await asyncio.gather(*manager.waits, return_exceptions=True)

        assert [type(end) for end in ends] == [asyncio.CancelledError, TimeoutError, TimeoutError]

    with_manager(stage, body)


def test_a_worker_can_be_started_again(stage):
    worker = started(stage)
    worker.stop()
    worker.start()
    assert stage.run(sequence, 2).runtime_status.name == "COMPLETED"

    assert seconds_of_stop(worker) < 0.9


def test_no_class_of_the_sdk_is_changed(stage):
    before = dict(vars(TaskHubGrpcWorker))
    manager = type(stage.worker()._async_worker_manager)
    members = dict(vars(manager))

    worker = started(stage)
    worker.stop()

    assert dict(vars(TaskHubGrpcWorker)) == before
    assert dict(vars(manager)) == members


@pytest.mark.parametrize("gone", ["activity_queue", "_shutdown", "_process_work_item"])
def test_a_worker_that_is_made_otherwise_is_left_as_it_is(stage, gone):
    class Manager:
        activity_queue = orchestration_queue = entity_batch_queue = None
        _shutdown = False

        def shutdown(self):
            pass

        def _process_work_item(self):
            pass

    delattr(Manager, gone)
    worker = stage.worker()
    worker._async_worker_manager = manager = Manager()

    assert stop_promptly(worker) is worker
    assert vars(manager) == {}


def test_a_worker_without_a_manager_is_left_as_it_is(stage):
    worker = stage.worker()
    del worker._async_worker_manager
    before = dict(vars(worker))

    stop_promptly(worker)

    assert vars(worker) == before
