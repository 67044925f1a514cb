"""Large runs, and the limits of the platform."""

import json
import threading
from collections import Counter
from datetime import timedelta

import inngest
import pytest

from steprig.inngest.limits import MIB

from .opcode_app import OpcodeApp
from .stage import output

PATIENCE = 60.0


@pytest.fixture
def opcode_app(one_stage):
    with OpcodeApp(one_stage) as app:
        yield app


def ended(stage, run_id):
    """The run once it is over. Large ones may take their time on a busy machine."""
    return stage.dev.timeline.wait_for(run_id, lambda run: run.status.ended, timeout=PATIENCE)


def counting_up_to(app, count, size=0):
    """A function of sequential steps, each of which gives `size` bytes. Its SDK keeps no state."""

    @app.function("counts")
    def counts(body):
        done = len(body["ctx"]["stack"]["stack"])
        if done == count:
            return done
        return [{"op": "StepRun", "id": f"id{done}", "displayName": f"step {done}", "data": "x" * size or done}]


def test_a_run_of_a_thousand_steps(opcode_app, one_stage):
    counting_up_to(opcode_app, 1000)

    run = ended(one_stage, opcode_app.start("counts"))

    assert output(run) == 1000
    assert [span.name for span in run.spans[:-1]] == [f"step {n}" for n in range(1000)]
    assert len(opcode_app.bodies) == 1001


def test_a_run_of_more_than_a_thousand_steps_fails(opcode_app, one_stage):
    counting_up_to(opcode_app, 1001)

    run = ended(one_stage, opcode_app.start("counts"))

    assert run.failure.name == "InngestErrFunctionOverflowed"
    assert run.failure.message == "The function run exceeded the step limit of 1000 steps."


def test_a_run_that_gives_more_than_32_mib_fails(opcode_app, one_stage):
    counting_up_to(opcode_app, 20, size=3 * MIB)

    run = ended(one_stage, opcode_app.start("counts"))

    assert (run.failure.name, len(opcode_app.bodies)) == ("InngestErrStateOverflowed", 11)


def test_every_step_of_a_fan_out_of_500_runs_once(one_stage):
    ran = Counter()
    lock = threading.Lock()

    @one_stage.function("fans")
    def fans(ctx):
        def run(n):
            async def work():
                with lock:
                    ran[n] += 1
                return n

            return lambda: ctx.step.run(f"step {n}", work)

        results = yield ctx.group.parallel(tuple(run(n) for n in range(500)))
        return sum(results)

    run = ended(one_stage, one_stage.start("fans"))

    assert output(run) == sum(range(500))
    assert ran == Counter(range(500))
    assert Counter(one_stage.calls_of("fans"))["step"] == 2


def test_steps_of_a_mebibyte_run_once_each(one_stage):
    ran = Counter()

    @one_stage.function("gives")
    def gives(ctx):
        total = 0
        for n in range(10):

            async def work(n=n):
                ran[n] += 1
                return "x" * MIB

            total += len((yield ctx.step.run(f"step {n}", work)))
        return total

    run = ended(one_stage, one_stage.start("gives"))

    assert output(run) == 10 * MIB
    assert ran == Counter(range(10))


def test_what_is_too_large_to_send_along_is_fetched(opcode_app, one_stage):
    counting_up_to(opcode_app, 5, size=MIB)

    ended(one_stage, opcode_app.start("counts"))

    assert [body["use_api"] for body in opcode_app.bodies] == [False] * 4 + [True] * 2
    assert [len(body["steps"]) for body in opcode_app.bodies] == [0, 1, 2, 3, 0, 0]
    assert all(body["ctx"]["use_api"] == body["use_api"] for body in opcode_app.bodies)


def test_eight_events_of_a_mebibyte_in_one_request(one_stage):
    @one_stage.function("batched", batch_events=inngest.Batch(max_size=8, timeout=timedelta(seconds=60)))
    def batched(ctx):
        return [len(event.data["x"]) for event in ctx.events]

    one_stage.serve()
    events = [{"name": "test/batched", "data": {"x": "x" * MIB}} for _ in range(8)]

    answer = one_stage.http.post("/e/key", content=json.dumps(events)).raise_for_status().json()

    assert len(answer["ids"]) == 8
    assert output(one_stage.only_run("batched")) == [MIB] * 8


def test_a_step_that_gives_more_than_4_mib_fails_the_run(opcode_app, one_stage):
    counting_up_to(opcode_app, 1, size=4 * MIB)

    run = ended(one_stage, opcode_app.start("counts"))

    assert run.failure.message == "error validating generator opcode id0: step output size is greater than the limit"


def test_an_answer_of_more_than_8_mib_fails_the_run(opcode_app, one_stage):
    @opcode_app.function("gives")
    def gives(body):
        return "x" * (8 * MIB)

    assert ended(one_stage, opcode_app.start("gives")).failure.name == "output_too_large"
