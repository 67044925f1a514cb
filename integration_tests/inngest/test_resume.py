"""A dev server that is stopped with runs under way and started again with its journal goes on with them."""

import threading
from datetime import UTC, datetime, timedelta

import inngest
import pytest

from steprig.inngest.dev_server import DevServer
from steprig.kernel import MemoryJournal, SqliteJournal, Status, VirtualClock

from ..waiting import until
from .opcode_app import OpcodeApp
from .stacks import STACKS
from .stage import Stage, output

SYNC = next(stack for stack in STACKS if stack.name == "fastapi-sync")
"""Steps that block do so in threads of their own."""


class InMemory:
    """The journal and the clock are kept from one server to the next."""

    def __init__(self, folder):
        self.journal, self.clock = MemoryJournal(), VirtualClock(auto=False)

    def leave(self):
        """Nothing is let go of."""

    def come_back(self):
        """Nothing is made anew."""

    def close(self):
        self.clock.close()


class InAFile:
    """Only the journal's file is kept, as between two processes. The time of day goes on."""

    def __init__(self, folder):
        self._path = folder / "journal.db"
        self.journal, self.clock = SqliteJournal(self._path), VirtualClock(auto=False)

    def leave(self):
        self.journal.close()
        self.clock.close()

    def come_back(self):
        self.journal = SqliteJournal(self._path)
        self.clock = VirtualClock(start=self.clock.now(), auto=False)

    close = leave


class Restarting(Stage):
    """A stage whose dev server can be started again, at the same address."""

    def __init__(self, kept):
        self.kept = kept
        super().__init__(SYNC, DevServer(clock=kept.clock, journal=kept.journal).start())

    def restart(self, meanwhile=timedelta()):
        port = self.dev.port
        self.dev.stop()
        self.clock.advance(meanwhile)
        self.kept.leave()
        self.kept.come_back()
        self.dev = DevServer(port, strict_port=True, clock=self.kept.clock, journal=self.kept.journal).start()

    def close(self):
        super().close()
        self.dev.stop()


@pytest.fixture(params=[InMemory, InAFile])
def stage(request, tmp_path):
    kept = request.param(tmp_path)
    stage = Restarting(kept)
    yield stage
    stage.close()
    kept.close()


def counted(ran, name):
    """The body of a step that counts how often it is run."""
    return lambda: ran.append(name) or name


# --- Steps --------------------------------------------------------------------------------------------


def test_a_sleep_goes_on_and_ends_when_it_would_have(stage):
    ran = []

    @stage.function("sleeps")
    def sleeps(ctx):
        first = yield ctx.step.run("first", counted(ran, "first"))
        yield ctx.step.sleep("nap", timedelta(hours=2))
        second = yield ctx.step.run("second", counted(ran, "second"))
        return [first, second]

    run_id = stage.start("sleeps")
    stage.waiting(run_id, "nap")
    stage.clock.advance(hours=1)

    stage.restart()

    stage.clock.advance(minutes=59)
    assert stage.dev.timeline.run(run_id).status is not Status.COMPLETED
    stage.clock.advance(minutes=1)
    assert output(stage.ended(run_id)) == ["first", "second"]
    assert ran == ["first", "second"]


def test_a_sleep_that_ended_meanwhile_ends_at_once(stage):
    @stage.function("sleeps")
    def sleeps(ctx):
        yield ctx.step.sleep("nap", timedelta(hours=2))
        return "awake"

    run_id = stage.start("sleeps")
    stage.waiting(run_id, "nap")

    stage.restart(meanwhile=timedelta(hours=3))
    stage.clock.advance()

    assert output(stage.ended(run_id)) == "awake"


def test_a_wait_is_met_by_an_event_that_comes_after(stage):
    @stage.function("waits")
    def waits(ctx):
        met = yield ctx.step.wait_for_event(
            "met", event="test/met", if_exp="event.data.n == async.data.n", timeout=timedelta(days=1)
        )
        return met.data["word"]

    run_id = stage.start("waits", {"n": 1})
    stage.waiting(run_id, "met")

    stage.restart()

    stage.send("test/met", {"n": 2, "word": "other"})
    stage.send("test/met", {"n": 1, "word": "mine"})
    assert output(stage.ended(run_id)) == "mine"


def test_a_wait_times_out_when_it_would_have(stage):
    @stage.function("waits")
    def waits(ctx):
        met = yield ctx.step.wait_for_event("met", event="test/met", timeout=timedelta(days=1))
        return met is None

    run_id = stage.start("waits")
    stage.waiting(run_id, "met")

    stage.restart()

    stage.clock.advance(days=1)
    assert output(stage.ended(run_id)) is True


