"""Pausing deployed functions, which boto3 does not know how to ask for before some version."""

import threading
from urllib.parse import quote

import httpx
import pytest
from aws_durable_execution_sdk_python import durable_execution
from botocore.exceptions import ClientError

from steprig.aws import DurableFunctionCloudTestRunner, ResourceNotFoundException
from steprig.aws.in_process import REVOCABLE
from steprig.aws.runner import InvocationStatus

from ...waiting import until
from .. import samples

NAME = "test-function"

pytestmark = pytest.mark.skipif(not REVOCABLE, reason="this SDK does not understand that an execution is paused")


class NewerClient:
    """This boto3's client, and two operations more, over the wire as boto3 would send them."""

    def __init__(self, client, endpoint):
        self._client = client
        self._endpoint = endpoint
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def pause_durable_execution(self, DurableExecutionArn):  # noqa: N803 - boto3's name
        self._ask(DurableExecutionArn, "pause")

    def resume_durable_execution(self, DurableExecutionArn):  # noqa: N803
        self._ask(DurableExecutionArn, "resume")

    def _ask(self, arn, what):
        self.asked.append(what)
        answer = httpx.post(f"{self._endpoint}/2025-12-01/durable-executions/{quote(arn, safe='')}/{what}")
        if answer.is_error:
            code = answer.headers["x-amzn-errortype"]
            raise ClientError({"Error": {"Code": code, "Message": answer.json()["message"]}}, what)


@pytest.fixture
def newer(opened, deployed):
    """Makes a runner of a function that is deployed, with such a client."""

    def run(handler):
        endpoint = deployed(handler).endpoint_url
        with DurableFunctionCloudTestRunner(NAME, lambda_endpoint=endpoint) as plain:
            client = NewerClient(plain.lambda_client, endpoint)
            return opened.enter_context(DurableFunctionCloudTestRunner(NAME, client=client, poll_interval=0.05))

    return run


def status(runner, arn):
    return runner.lambda_client.get_durable_execution(DurableExecutionArn=arn)["Status"]


def test_an_execution_is_paused_and_goes_on(newer):
    runner = newer(samples.waits_for_callback)
    arn = runner.run_async()
    callback_id = runner.wait_for_callback(arn)

    runner.pause_execution(arn)
    assert status(runner, arn) == "PAUSED"
    runner.send_callback_success(callback_id, b'"yes"')
    runner.resume_execution(arn)

    assert runner.wait_for_result(arn).status is InvocationStatus.SUCCEEDED
    assert runner.lambda_client.asked == ["pause", "resume"]


def test_a_pause_waits_for_the_end_of_the_invocation(newer):
    running, gate = threading.Event(), threading.Event()

    @durable_execution
    def handler(event, context):
        running.set()
        assert gate.wait(60)
        return context.step(lambda _: "done", name="step")

    runner = newer(handler)
    arn = runner.run_async()
    assert running.wait(60)

    with pytest.raises(TimeoutError, match=r"The invocation did not end within 0.2 s; the execution is PAUSING"):
        runner.pause_execution(arn, timeout=0.2)
    gate.set()
    until(lambda: status(runner, arn) == "PAUSED", "that it is paused")
    runner.resume_execution(arn)

    assert runner.wait_for_result(arn).status is InvocationStatus.SUCCEEDED


def test_what_has_ended_or_goes_on_is_left_alone(newer):
    runner = newer(samples.waits_for_callback)
    arn = runner.run_async()
    callback_id = runner.wait_for_callback(arn)

    runner.resume_execution(arn)
    runner.send_callback_success(callback_id, b'"yes"')
    runner.wait_for_result(arn)
    runner.pause_execution(arn)
    runner.resume_execution(arn)

    assert runner.lambda_client.asked == []


def test_an_execution_that_is_unknown_cannot_be_paused(newer):
    runner = newer(samples.waits_for_callback)
    arn = runner.run_async()

    with pytest.raises(ResourceNotFoundException):
        runner.pause_execution(f"{arn[:-1]}{'0' if arn[-1] != '0' else '1'}")
