"""Functions that a schedule starts, on a clock that a test moves."""

import json
from datetime import UTC, datetime, timedelta

import inngest
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.internal_events import SCHEDULED
from steprig.kernel import VirtualClock

from .stacks import STACKS
from .stage import Stage

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


@pytest.fixture
def stage_with():
    """Makes stages whose crons are on, each at `START`."""
    stages = []

    def make(**options):
        clock = VirtualClock(start=START)
        dev = DevServer(clock=clock, **{"crons": True} | options).start()
        stages.append(Stage(STACKS[0], dev))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()
        stage.dev.stop()
        stage.clock.close()


def scheduled(stage, cron, jitter=None, fn_id="due"):
    """Serve a function with this trigger, which gives the data of its event."""

    @stage.function(fn_id, trigger=inngest.TriggerCron(cron=cron, jitter=jitter))
    def due(ctx):
        return {"event": ctx.event.name, "ts": ctx.event.ts, "id": ctx.event.id} | ctx.event.data

    stage.serve()


def ticks(stage, fn_id="due"):
    """When runs of the function were scheduled, and when they were started."""
    ended = [stage.ended(run.id) for run in stage.runs(fn_id)]
    data = [json.loads(bytes(run.output)) for run in ended]
    return [(datetime.fromisoformat(one["scheduledAt"]), datetime.fromisoformat(one["fireAt"])) for one in data]


@pytest.mark.parametrize("jitter", [None, "1s", "5m"])
def test_a_day_brings_one_run_of_a_daily_function(stage_with, jitter):
    stage = stage_with()
    scheduled(stage, "30 9 * * *", jitter)

    stage.clock.advance(days=1)

    ((at, fired),) = ticks(stage)
    assert at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    longest = {None: timedelta(), "1s": timedelta(seconds=1)}.get(jitter, timedelta(minutes=5))
    assert timedelta() <= fired - at <= longest
    (run,) = stage.runs("due")
    assert abs(run.queued_at - fired) < timedelta(seconds=1)


def test_a_run_is_given_the_schedule_and_its_time(stage_with):
    stage = stage_with()
    scheduled(stage, "30 9 * * *", "5m")

    stage.clock.advance(hours=4)

    (run,) = stage.runs("due")
    given = json.loads(bytes(stage.ended(run.id).output))
    fired = datetime.fromisoformat(given["fireAt"])
    assert given["event"] == SCHEDULED
    assert (given["cron"], given["scheduledAt"], given["id"]) == ("30 9 * * *", *["2026-03-01T09:30:00Z"] * 2)
    assert given["ts"] == int(fired.timestamp() * 1000)


@pytest.mark.parametrize("jitter", [None, "5m"])
def test_a_week_brings_seven(stage_with, jitter):
    stage = stage_with()
    scheduled(stage, "TZ=Europe/Paris 0 12 * * *", jitter)

    for _ in range(7):
        stage.clock.advance(days=1)

    assert [at for at, _ in ticks(stage)] == [datetime(2026, 3, day, 11, tzinfo=UTC) for day in range(1, 8)]


def test_ticks_may_come_more_often_than_their_jitter_is_long(stage_with):
    stage = stage_with()
    scheduled(stage, "* * * * *", "5m")

    stage.clock.advance(minutes=30)

    fired = ticks(stage)
    assert fired == sorted(fired, key=lambda tick: tick[1])
    assert all(timedelta() <= late - at <= timedelta(minutes=5) for at, late in fired)
    whole = {START + timedelta(minutes=minute) for minute in range(1, 26)}
    assert whole <= {at for at, _ in fired} <= {START + timedelta(minutes=minute) for minute in range(1, 31)}
    assert len(fired) == len({at for at, _ in fired})


def fired_in_a_week(stage, fn_id="due"):
    scheduled(stage, "0 0 * * *", "5m", fn_id)
    stage.clock.advance(days=7, minutes=5)
    return [late - at for at, late in ticks(stage, fn_id)]


def test_jitter_is_the_same_for_the_same_seed(stage_with):
    one, same, other = (stage_with(seed=seed) for seed in (1, 1, 2))
    for stage in (one, same, other):
        stage.app_id = "app"
        stage.client.app_id = "app"

    weeks = [fired_in_a_week(stage) for stage in (one, same, other)]

    assert weeks[0] == weeks[1]
    assert weeks[0] != weeks[2]
    assert len(set(weeks[0])) > 1


def test_a_function_that_is_gone_is_due_no_more(stage_with):
    stage = stage_with(seed=1)
    scheduled(stage, "* * * * *", "5m")
    stage.clock.advance(minutes=3)
    before = len(stage.runs("due"))

    stage.forget("due")
    scheduled(stage, "0 0 * * *", fn_id="another")
    stage.clock.advance(minutes=10)

    assert len(stage.runs("due")) == before


def test_without_crons_nothing_is_due(stage_with):
    stage = stage_with(crons=False)
    scheduled(stage, "* * * * *")

    stage.clock.advance(hours=1)

    assert stage.runs("due") == []


def test_a_schedule_that_was_replaced_is_kept_no_more(stage_with):
    stage = stage_with()
    scheduled(stage, "30 9 * * *")
    scheduled(stage, "0 12 * * *")

    stage.clock.advance(days=1)

    assert [at.hour for at, _ in ticks(stage)] == [12]
