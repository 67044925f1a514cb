"""What the SDK builds on the protocol: payload stores, schedules, and the export of histories."""

import gzip
import json
import time
from datetime import datetime, timedelta

import pytest
from durabletask.extensions.history_export import (
    ExportDestination,
    ExportHistoryClient,
    ExportJobCreationOptions,
    ExportJobStatus,
    ExportMode,
)
from durabletask.payload.store import LargePayloadStorageOptions, PayloadStore
from durabletask.scheduled import ScheduleCreationOptions, ScheduledTaskClient

from steprig.durabletask import create_test_backend
from steprig.kernel import VirtualClock

from ..waiting import until
from .stage import PATIENCE, Stage


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


class DictWriter:
    """Exported histories in a dict."""

    def __init__(self):
        self.written = {}

    def write(self, *, instance_id, payload, content_encoding, **_):
        text = gzip.decompress(payload) if content_encoding == "gzip" else payload
        self.written[instance_id] = [json.loads(line) for line in text.decode().splitlines()]


def failing(ctx, value):
    raise ValueError(value)


@pytest.fixture
def exports():
    with VirtualClock() as clock, create_test_backend(0, clock=clock) as backend:
        stage = Stage(backend)
        client = ExportHistoryClient(stage.client, DictWriter())
        worker = stage.worker([echo, do_echo, idle, failing])
        client.register_worker(worker)
        stage.start(worker)
        yield stage, client
        stage.close()


def test_histories_are_exported_page_by_page(exports):
    stage, client = exports
    began = stage.clock.now()
    done = {stage.schedule(echo, number) for number in range(7)} | {stage.schedule(failing, "x")}
    for instance_id in done:
        stage.wait(instance_id)
    stage.schedule(idle, 1000, instance_id="goes on")
    options = ExportJobCreationOptions(
        mode=ExportMode.BATCH,
        completed_time_from=began,
        completed_time_to=stage.clock.now() + timedelta(microseconds=1),
        destination=ExportDestination("any"),
        max_instances_per_batch=3,
    )
    job = client.create_job(options)

    ended = client.wait_for_job(job.job_id, timeout=PATIENCE, poll_interval=0.01)

    assert ended.status is ExportJobStatus.COMPLETED
    assert (ended.exported_instances, ended.failed_instances) == (8, 0)
    assert client.writer.written.keys() == done
    for _, *events in client.writer.written.values():  # the first line is about all of it
        assert events[-1]["event_type"] == "ExecutionCompletedEvent"
        assert not [event for event in events if datetime.fromisoformat(event["timestamp"]) < began]


def test_an_export_that_goes_on_takes_what_ends_later_and_can_be_deleted(exports):
    stage, client = exports
    options = ExportJobCreationOptions(
        mode=ExportMode.CONTINUOUS, completed_time_from=stage.clock.now(), destination=ExportDestination("any")
    )
    job = client.create_job(options)
    first = stage.schedule(echo, 1)
    stage.wait(first)
    stage.run(idle, 0.01)  # time goes by while this is waited for
    until(lambda: first in client.writer.written, "the export")
    second = stage.schedule(echo, 2)
    stage.wait(second)
    stage.run(idle, 0.01)
    until(lambda: second in client.writer.written, "the export of what came later")

    client.delete_job(job.job_id)

    until(lambda: client.get_job(job.job_id) is None, "the end of the job's entity, which is only signalled")
    assert stage.status(job.orchestrator_instance_id) is None
