"""What steps give, and how often an app is called for them."""

import json

import fastapi
import inngest
import inngest.fast_api
import pytest
from inngest.experimental.remote_state_middleware import InMemoryDriver, RemoteStateMiddleware

from ..waiting import until
from .stacks import STACKS, Stack, on_concurrent_stacks
from .stage import Stage, output

HARD_NAMES = ["plain", "with space", "a/b/c", "naïve ☃ 🚀", 'quo"ted', "per%cent&amp=1?x#y", "plus+plus", "ümläut.-_"]


def test_steps_run_in_sequence_and_each_is_run_once(stage):
    ran = []

    @stage.function("sequence")
    def sequence(ctx):
        first = yield ctx.step.run("first", lambda: ran.append("first") or 1)
        second = yield ctx.step.run("second", lambda: ran.append("second") or first + 1)
        return [first, second]

    assert output(stage.run("sequence")) == [1, 2]
    assert ran == ["first", "second"]
    assert stage.calls_of("sequence") == ["step"] * 3


def test_a_function_that_returns_nothing_gives_null(stage):
    @stage.function("nothing")
    def nothing(ctx):
        return None

    run = stage.run("nothing")

    assert (run.status, bytes(run.output)) == ("completed", b"null")


def test_a_step_that_returns_nothing_gives_null_and_is_not_run_again(stage):
    ran = []

    @stage.function("null-step")
    def null_step(ctx):
        value = yield ctx.step.run("nothing", lambda: ran.append(1))
        return [value]

    assert output(stage.run("null-step")) == [None]
    assert ran == [1]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_function_may_have_any_id(stage, name):
    @stage.function(name, inngest.TriggerEvent(event="test/named"))
    def named(ctx):
        return (yield ctx.step.run("go", lambda: "gone"))

    stage.send("test/named")

    assert output(stage.only_run(name)) == "gone"
    assert stage.calls_of(name) == ["step"] * 2


def test_steps_may_have_any_id(stage):
    @stage.function("names")
    def names(ctx):
        given = []
        for name in HARD_NAMES:
            given.append((yield ctx.step.run(name, lambda name=name: name)))
        return given

    run = stage.run("names")

    assert output(run) == HARD_NAMES
    assert [span.name for span in run.spans] == [*HARD_NAMES, "function success"]


def test_planned_steps_may_have_any_id(stage):
    @stage.function("planned-names")
    def planned_names(ctx):
        steps = (lambda name=name: ctx.step.run(name, lambda: name) for name in HARD_NAMES)
        return list((yield ctx.group.parallel(tuple(steps))))

    assert output(stage.run("planned-names")) == HARD_NAMES


def test_steps_with_the_same_id_are_told_apart_and_kept_in_order(stage):
    @stage.function("repeated")
    def repeated(ctx):
        given = []
        for number in range(3):
            given.append((yield ctx.step.run("again", lambda number=number: number)))
        return given

    run = stage.run("repeated")

    assert output(run) == [0, 1, 2]
    assert [(span.name, bytes(span.output)) for span in run.spans[:-1]] == [
        ("again", b"0"),
        ("again", b"1"),
        ("again", b"2"),
    ]


def test_large_integers_and_the_order_of_keys_survive_every_hop(stage):
    data = {"z": 1, "a": 2**70, "m": {"y": -(2**63) - 1, "b": [1.5, 10**30]}, "é": "☃"}

    @stage.function("child")
    def child(ctx):
        return {key: value for key, value in ctx.event.data.items() if key != "_inngest"}

    @stage.function("parent")
    def parent(ctx):
        stepped = yield ctx.step.run("keep", lambda: dict(ctx.event.data))
        return (yield ctx.step.invoke("pass on", function=child, data=stepped))

    given = output(stage.run("parent", data))

    assert json.dumps(given) == json.dumps(data)


def test_an_event_sent_in_a_step_gives_its_id_and_starts_its_function(stage):
    @stage.function("sender")
    def sender(ctx):
        return (yield ctx.step.send_event("send", inngest.Event(name="test/receiver", data={"n": 1})))

    @stage.function("receiver")
    def receiver(ctx):
        return ctx.event.data["n"]

    (event_id,) = output(stage.run("sender"))

    run = stage.only_run("receiver")
    assert run.events[0].internal_id == event_id
    assert output(run) == 1


def test_several_events_sent_in_a_step_give_all_their_ids_in_order(stage):
    @stage.function("sender")
    def sender(ctx):
        events = [inngest.Event(name="test/many", data={"n": number}) for number in range(3)]
        return (yield ctx.step.send_event("send", events))

    ids = output(stage.run("sender"))

    assert [stage.get(f"/v1/events/{event_id}")["data"]["n"] for event_id in ids] == [0, 1, 2]