def test_an_invoked_function_goes_on_and_its_caller_with_it(stage):
    @stage.function("child")
    def child(ctx):
        yield ctx.step.sleep("nap", timedelta(hours=1))
        return ctx.event.data["n"] + 1

    @stage.function("parent")
    def parent(ctx):
        answer = yield ctx.step.invoke("ask", function=child, data={"n": 1})
        return answer

    run_id = stage.start("parent")
    stage.waiting(run_id, "ask")
    stage.waiting(stage.first_run("child").id, "nap")

    stage.restart()

    stage.clock.advance(hours=1)
    assert output(stage.ended(run_id)) == 2
    assert len(stage.runs("child")) == 1


def test_a_retry_is_made_when_it_would_have_been(stage):
    attempts = []

    @stage.function("fails", retries=1)
    def fails(ctx):
        yield ctx.step.run("once", counted(attempts, "step"))
        attempts.append(ctx.attempt)
        if len(attempts) == 2:
            raise ValueError("the first time")
        return "done"

    run_id = stage.start("fails")
    until(lambda: not stage.clock.in_flight and len(attempts) == 2, "the first failure")

    stage.restart()

    stage.clock.advance(hours=1)
    assert output(stage.ended(run_id)) == "done"
    assert attempts == ["step", 0, 1]


def test_parallel_steps_that_were_open_end_each_once(stage):
    ran = []

    @stage.function("parallel")
    def parallel(ctx):
        def branch(hours):
            def nap_and_run():
                yield ctx.step.sleep(f"nap {hours}", timedelta(hours=hours))
                yield ctx.step.run(f"run {hours}", counted(ran, hours))

            return stage.written(nap_and_run)

        yield ctx.group.parallel(tuple(branch(hours) for hours in (1, 2, 3)))
        return "all"

    run_id = stage.start("parallel")
    stage.waiting(run_id, "nap 3")
    stage.clock.advance(hours=1)
    until(lambda: stage.dev.timeline.run(run_id).spans[0].status is Status.COMPLETED, "the end of the first nap")

    stage.restart()

    stage.clock.advance(hours=2)
    assert output(stage.ended(run_id)) == "all"
    assert sorted(ran) == [1, 2, 3]


def test_a_call_that_was_cut_off_is_made_again(stage):
    began, go_on = [], threading.Event()

    @stage.function("slow")
    def slow(ctx):
        def work():
            began.append(ctx.attempt)
            if len(began) == 1:
                go_on.wait(30)
            return "done"

        done = yield ctx.step.run("work", work)
        return done

    run_id = stage.start("slow")
    until(lambda: began, "the call")

    stage.restart()
    go_on.set()

    assert output(stage.ended(run_id)) == "done"
    assert began == [0, 0]


def test_a_signal_that_comes_after_is_taken(stage):
    wait = {"op": "WaitForSignal", "id": "s", "displayName": "s", "opts": {"signal": "go", "timeout": "1h"}}

    with OpcodeApp(stage) as app:

        @app.function("waits")
        def waits(body):
            return "done" if body["steps"] else [wait]

        run_id = app.start("waits")
        stage.waiting(run_id, "s")

        stage.restart()

        answer = stage.http.post("/v1/signals", json={"signal": "go", "data": {"n": 1}}).raise_for_status().json()
        assert answer["data"]["run_id"] == run_id
        assert stage.ended(run_id).status is Status.COMPLETED


# --- Flow control ----------------------------------------------------------------------------------


def test_what_is_debounced_is_released_when_it_would_have_been(stage):
    @stage.function("debounced", debounce=inngest.Debounce(period=timedelta(hours=1)))
    def debounced(ctx):
        yield ctx.step.sleep("turn", 0)
        return ctx.event.data["n"]

    for n in (1, 2):
        stage.send("test/debounced", {"n": n})

    stage.restart()
    stage.send("test/debounced", {"n": 3})
    stage.clock.advance(hours=1)

    assert output(stage.only_run("debounced")) == 3


def test_a_batch_is_filled_up(stage):
    @stage.function("batched", batch_events=inngest.Batch(max_size=3, timeout=timedelta(minutes=1)))
    def batched(ctx):
        yield ctx.step.sleep("turn", 0)
        return [event.data["n"] for event in ctx.events]

    for n in (1, 2):
        stage.send("test/batched", {"n": n})

    stage.restart()
    stage.send("test/batched", {"n": 3})
    stage.clock.advance(minutes=0)

    assert output(stage.only_run("batched")) == [1, 2, 3]


