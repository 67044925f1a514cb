"""What the tests of the service over HTTP share."""

import json
import queue
from pathlib import Path

from steprig.aws import HandlerProcess, WebRunnerConfig, WebServiceConfig

from ...waiting import until

AWS = Path(__file__).parents[1]
PATIENCE = 60.0


def config(**options) -> WebRunnerConfig:
    """Of a server on a free port."""
    web = {name: options.pop(name) for name in ("max_request_size",) if name in options}
    return WebRunnerConfig(web_service=WebServiceConfig(port=0, **web), **options)


def process(handler: str, **options) -> HandlerProcess:
    """A handler of a module in the folder above, in a process of its own."""
    return HandlerProcess(handler, cwd=AWS, **options)


def payload(answer):
    """What a function has returned."""
    return json.loads(answer["Payload"].read())


def kinds(client, arn) -> list[str]:
    """The types of all events of an execution."""
    pages = client.get_paginator("get_durable_execution_history").paginate(DurableExecutionArn=arn)
    return [event["EventType"] for page in pages for event in page["Events"]]


def ended(client, arn):
    """The execution once it has ended."""

    def look():
        told = client.get_durable_execution(DurableExecutionArn=arn)
        return told if "EndTimestamp" in told else None

    return until(look, f"the end of {arn}")


class Held:
    """A durable function whose checkpoints are the test's to make: it returns what the test tells it to."""

    def __init__(self) -> None:
        self._calls: queue.Queue = queue.Queue()
        self._answers: queue.Queue = queue.Queue()

    def __call__(self, event, context):
        self._calls.put(event)
        return self._answers.get(timeout=PATIENCE)

    def called(self):
        """The ARN and the token of the next invocation."""
        event = self._calls.get(timeout=PATIENCE)
        return event.durable_execution_arn, event.checkpoint_token

    def returns(self, output) -> None:
        """End an invocation."""
        self._answers.put(output)


def update(kind, action, ident="one", **more):
    """One of the updates of a checkpoint."""
    return {"Id": ident, "Type": kind, "Action": action, **more}
