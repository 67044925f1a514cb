"""`/fn/step-limit` and `/fn/state-size-limit`: limits of one function, for tests of what happens beyond them."""

import pytest

from steprig.kernel import Status

from .stage import output

STEPS, SIZE = "/fn/step-limit", "/fn/state-size-limit"
NOBODY = "00000000-0000-5000-8000-000000000000"


@pytest.fixture
def functions(one_stage):
    """Two functions of three steps; gives their UUIDs."""
    for name in ("one", "other"):

        @one_stage.function(name, retries=0)
        def steps(ctx):
            for number in range(3):
                yield ctx.step.run(f"step {number}", lambda: "12345678")

    one_stage.serve()
    listed = one_stage.http.get(f"/v1/apps/{one_stage.app_id}/functions").json()
    return {function["name"]: function["internal_id"] for function in listed}


def test_a_run_that_has_more_steps_than_its_function_may_fails(one_stage, functions):
    answer = one_stage.http.post(STEPS, data={"functionId": functions["one"], "limit": "2"})
    assert (answer.status_code, answer.content) == (200, b"")

    run = one_stage.run("one")

    message = "The function run exceeded the step limit of 2 steps."
    assert output(run) == {
        "error": {"error": "function has too many steps", "name": "InngestErrFunctionOverflowed", "message": message}
    }
    assert one_stage.run("other").status is Status.COMPLETED


def test_a_run_whose_steps_give_more_than_its_function_may_fails(one_stage, functions):
    one_stage.http.post(SIZE, params={"functionId": functions["one"], "limit": 40}).raise_for_status()

    run = one_stage.run("one")

    message = "The function run exceeded the state size limit of 40 bytes."
    name = "InngestErrStateOverflowed"
    assert output(run) == {"error": {"error": f"{name}: {message}", "name": name, "message": message}}
    assert len([span for span in run.spans if span.kind == "RUN"]) == 3
    assert one_stage.run("other").status is Status.COMPLETED


@pytest.mark.parametrize("path", [STEPS, SIZE])
def test_a_limit_is_removed_once(one_stage, functions, path):
    one_stage.http.post(path, data={"functionId": functions["one"], "limit": "1"}).raise_for_status()
    assert one_stage.run("one").status is Status.FAILED

    assert one_stage.http.delete(path, params={"functionId": functions["one"]}).status_code == 200

    assert one_stage.run("one").status is Status.COMPLETED
    again = one_stage.http.delete(path, params={"functionId": functions["one"]})
    assert again.status_code == 404
    what = "step limit" if path == STEPS else "state size limit"
    assert again.json()["error"] == f"No {what} set for function: {functions['one']}"


def test_a_limit_that_is_set_while_a_run_goes_on_holds_for_it(one_stage):
    @one_stage.function("waits", retries=0)
    def waits(ctx):
        yield ctx.step.run("first", lambda: 1)
        yield ctx.step.wait_for_event("wait", event="test/go", timeout=1000)
        yield ctx.step.run("last", lambda: 1)

    run_id = one_stage.start("waits")
    one_stage.waiting(run_id, "wait")
    one_stage.http.post(STEPS, data={"functionId": f"{one_stage.app_id}-waits", "limit": "1"}).raise_for_status()
    one_stage.send("test/go")

    assert one_stage.ended(run_id).failure.name == "InngestErrFunctionOverflowed"


@pytest.mark.parametrize(
    ("limit", "status"), [("0", Status.COMPLETED), ("-1", Status.COMPLETED), ("10000", Status.COMPLETED)]
)
def test_nothing_and_less_than_nothing_limit_nothing(one_stage, functions, limit, status):
    one_stage.http.post(STEPS, data={"functionId": functions["one"], "limit": limit}).raise_for_status()

    assert one_stage.run("one").status is status


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"functionId": NOBODY, "limit": "x"}, "Invalid limit: x"),
        ({"functionId": NOBODY}, "Invalid limit: "),
        ({"functionId": NOBODY, "limit": "1.5"}, "Invalid limit: 1.5"),
        ({"functionId": NOBODY, "limit": "10001"}, "Invalid limit: 10001 is greater than the absolute limit of 10000"),
        ({"limit": "1"}, "functionId is missing; expected the UUID of a function"),
    ],
)
def test_a_limit_that_is_none_is_refused(one_stage, form, error):
    answer = one_stage.http.post(STEPS, data=form)

    assert (answer.status_code, answer.json()) == (400, {"error": error, "data": None, "status": 400})
