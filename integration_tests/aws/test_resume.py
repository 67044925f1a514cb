"""Going on with what a journal holds, after a process was killed or a runner closed, at whatever moment."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from aws_durable_execution_sdk_python import durable_execution

from steprig.aws.folding import fold_record
from steprig.aws.records import EXECUTION, InvocationCompleted
from steprig.kernel import MemoryJournal, SqliteJournal

from . import samples
from .samples import value

MORTAL = Path(__file__).with_name("mortal.py")


def process(*arguments):
    return subprocess.run(
        [sys.executable, str(MORTAL), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_execution_goes_on_after_its_process_was_killed(tmp_path):
    journal, notes = tmp_path / "journal.db", tmp_path / "notes"

    killed = process(journal, notes, "begin")
    assert killed.returncode == -9
    assert notes.read_text().split("\n") == ["first", ""]

    resumed = process(journal, notes, "resume")
    assert resumed.returncode == 0, resumed.stderr
    status, history = resumed.stdout.splitlines()
    assert status == 'SUCCEEDED ["inner step", "plain", "yes"]'
    assert notes.read_text().split() == ["first", "second", "inner", "inner", "inner", "step", "plain"]
    assert history.split()[:6] == [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "WaitStarted",
        "InvocationCompleted",
        "WaitSucceeded",
    ]
    assert history.split()[-1] == "ExecutionSucceeded"


@durable_execution
def story(event, context):
    """A bit of everything that can be under way."""
    context.step(lambda _: 1, name="one")
    context.wait(samples.seconds(30), name="wait")
    called = context.invoke("nested", 4, name="call")
    answer = context.wait_for_callback(lambda callback_id, _: None, name="approval")
    plain = context.invoke("plain", 5, name="plain")
    both = context.map([1, 2], lambda inner, n, i, a: inner.step(lambda _: n, name="n"), name="map").get_results()
    return [called, answer, plain, both]


def told(runner_of, journal):
    runner = runner_of(story, store=journal, callbacks={"approval": "yes"})
    return runner.register_durable_function("nested", samples.nests).register_function("plain", lambda e, c: e + 1)


def prefixes():
    """How many appends there are in the story, roughly; a cut behind the end is one at the end."""
    return range(1, 60)


@pytest.mark.parametrize("cut", prefixes())
def test_an_execution_goes_on_from_every_point(runner_of, cut):
    whole = MemoryJournal()
    log = []
    whole.listen(Noting(log))
    assert value(told(runner_of, whole).run("null")) == [9, "yes", 6, [1, 2]]
    cut_off = MemoryJournal()
    for record in whole_appends(log, cut):
        cut_off.append(record.at, (record.stream, record.entry))
    going_on = cut_off.streams(EXECUTION, going_on=True)

    runner = told(runner_of, cut_off)
    resumed = runner.resume()

    assert len(resumed) == len(going_on)
    for arn in resumed:
        result = runner.wait_for_result(arn)
        assert result.execution_status.name == "SUCCEEDED", str(result)
        if ":nested:" not in arn:
            assert value(result) == [9, "yes", 6, [1, 2]]


class Noting:
    def __init__(self, log):
        self.appended = log.append

    def dropped(self, stream):
        raise AssertionError(stream)


def whole_appends(log, cut):
    """The first records, and what was recorded along with the last of them: those of one time are one append."""
    kept = log[:cut]
    return [*kept, *(record for record in log[cut:] if kept and record.at == kept[-1].at)]


def test_what_was_lost_is_told_in_history(runner_of, tmp_path):
    with closing(SqliteJournal(tmp_path / "journal.db")) as journal:
        runner = runner_of(samples.asks, store=journal)
        arn = runner.run_async("null")
        callback_id = runner.wait_for_callback(arn)
        runner.close()
    with closing(SqliteJournal(tmp_path / "journal.db")) as journal:
        runner = runner_of(samples.asks, store=journal)
        assert runner.resume() == [arn]
        runner.send_callback_success(callback_id, b"yes")
        result = runner.wait_for_result(arn)
        runner.close()

    assert value(result) == "yes"
    assert not any("Error" in event.details for event in result.history())


def test_an_invocation_that_was_lost_counts_as_no_failure(runner_of):
    journal = MemoryJournal()
    first = runner_of(samples.asks, store=journal)
    arn = first.run_async("null")
    first.wait_for_callback(arn)
    records = [
        record for record in journal.read(f"{EXECUTION}:{arn}") if not isinstance(record.entry, InvocationCompleted)
    ]
    lost = MemoryJournal()
    for record in records:
        lost.append(record.at, (record.stream, record.entry))

    runner = runner_of(samples.asks, store=lost, callbacks={"approval": "yes"})
    runner.resume()
    result = runner.wait_for_result(arn)

    completed = [event for event in result.history() if event.event_type == "InvocationCompleted"]
    assert completed[0].details["Error"]["Payload"]["ErrorType"] == "Runtime.ExitError"
    state = None
    for record in lost.read(f"{EXECUTION}:{arn}"):
        state = fold_record(state, record)
    assert state.failures == 0
