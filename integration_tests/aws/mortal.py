"""A process that runs an execution until it is killed, and one that goes on with it.

Takes the journal's path, a file to note attempts in, and `begin` or `resume`.
"""

import os
import sys
from pathlib import Path

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

from steprig.aws import DurableFunctionTestRunner
from steprig.kernel import SqliteJournal


def main(path: str, notes: str, what: str) -> None:
    def note(text: str) -> str:
        with Path(notes).open("a") as file:
            file.write(f"{text}\n")
        return text

    @durable_execution
    def inner(event, context):
        note("inner")
        context.wait(Duration.from_hours(1), name="inner wait")
        return context.step(lambda _: note("inner step"), name="inner step")

    @durable_execution
    def handler(event, context):
        context.step(lambda _: note("first"), name="first")
        context.wait(Duration.from_days(1), name="wait")

        def dies(_):
            if what == "begin":
                os.kill(os.getpid(), 9)
            return note("second")

        context.step(dies, name="second")
        called = context.invoke("inner", None, name="call")
        plain = context.invoke("plain", None, name="plain")
        answered = context.wait_for_callback(lambda callback_id, _: None, name="ask")
        return [called, plain, answered]

    journal = SqliteJournal(path)
    with DurableFunctionTestRunner(handler, store=journal, callbacks={"ask": "yes"}) as runner:
        runner.register_durable_function("inner", inner)
        runner.register_function("plain", lambda event, context: note("plain"))
        if what == "begin":
            runner.run("null")
        else:
            (arn,) = runner.resume()
            result = runner.wait_for_result(arn)
            print(result.execution_status.name, result.result)
            print(" ".join(event.event_type for event in result.history()))
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
