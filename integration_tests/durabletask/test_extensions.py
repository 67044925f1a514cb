"""What the SDK builds on the protocol: payload stores, schedules, and the export of histories."""

import time
from datetime import timedelta

import pytest
from durabletask.payload.store import LargePayloadStorageOptions, PayloadStore
from durabletask.scheduled import ScheduleCreationOptions, ScheduledTaskClient

from steprig.durabletask import create_test_backend
from steprig.kernel import VirtualClock

from .stage import Stage, until


class DictStore(PayloadStore):
    """Payloads in a dict."""

    def __init__(self):
        self.blobs = {}

    @property
    def options(self):
        return LargePayloadStorageOptions(threshold_bytes=1000)

    def upload(self, data, *, instance_id=None):
        token = f"blob:v1:test:{len(self.blobs)}"
        self.blobs[token] = data
        return token

    async def upload_async(self, data, *, instance_id=None):
        return self.upload(data, instance_id=instance_id)

    def download(self, token):
        return self.blobs[token]

    async def download_async(self, token):
        return self.download(token)

    def is_known_token(self, value):
        return value in self.blobs


def do_echo(_, value):
    return value


def echo(ctx, value):
    return (yield ctx.call_activity(do_echo, input=value))


_TICKS = []


def do_tick(_, value):
    _TICKS.append(value)


def ticking(ctx, value):
    yield ctx.call_activity(do_tick, input=value)


def idle(ctx, days):
    yield ctx.create_timer(timedelta(days=days))


def test_large_payloads_go_by_the_store():
    store = DictStore()
    with create_test_backend(0) as backend:
        stage = Stage(backend, payload_store=store)
        stage.work([echo, do_echo], payload_store=store)
        assert stage.output(echo, "x" * 100_000) == "x" * 100_000
        assert store.blobs
        assert max(len(event.SerializeToString()) for event in stage.history(_only(stage))) < 1000
        stage.close()


def _only(stage):
    (state,) = stage.client.get_all_orchestration_states()
    return state.instance_id


@pytest.fixture
def schedules():
    with VirtualClock() as clock, create_test_backend(0, clock=clock) as backend:
        stage = Stage(backend)
        worker = stage.worker([ticking, do_tick, idle])
        worker.configure_scheduled_tasks()
        stage.start(worker)
        yield stage, ScheduledTaskClient(stage.client, operation_timeout=20)
        stage.close()


def test_a_schedule_ticks_in_virtual_time(schedules):
    stage, client = schedules
    _TICKS.clear()
    with stage.clock.freeze_python_time():
        options = ScheduleCreationOptions(
            schedule_id="hourly", orchestration_name="ticking", interval=timedelta(hours=1), orchestration_input="t"
        )
        schedule = client.create_schedule(options)
        stage.run(idle, 1)
        until(lambda: not stage.clock.in_flight)
        assert 20 <= len(_TICKS) <= 30
        assert schedule.describe().last_run_at is not None
        schedule.delete()
        assert client.get_schedule("hourly") is None


def test_a_schedule_does_not_spin_where_the_worker_goes_by_the_machines_clock(schedules):
    stage, client = schedules
    options = ScheduleCreationOptions(
        schedule_id="hourly", orchestration_name="ticking", interval=timedelta(hours=1), orchestration_input="t"
    )
    schedule = client.create_schedule(options)
    stage.clock.advance(days=1)
    until(lambda: not stage.clock.in_flight)
    before = stage.backend.journal._seq
    cpu = time.process_time()
    with pytest.raises(TimeoutError):
        stage.client.wait_for_orchestration_completion("never", timeout=0.5)
    assert stage.backend.journal._seq - before < 50
    assert time.process_time() - cpu < 0.4
    schedule.delete()
