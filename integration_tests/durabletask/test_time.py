"""Virtual time: what takes days takes milliseconds, and nothing that a test is about to do comes too late."""

import threading
import time
from datetime import datetime, timedelta

import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus

from steprig.durabletask import create_test_backend
from steprig.kernel import VirtualClock

from ..waiting import until
from .stage import Stage

FUNCTIONS = []


def function(body):
    FUNCTIONS.append(body)
    return body


@function
def do_fail(_, __):
    raise ValueError("always")


@function
def month(ctx, _):
    begin = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(days=30))
    return (ctx.current_utc_datetime - begin) / timedelta(days=1)


@function
def until_a_date(ctx, date):
    yield ctx.create_timer(datetime.fromisoformat(date))
    return ctx.current_utc_datetime.isoformat()


@function
def event_or_a_day(ctx, _):
    event = ctx.wait_for_external_event("go")
    timeout = ctx.create_timer(timedelta(days=1))
    winner = yield task.when_any([event, timeout])
    return "event" if winner is event else "timeout"


@function
def hours_of_backoff(ctx, _):
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(hours=1), max_number_of_attempts=6, backoff_coefficient=2.0
    )
    try:
        yield ctx.call_activity(do_fail, retry_policy=policy)
    except task.TaskFailedError:
        return ctx.current_utc_datetime.isoformat()


@function
def eternal(ctx, day):
    yield ctx.create_timer(timedelta(days=1))
    if day < 365:
        ctx.continue_as_new(day + 1)
    else:
        return day


@function
def unique_ids(ctx, found):
    found.append(ctx.new_uuid())
    if len(found) == 4:
        return found
    ctx.continue_as_new(found)
    return None


@function
def at_once(ctx, _):
    yield ctx.create_timer(ctx.current_utc_datetime - timedelta(hours=1))
    return "past"


@function
def when(ctx, _):
    return ctx.current_utc_datetime.isoformat()


@pytest.mark.parametrize("orchestrator", [month], ids=["30 days"])
def test_a_month_passes_while_a_client_waits(shared, orchestrator):
    began = time.monotonic()
    assert shared.output(orchestrator) == pytest.approx(30, abs=0.01)
    assert time.monotonic() - began < 10


def test_a_timer_may_name_a_date(shared):
    date = (shared.clock.now() + timedelta(days=20)).replace(tzinfo=None)
    found = datetime.fromisoformat(shared.output(until_a_date, date.isoformat()))
    assert timedelta() <= found - date < timedelta(seconds=1)


def test_the_timeout_wins_when_the_client_only_waits(shared):
    assert shared.output(event_or_a_day) == "timeout"


def test_an_event_that_is_sent_beats_the_timeout(shared):
    for _ in range(20):
        instance_id = shared.schedule(event_or_a_day)
        shared.client.raise_orchestration_event(instance_id, "go")
        assert shared.wait(instance_id).get_output() == "event"


def test_no_timer_is_skipped_while_nobody_waits(shared):
    instance_id = shared.schedule(event_or_a_day)
    until(lambda: "timerCreated" in shared.kinds(instance_id))
    before = shared.clock.now()
    until(lambda: not shared.clock.in_flight)
    assert shared.clock.now() - before < timedelta(hours=1)
    assert shared.status(instance_id) == "RUNNING"
    shared.client.raise_orchestration_event(instance_id, "go")
    assert shared.wait(instance_id).get_output() == "event"


def test_hours_of_backoff_pass(shared):
    before = shared.clock.now()
    assert shared.output(hours_of_backoff) is not None
    assert timedelta(hours=31) <= shared.clock.now() - before < timedelta(hours=32)


def test_a_year_of_generations_passes(shared):
    assert shared.output(eternal, 360) == 365


def test_ids_differ_though_time_stands_still(shared):
    found = shared.output(unique_ids, [])
    assert len(set(found)) == 4


def test_a_timer_in_the_past_fires_at_once(shared):
    assert shared.output(at_once) == "past"


def test_a_future_start_is_waited_for(shared):
    start = shared.clock.now() + timedelta(days=7)
    instance_id = shared.schedule(when, start_at=start)
    assert shared.status(instance_id) == "PENDING"
    state = shared.wait(instance_id)
    assert datetime.fromisoformat(state.get_output()) >= start.replace(tzinfo=None)


def test_a_future_start_can_be_waited_for_by_its_start(shared):
    instance_id = shared.schedule(month, start_at=shared.clock.now() + timedelta(days=7))
    state = shared.client.wait_for_orchestration_start(instance_id, timeout=20)
    assert state.runtime_status in (OrchestrationStatus.RUNNING, OrchestrationStatus.COMPLETED)
    shared.wait(instance_id)


def test_an_event_for_a_future_start_is_kept(shared):
    instance_id = shared.schedule(event_or_a_day, start_at=shared.clock.now() + timedelta(days=7))
    shared.client.raise_orchestration_event(instance_id, "go")
    assert shared.wait(instance_id).get_output() == "event"


@pytest.fixture(scope="module")
def by_hand():
    with VirtualClock(auto=False) as clock, create_test_backend(0, clock=clock) as backend:
        stage = Stage(backend)
        stage.work(FUNCTIONS)
        yield stage
        stage.close()


def test_a_clock_moved_by_hand_fires_what_it_passes(by_hand):
    instance_id = by_hand.schedule(event_or_a_day)
    until(lambda: "timerCreated" in by_hand.kinds(instance_id))
    by_hand.clock.advance(hours=23)
    assert by_hand.status(instance_id) == "RUNNING"
    by_hand.clock.advance(hours=2)
    assert by_hand.wait(instance_id).get_output() == "timeout"


def test_an_event_from_another_thread_beats_the_timeout_of_a_clock_moved_by_hand(by_hand):
    instance_id = by_hand.schedule(event_or_a_day)
    sender = threading.Thread(target=by_hand.client.raise_orchestration_event, args=(instance_id, "go"))
    until(lambda: "timerCreated" in by_hand.kinds(instance_id))
    sender.start()
    assert by_hand.wait(instance_id).get_output() == "event"
    sender.join()


def test_a_past_timer_needs_no_hand(by_hand):
    assert by_hand.output(at_once) == "past"


def test_without_a_worker_no_time_passes(stage):
    stage.schedule("anything", start_at=stage.clock.now() + timedelta(days=1), instance_id="one")
    before = stage.clock.now()
    with pytest.raises(TimeoutError):
        stage.client.wait_for_orchestration_completion("one", timeout=0.2)
    assert stage.clock.now() - before < timedelta(hours=1)