def test_a_rate_that_is_used_up_stays_so(stage):
    @stage.function("rated", rate_limit=inngest.RateLimit(limit=1, period=timedelta(hours=1)))
    def rated(ctx):
        return "ran"
        yield

    stage.run("rated")

    stage.restart()

    stage.send("test/rated")
    assert len(stage.runs("rated")) == 1
    stage.clock.advance(hours=1)
    stage.send("test/rated")
    assert len(stage.runs("rated")) == 2


def test_a_throttled_run_starts_when_it_would_have(stage):
    @stage.function("throttled", throttle=inngest.Throttle(limit=1, period=timedelta(hours=1)))
    def throttled(ctx):
        return "ran"
        yield

    for _ in range(2):  # one more than the limit may start at once
        stage.run("throttled")
    third = stage.start("throttled")

    stage.restart()

    fourth = stage.start("throttled")
    stage.clock.advance(hours=1)
    assert stage.ended(third).status is Status.COMPLETED
    assert stage.dev.timeline.run(fourth).status is Status.QUEUED
    stage.clock.advance(hours=1)
    assert stage.ended(fourth).status is Status.COMPLETED


def test_a_singleton_that_goes_on_keeps_others_out(stage):
    @stage.function("single", singleton=inngest.Singleton(mode="skip"))
    def single(ctx):
        yield ctx.step.sleep("nap", timedelta(hours=1))

    run_id = stage.start("single")
    stage.waiting(run_id, "nap")

    stage.restart()

    stage.send("test/single")
    assert [run.id for run in stage.runs("single")] == [run_id]


def test_calls_that_waited_for_a_place_are_made_in_their_order(stage):
    began, go_on = [], threading.Event()

    @stage.function("queued", concurrency=[inngest.Concurrency(limit=1)])
    def queued(ctx):
        def work():
            began.append(ctx.event.data["n"])
            if len(began) == 1:
                go_on.wait(30)

        yield ctx.step.run("work", work)

    ids = [stage.start("queued", {"n": n}) for n in range(3)]
    until(lambda: began, "the first call")

    stage.restart()
    go_on.set()

    assert {stage.ended(run_id).status for run_id in ids} == {Status.COMPLETED}
    assert began == [0, 0, 1, 2]


# --- What ends or starts runs -----------------------------------------------------------------------


def test_an_event_that_cancels_is_heeded(stage):
    @stage.function("cancels", cancel=[inngest.Cancel(event="test/cancel", if_exp="event.data.n == async.data.n")])
    def cancels(ctx):
        yield ctx.step.sleep("nap", timedelta(days=1))

    one, two = (stage.start("cancels", {"n": n}) for n in (1, 2))
    stage.waiting(one, "nap")
    stage.waiting(two, "nap")

    stage.restart()

    stage.send("test/cancel", {"n": 1})
    assert stage.ended(one).status is Status.CANCELLED
    assert not stage.dev.timeline.run(two).status.ended


def test_a_finish_timeout_counts_from_the_first_call(stage):
    @stage.function("long", timeouts=inngest.Timeouts(finish=timedelta(hours=2)))
    def long(ctx):
        yield ctx.step.sleep("nap", timedelta(days=1))

    run_id = stage.start("long")
    stage.waiting(run_id, "nap")
    stage.clock.advance(hours=1)

    stage.restart()

    stage.clock.advance(minutes=59)
    assert not stage.dev.timeline.run(run_id).status.ended
    stage.clock.advance(minutes=1)
    assert stage.ended(run_id).status is Status.CANCELLED


def test_an_event_with_an_id_that_was_used_starts_nothing(stage):
    @stage.function("once")
    def once(ctx):
        return "ran"
        yield

    stage.run("once", id="mine")

    stage.restart()

    stage.send("test/once", id="mine")
    assert len(stage.runs("once")) == 1


def test_an_event_for_the_future_starts_its_run_then(stage):
    @stage.function("later")
    def later(ctx):
        return "ran"
        yield

    run_id = stage.start("later", ts=int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000))

    stage.restart()

    assert stage.dev.timeline.run(run_id).status is Status.QUEUED
    stage.clock.advance(hours=1)
    assert stage.ended(run_id).status is Status.COMPLETED


def test_runs_that_were_over_are_shown_as_before(stage):
    @stage.function("small")
    def small(ctx):
        word = yield ctx.step.run("step", lambda: "word")
        return word

    run = stage.run("small")

    stage.restart()

    assert stage.dev.timeline.run(run.id) == run
    assert stage.get(f"/v1/runs/{run.id}")["output"] == "word"
