"""Functions that invoke functions."""

from datetime import timedelta

import inngest
import pytest

from .stage import Stage, output


def test_a_function_is_invoked_by_object_and_its_result_comes_back(stage):
    @stage.function("child")
    def child(ctx):
        return {"doubled": ctx.event.data["n"] * 2, "name": ctx.event.name}

    @stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke("ask", function=child, data={"n": 21}))

    assert output(stage.run("parent")) == {"doubled": 42, "name": "inngest/function.invoked"}
    assert stage.calls_of("parent") == ["step"] * 2


def test_a_function_is_invoked_by_id(stage):
    @stage.function("a/child with ☃")
    def child(ctx):
        return ctx.event.data["n"]

    @stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke_by_id("ask", function_id="a/child with ☃", data={"n": 5}))

    assert output(stage.run("parent")) == 5


def test_a_function_of_another_app_is_invoked(stage):
    other = Stage(stage.stack, stage.dev)

    @other.function("child")
    def child(ctx):
        return "from afar"

    @stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke_by_id("ask", app_id=other.app_id, function_id="child"))

    app = stage.stack
    if app.name.startswith("django"):
        pytest.skip("Django serves one app in a process")
    other.serve()
    try:
        assert output(stage.run("parent")) == "from afar"
    finally:
        other.close()


def test_an_invoke_without_data_gives_the_child_no_data_of_the_parents(stage):
    @stage.function("child")
    def child(ctx):
        return sorted(ctx.event.data)

    @stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke("ask", function=child))

    assert output(stage.run("parent", {"secret": 1})) == ["_inngest"]


def test_a_child_that_returns_nothing_gives_null(stage):
    @stage.function("child")
    def child(ctx):
        return None

    @stage.function("parent")
    def parent(ctx):
        return [(yield ctx.step.invoke("ask", function=child))]

    assert output(stage.run("parent")) == [None]


@pytest.mark.parametrize("result", [{"data": 1}, {"error": "no error"}, {"data": 1, "error": 2}, [], "", 0, False])
def test_a_result_that_looks_like_an_envelope_is_not_taken_for_one(one_stage, result):
    @one_stage.function("child")
    def child(ctx):
        return (yield ctx.step.run("give", lambda: result))

    @one_stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke("ask", function=child))

    assert output(one_stage.run("parent")) == result


def test_a_childs_failure_carries_its_own_name_and_message(stage):
    @stage.function("child", retries=0)
    def child(ctx):
        raise LookupError("no such thing")

    @stage.function("parent", retries=0)
    def parent(ctx):
        try:
            yield ctx.step.invoke("ask", function=child)
        except inngest.StepError as error:
            return [error.name, error.message]

    assert output(stage.run("parent")) == ["LookupError", "no such thing"]


def test_an_uncaught_failure_of_a_child_fails_the_parent_with_the_childs_error(stage):
    @stage.function("child", retries=0)
    def child(ctx):
        raise LookupError("no such thing")

    @stage.function("parent", retries=3)
    def parent(ctx):
        yield ctx.step.invoke("ask", function=child)

    run = stage.run("parent")

    assert (run.failure.name, run.failure.message) == ("LookupError", "no such thing")
    assert output(run)["name"] == "LookupError"
    assert len(stage.runs("child")) == 1
    assert stage.calls_of("parent") == ["step"] * 2


def test_the_memo_of_a_failed_child_says_how_it_failed(one_stage):
    memos = []

    @one_stage.function("child", retries=0)
    def child(ctx):
        raise inngest.NonRetriableError("never")

    @one_stage.function("parent", retries=0)
    def parent(ctx):
        memos.append(one_stage.http.get(f"/v0/runs/{ctx.run_id}/actions").json())
        yield ctx.step.invoke("ask", function=child)

    one_stage.run("parent")

    ((memo,),) = [list(memo.values()) for memo in memos if memo]
    assert set(memo) == {"error"}
    assert memo["error"]["error"] == "NonRetriableError"
    assert memo["error"]["message"] == "never"
    assert "stack" in memo["error"]


def test_a_function_that_does_not_exist_fails_the_invoke_at_once(stage):
    @stage.function("parent", retries=0)
    def parent(ctx):
        try:
            yield ctx.step.invoke_by_id("ask", function_id="nobody")
        except inngest.StepError as error:
            return [error.name, error.message]

    assert output(stage.run("parent")) == ["Error", f"could not find function with ID: {stage.app_id}-nobody"]


