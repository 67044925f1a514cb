"""Handlers for processes of their own, and one that ends them."""

import logging
import os
import signal
import time
from pathlib import Path

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

log = logging.getLogger(__name__)
NOTES = Path(os.environ.get("NOTES", os.devnull))


def note(text):
    with NOTES.open("a") as file:
        file.write(f"{text}\n")
    return text


def says(event, context):
    print("said", event, flush=True)


def describe(event, context):
    return {
        "event": event,
        "pid": os.getpid(),
        "name": context.function_name,
        "arn": context.invoked_function_arn,
        "id": context.aws_request_id,
        "tenant": context.tenant_id,
        "client": context.client_context and context.client_context.custom,
        "left": context.get_remaining_time_in_millis(),
        "endpoint": os.environ["AWS_ENDPOINT_URL_LAMBDA"],
        "region": os.environ["AWS_REGION"],
    }


def raises(event, context):
    raise ValueError("bad")


def exits(event, context):
    os._exit(3)


def hangs(event, context):
    note(os.getpid())
    time.sleep(600)


def hangs_on_request(event, context):
    time.sleep(600 if event else 0)
    return os.getpid()


def returns_no_json(event, context):
    return object()


def garbage(event, context):
    return "garbage"


@durable_execution
def counts(event, context):
    """Many steps before a wait, so that what follows it begins with many operations."""
    numbers = [context.step(lambda _, n=n: n, name=f"step-{n}") for n in range(150)]
    context.wait(Duration.from_hours(1), name="wait")
    return sum(numbers)


@durable_execution
def dies_once(event, context):
    """Killed in its second step, the first time."""
    context.step(lambda _: note("first"), name="first")

    def second(_):
        if note("second") and NOTES.read_text().count("second") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    return context.step(second, name="second")


@durable_execution
def stalls(event, context):
    """Its second step lasts until a file is there."""
    context.step(lambda _: note("first"), name="first")

    def second(_):
        note(f"pid {os.getpid()}")
        end = time.monotonic() + 60  # nobody may be left who would let it go on
        while not NOTES.with_suffix(".go").exists():
            assert time.monotonic() < end, "nobody lets it go on"
            time.sleep(0.01)
        return "went on"

    return context.step(second, name="second")


@durable_execution
def story(event, context):
    """Waits for a callback in the middle of it; the test ends the service while it does."""
    context.step(lambda _: note("first"), name="first")
    context.wait(Duration.from_seconds(1), name="wait")
    answer = context.wait_for_callback(lambda callback_id, _: note(f"callback {callback_id}"), name="ask")
    return [answer, context.step(lambda _: note("last"), name="last")]


def says_in_parts(event, context):
    """Ends in the middle of a line, after more than the end of a log holds if it is asked to."""
    for number in range(event.get("lines", 0)):
        print(f"line {number} ä{'.' * 60}")
    log.warning("careful")
    print("said", event["word"], end="")
    return event["word"]


@durable_execution
def says_twice(event, context):
    print("before", flush=True)
    context.wait(Duration.from_seconds(1))
    print("after", flush=True)