def test_the_attempt_counter_starts_anew_with_each_job(stage):
    attempts = []

    @stage.function("counted")
    def counted(ctx):
        def fails_once():
            attempts.append(("flaky", ctx.attempt))
            if ctx.attempt == 0:
                raise ValueError("not yet")

        yield ctx.step.run("flaky", fails_once)
        attempts.append(("after", ctx.attempt))

    stage.run("counted")

    assert attempts == [("flaky", 0), ("flaky", 1), ("after", 0)]


def test_a_function_may_take_its_steps_in_another_order_each_time(stage):
    """Memos are found by id, not by place."""
    calls, ran = [], []

    @stage.function("fickle")
    def fickle(ctx):
        calls.append(1)
        given = {}
        for name in ("abc", "bac")[len(calls) % 2]:
            given[name] = yield ctx.step.run(name, lambda name=name: ran.append(name) or name.upper())
        return given

    assert output(stage.run("fickle")) == {"a": "A", "b": "B", "c": "C"}
    assert ran == ["b", "a", "c"]


def test_a_run_can_be_read_as_soon_as_the_app_is_called(stage):
    statuses = []

    @stage.function("curious")
    def curious(ctx):
        statuses.append(stage.get(f"/v1/runs/{ctx.run_id}")["status"])

    stage.run("curious")

    assert statuses == ["Running"]


def test_ten_outputs_of_a_mebibyte_are_fetched_by_the_sdk_and_each_step_runs_once(stage):
    ran = []

    @stage.function("large")
    def large(ctx):
        total = 0
        for number in range(10):
            text = yield ctx.step.run(f"part {number}", lambda number=number: ran.append(number) or "x" * (1 << 20))
            total += len(text)
        return total

    assert output(stage.run("large")) == 10 << 20
    assert ran == list(range(10))


def test_a_step_output_over_four_mebibytes_fails_the_step(one_stage):
    @one_stage.function("huge", retries=0)
    def huge(ctx):
        yield ctx.step.run("too much", lambda: "x" * ((4 << 20) + 1))

    run = one_stage.run("huge")

    assert run.status == "failed"
    assert "step output size is greater than the limit" in json.dumps(output(run))


def test_a_run_of_more_than_a_thousand_steps_fails(one_stage):
    @one_stage.function("endless")
    def endless(ctx):
        steps = (lambda number=number: ctx.step.sleep(f"nap {number}", 1) for number in range(1001))
        yield ctx.group.parallel(tuple(steps))

    run = one_stage.run("endless")

    assert run.failure.name == "InngestErrFunctionOverflowed"
    assert output(run)["error"]["message"] == "The function run exceeded the step limit of 1000 steps."


@on_concurrent_stacks
def test_many_synchronous_functions_of_an_app_run_at_the_same_time(stage):
    started = []

    @stage.function("slow")
    def slow(ctx):
        started.append(ctx.run_id)
        if not stage.stack.runs_async:
            until(lambda: len(started) == 4, "four runs at once")

    run_ids = [stage.start("slow") for _ in range(4)]

    assert {stage.ended(run_id).status for run_id in run_ids} == {"completed"}


def test_an_app_that_was_restarted_on_its_port_is_called_anew(stage):
    """A connection to the old process is of no use any more, and costs no attempt."""

    @stage.function("restarted", retries=0)
    def restarted(ctx):
        return "fine"

    server = stage.serve()
    for _ in range(5):
        assert stage.run("restarted").status == "completed"
        server.stop()
        server = stage.serve(server.port)

    assert stage.run("restarted").status == "completed"


def test_an_app_may_stream_its_answers(dev):
    def serve(client, functions):
        app = fastapi.FastAPI()
        inngest.fast_api.serve(app, client, functions, streaming=inngest.Streaming.FORCE)
        return app

    stage = Stage(Stack("streaming", True, serve), dev)

    @stage.function("streamed", retries=1)
    def streamed(ctx):
        given = [(yield ctx.step.run("one", lambda: {"a": 1}))]
        try:
            yield ctx.step.run("fails", lambda: 1 / 0)
        except inngest.StepError as error:
            given.append(error.name)
        return given

    run = stage.run("streamed")
    stage.close()

    assert output(run) == [{"a": 1}, "ZeroDivisionError"]


def test_middleware_may_keep_the_state_elsewhere(dev):
    """The server is given keys in the place of data, and gives them back as they are."""
    driver = InMemoryDriver()
    stage = Stage(STACKS[0], dev, middleware=[RemoteStateMiddleware.factory(driver)])

    @stage.function("child")
    def child(ctx):
        return {"of": "child"}

    @stage.function("kept-elsewhere")
    def kept_elsewhere(ctx):
        first = yield ctx.step.run("first", lambda: {"data": 1})
        second = yield ctx.step.run("second", lambda: [first])
        return [second, (yield ctx.step.invoke("ask", function=child, data={"n": first}))]

    run = stage.run("kept-elsewhere")
    stage.close()

    assert output(run)[0] == [{"data": 1}]
    assert b"__REMOTE_STATE__" in bytes(run.spans[0].output)