def test_an_invoke_times_out_and_the_child_goes_on(stage):
    @stage.function("child")
    def child(ctx):
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(days=1))
        return "late"

    @stage.function("parent", retries=0)
    def parent(ctx):
        try:
            yield ctx.step.invoke("ask", function=child, timeout=timedelta(minutes=1))
        except inngest.StepError as error:
            return [error.name, error.message]

    run_id = stage.start("parent")
    stage.waiting(run_id, "ask")
    child_run = stage.first_run("child")
    stage.waiting(child_run.id, "wait")
    stage.clock.advance(minutes=1)

    message = "Timed out waiting for invoked function to complete"
    assert output(stage.ended(run_id)) == ["InngestInvokeTimeoutError", message]
    stage.send("test/go")
    assert output(stage.ended(child_run.id)) == "late"


def test_invokes_go_through_three_generations(stage):
    @stage.function("grandchild")
    def grandchild(ctx):
        return ctx.event.data["path"] + ["grandchild"]

    @stage.function("child")
    def child(ctx):
        path = yield ctx.step.invoke("down", function=grandchild, data={"path": ctx.event.data["path"] + ["child"]})
        return [*path, "back"]

    @stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke("down", function=child, data={"path": ["parent"]}))

    run = stage.run("parent")

    assert output(run) == ["parent", "child", "grandchild", "back"]
    (child_run,) = stage.runs("child")
    assert child_run.parent_id == run.id


def test_a_parent_whose_child_was_cancelled_gets_the_event_that_says_so(one_stage):
    @one_stage.function("child")
    def child(ctx):
        yield ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(days=1))

    @one_stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke("ask", function=child))

    run_id = one_stage.start("parent")
    one_stage.waiting(run_id, "ask")
    child_run = one_stage.first_run("child")
    one_stage.http.delete(f"/v1/runs/{child_run.id}")

    finished = output(one_stage.ended(run_id))
    assert finished["name"] == "inngest/function.finished"
    assert finished["data"]["run_id"] == child_run.id
    assert finished["data"]["_inngest"]["status"] == "Cancelled"


def test_a_cancelled_parent_does_not_cancel_its_child(stage):
    @stage.function("child")
    def child(ctx):
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=timedelta(days=1))
        return "done"

    @stage.function("parent")
    def parent(ctx):
        yield ctx.step.invoke("ask", function=child)

    run_id = stage.start("parent")
    stage.waiting(run_id, "ask")
    child_run = stage.first_run("child")
    stage.waiting(child_run.id, "wait")
    stage.http.delete(f"/v1/runs/{run_id}")
    stage.send("test/go")

    assert stage.ended(run_id).status == "cancelled"
    assert output(stage.ended(child_run.id)) == "done"


def test_the_event_of_an_invoke_says_who_invoked_what(one_stage):
    @one_stage.function("child")
    def child(ctx):
        return ctx.event.data["_inngest"]

    @one_stage.function("parent")
    def parent(ctx):
        return (yield ctx.step.invoke("ask nicely", function=child, data={"n": 1}, v="2026-01"))

    run = one_stage.run("parent")
    marks = output(run)

    assert marks["fn_id"] == f"{one_stage.app_id}-child"
    assert marks["correlation_id"] == f"{run.id}.{run.spans[0].id}"
    assert marks["name"] == "ask nicely"
    assert set(marks) >= {"expire", "gid", "source_app_id", "source_fn_id", "source_fn_v"}
    (event,) = one_stage.events("inngest/function.invoked")
    assert event["v"] == "2026-01"
    assert event["data"]["n"] == 1


def test_a_function_can_be_invoked_by_a_request(one_stage):
    @one_stage.function("child")
    def child(ctx):
        return ctx.event.data["n"]

    one_stage.serve()
    answer = one_stage.http.post(f"/invoke/{one_stage.app_id}-child", json={"data": {"n": 3}}).json()

    (run,) = one_stage.runs_of(answer["id"])
    assert answer["status"] == 200
    assert output(one_stage.ended(run["run_id"])) == 3
    (finished,) = one_stage.events("inngest/function.finished")
    assert "correlation_id" not in finished["data"]
