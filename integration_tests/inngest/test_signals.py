"""Steps that wait for a signal."""

from datetime import timedelta

import pytest

from .opcode_app import OpcodeApp
from .stage import output


@pytest.fixture
def opcode_app(one_stage):
    with OpcodeApp(one_stage) as app:
        yield app


def waits(app, fn_id="waits", **options):
    @app.function(fn_id)
    def body(call):
        if "id" not in call["steps"]:
            return [{"op": "WaitForSignal", "id": "id", "displayName": "wait", "opts": {"signal": "go"} | options}]
        return call["steps"]["id"]


def send(stage, **body):
    return stage.http.post("/v1/signals", json=body)


def test_a_signal_resumes_the_step_that_waits_for_it(opcode_app, one_stage):
    waits(opcode_app)
    run_id = opcode_app.start("waits")
    one_stage.waiting(run_id, "wait")

    answer = send(one_stage, signal="go", data={"n": 1})

    assert (answer.status_code, answer.json()["data"]) == (200, {"run_id": run_id})
    assert output(one_stage.ended(run_id)) == {"data": {"signal": "go", "data": {"n": 1}}}


def test_a_signal_without_data_gives_null(opcode_app, one_stage):
    waits(opcode_app)
    run_id = opcode_app.start("waits")
    one_stage.waiting(run_id, "wait")

    send(one_stage, signal="go")

    assert output(one_stage.ended(run_id)) == {"data": {"signal": "go", "data": None}}


def test_a_signal_that_nobody_waits_for_is_not_found(one_stage):
    answer = send(one_stage, signal="go", data=1)

    assert (answer.status_code, answer.json()["error"]) == (404, "No signal found")


def test_a_signal_is_taken_once(opcode_app, one_stage):
    waits(opcode_app)
    one_stage.waiting(opcode_app.start("waits"), "wait")

    assert [send(one_stage, signal="go").status_code for _ in range(2)] == [200, 404]


@pytest.mark.parametrize("body", [b"", b"1", b'{"data":1}', b'{"signal":5}'])
def test_a_request_that_names_no_signal_is_refused(one_stage, body):
    assert one_stage.http.post("/v1/signals", content=body).status_code == 400


def test_a_wait_that_times_out_gives_null(opcode_app, one_stage):
    waits(opcode_app, timeout="2h")
    before = one_stage.clock.now()
    run_id = opcode_app.start("waits")
    one_stage.waiting(run_id, "wait")

    one_stage.clock.advance(timedelta(hours=2))

    assert output(one_stage.ended(run_id)) is None
    assert one_stage.clock.now() - before >= timedelta(hours=2)
    assert send(one_stage, signal="go").status_code == 404


def test_a_second_waiter_fails_its_run(opcode_app, one_stage):
    waits(opcode_app)
    first = opcode_app.start("waits")
    one_stage.waiting(first, "wait")

    second = opcode_app.run("waits")

    assert second.failure.message == "Signal conflict; signal wait already exists for another run"
    assert send(one_stage, signal="go").json()["data"] == {"run_id": first}


def test_a_second_waiter_may_replace_the_first(opcode_app, one_stage):
    waits(opcode_app, conflict="replace")
    first = opcode_app.start("waits")
    one_stage.waiting(first, "wait")
    second = opcode_app.start("waits")
    one_stage.waiting(second, "wait")

    assert send(one_stage, signal="go").json()["data"] == {"run_id": second}
    assert not one_stage.reached(first, lambda run: True).status.ended


def test_a_run_that_is_cancelled_waits_no_longer(opcode_app, one_stage):
    waits(opcode_app)
    run_id = opcode_app.start("waits")
    one_stage.waiting(run_id, "wait")

    one_stage.http.delete(f"/v1/runs/{run_id}").raise_for_status()

    assert send(one_stage, signal="go").status_code == 404


def test_a_wait_without_a_signal_fails_the_run(opcode_app):
    waits(opcode_app, signal="")

    assert "it names no signal" in opcode_app.run("waits").failure.message


def test_graphql_shows_the_wait(opcode_app, one_stage):
    waits(opcode_app)
    run_id = opcode_app.start("waits")
    one_stage.waiting(run_id, "wait")

    query = """query Q($id: String!) { run(runID: $id) { trace { childrenSpans {
        stepOp status stepInfo { ... on WaitForSignalStepInfo { signal timedOut } } } } } }"""
    answer = one_stage.http.post("/v0/gql", json={"query": query, "variables": {"id": run_id}}).json()

    (span,) = answer["data"]["run"]["trace"]["childrenSpans"]
    assert (span["stepOp"], span["status"], span["stepInfo"]["signal"]) == ("WAIT_FOR_SIGNAL", "WAITING", "go")
