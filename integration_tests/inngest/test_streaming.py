"""Apps that answer at once, and send the real answer when they have it."""

import fastapi
import inngest
import inngest.fast_api
import pytest

from .stacks import Stack
from .stage import Stage, output


def _streaming(client, functions):
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, functions, streaming=inngest.Streaming.FORCE)
    return app


@pytest.fixture
def stage(dev):
    stage = Stage(Stack("fastapi-streaming", True, _streaming), dev)
    yield stage
    stage.close()


def test_steps_and_results_are_streamed(stage):
    @stage.function("streams")
    def streams(ctx):
        a = yield ctx.step.run("a", lambda: "\u2603")
        yield ctx.step.sleep("nap", 1000)
        return {"a": a}

    assert output(stage.run("streams")) == {"a": "\u2603"}
    assert stage.calls_of("streams") == ["step"] * 3


def test_an_error_that_is_streamed_is_tried_again(stage):
    @stage.function("streams", retries=1)
    def streams(ctx):
        if ctx.attempt == 0:
            raise ValueError("not yet")
        return ctx.attempt

    assert output(stage.run("streams")) == 1


def test_an_error_that_is_streamed_as_final_is_not_tried_again(stage):
    @stage.function("streams")
    def streams(ctx):
        raise inngest.NonRetriableError("never")

    assert stage.run("streams").failure.message == "never"
    assert stage.calls_of("streams") == ["step"]
