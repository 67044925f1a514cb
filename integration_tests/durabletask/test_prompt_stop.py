"""Workers that stop at once."""

import statistics
import threading
import time

import pytest
from durabletask.worker import TaskHubGrpcWorker

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


def started(stage, *activities):
    worker = stop_promptly(stage.worker([sequence]))
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


def test_a_worker_finishes_what_it_has_begun_and_stops_right_then(stage):
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
        worker = started(stage, hold)
        worker._registry.add_orchestrator(holding)
        instance_id = stage.schedule(holding, number)
        assert began.wait(20)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        until(worker._shutdown.is_set, "the stop")
        may_end.set()
        stopping.join()
        took.append(time.perf_counter() - ended[-1])
        later = started(stage)
        later._registry.add_orchestrator(holding)
        assert stage.wait(instance_id).get_output() == number
        later.stop()
        began.clear()
        may_end.clear()

    assert statistics.median(took) < 0.2


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
