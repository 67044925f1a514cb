"""Plugins and loggers of the SDK."""

import logging

import pytest
from aws_durable_execution_sdk_python import durable_execution

from steprig.aws.in_process import SDK_VERSION

from . import samples
from .samples import value

plugin = pytest.importorskip("aws_durable_execution_sdk_python.plugin", reason="the SDK has plugins from 1.6 on")


def recording(told):
    """A plugin that notes what it is told, as this version of the SDK takes it."""

    class Recorder(plugin.DurableInstrumentationPlugin):
        def on_invocation_start(self, info):
            told.append(("invocation start", info.is_first_invocation))

        def on_invocation_end(self, info):
            told.append(("invocation end", info.status.value))

        def on_operation_start(self, info):
            told.append(("start", info.name))

        def on_operation_end(self, info):
            told.append(("end", info.name))

    if SDK_VERSION.major < 3:
        return Recorder()

    class Factory:
        def create_plugin(self, info):
            return Recorder()

    return Factory()


@pytest.mark.filterwarnings("ignore:The 'plugins' parameter is provisional:FutureWarning")
def test_a_plugin_is_told_of_invocations_and_operations(runner_of):
    told = []

    def body(event, context):
        context.step(lambda _: 1, name="step")
        context.wait(samples.seconds(5), name="wait")
        return "done"

    handler = durable_execution(body, plugins=[recording(told)])

    assert value(runner_of(handler).run("null")) == "done"
    assert [what for what in told if what[0] == "invocation start"] == [
        ("invocation start", True),
        ("invocation start", False),
    ]
    assert [what for what in told if what[0] == "invocation end"] == [
        ("invocation end", "PENDING"),
        ("invocation end", "SUCCEEDED"),
    ]
    told_anew = 2 if SDK_VERSION.major < 2 else 1  # the first plugins were told of replayed steps as of others
    assert told.count(("start", "step")) == told_anew
    assert told.count(("end", "step")) == told_anew
    assert told.count(("end", "wait")) == 1


def test_a_logger_tells_of_where_it_was_and_is_quiet_while_replaying(runner_of, caplog):
    @durable_execution
    def handler(event, context):
        context.logger.info("before")
        context.wait(samples.seconds(5), name="wait")
        context.logger.info("after")
        return "done"

    with caplog.at_level(logging.INFO):
        result = runner_of(handler).run("null")

    messages = [record for record in caplog.records if record.message in ("before", "after")]
    assert [record.message for record in messages] == ["before", "after"]
    assert {record.executionArn for record in messages} == {result.execution_arn}
