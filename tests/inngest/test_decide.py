"""Decisions about runs, taken without a server, a clock or an app."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.inngest import decide
from steprig.inngest.decision import Given
from steprig.inngest.events import Event
from steprig.inngest.opcodes import DISCOVERY, OpName
from steprig.inngest.records import (
    AttemptFailed,
    CallAnswered,
    InvokeStarted,
    RunEnded,
    RunQueued,
    SleepStarted,
    StepEnded,
    WaitStarted,
)
from steprig.inngest.replies import NoReply, Reply
from steprig.inngest.state import fold
from steprig.kernel import Status

NOW = datetime(2030, 1, 1, tzinfo=UTC)
IDS = count()


def given_at(now=NOW, *, jitter=0.0, **more):
    return Given(now, lambda: f"ID{next(IDS)}", lambda: jitter, **more)


def event(name="test/e", data=b"{}", **more):
    fields = {"internal_id": f"EVENT{next(IDS)}", "ts": 1_700_000_000_000, "id": "e1"} | more
    return Event(name=name, data=msgspec.Raw(data), **fields)


def op(code, ident="a", **fields):
    return {"op": code, "id": ident, "displayName": f"step {ident}"} | fields


def reply(*ops, status=206, **more):
    return Reply(status, json.dumps(ops).encode(), **more)


class Story:
    """A run and everything that was recorded of it."""

    def __init__(self, *, attempts=1, correlation_id=None):
        queued = RunQueued("RUN", "app-fn", "app", (event(),), attempts, correlation_id)
        self.state = None
        self.entries = []
        self._take(decide.begin(queued, given_at()))

    def _take(self, decision):
        self.state = decision.state
        self.entries.extend(decision.entries)
        return decision.entries

    @property
    def jobs(self):
        return list(self.state.jobs.values())

    @property
    def targets(self):
        return [job.step for job in self.jobs]

    def job(self, step=DISCOVERY):
        return next(job for job in self.jobs if job.step == step)

    def answer(self, answer, job=None, given=None, exists=True):
        job = job or self.jobs[0]
        return self._take(decide.answer(self.state, job.id, answer, given or given_at(), lambda slug: exists))

    def ops(self, *ops, step=DISCOVERY, **more):
        return self.answer(reply(*ops, **more), self.job(step))

    def wake(self, step):
        return self._take(decide.wake(self.state, step, given_at()))

    def match(self, step, found):
        return self._take(decide.match(self.state, step, found, given_at()))

    def time_out(self, step):
        return self._take(decide.time_out(self.state, step, given_at()))

    def memo(self, step):
        return json.loads(bytes(self.state.memos[step]))

    def output(self):
        (ended,) = (entry for entry in self.entries if isinstance(entry, RunEnded))
        return json.loads(bytes(ended.output))


def kinds(entries):
    return [type(entry) for entry in entries]


# --- From call to call --------------------------------------------------------------------------------------


def test_a_run_begins_with_one_discovery():
    story = Story(attempts=5)

    (job,) = story.jobs
    assert (job.step, job.attempt, job.max_attempts, job.position) == (DISCOVERY, 0, 5, 0)
    assert story.state.status is Status.QUEUED
    assert story.state.version == -1


def test_a_step_that_ran_is_kept_and_followed_by_a_discovery():
    story = Story()
    story.ops(op("StepRun", data={"z": 1, "a": 2}))

    assert bytes(story.state.memos["a"]) == b'{"data":{"z": 1, "a": 2}}'
    assert [(job.step, job.position) for job in story.jobs] == [(DISCOVERY, 1)]


def test_the_first_outcome_of_a_step_counts():
    story = Story()
    story.ops(op("StepRun", data=1))
    story.ops(op("StepRun", data=2))

    assert story.memo("a") == {"data": 1}


def test_an_answer_to_a_call_that_nobody_waits_for_changes_nothing():
    story = Story()
    job = story.jobs[0]
    story.ops(op("StepRun", data=1))

    assert story.answer(reply(op("StepRun", "b", data=2)), job) == []


def test_nothing_follows_once_a_run_has_ended():
    story = Story()
    job = story.jobs[0]
    story.answer(Reply(200, b"1"))

    assert story.answer(Reply(200, b"2"), job) == []
    assert decide.cancel(story.state, given_at()).entries == []
    assert decide.wake(story.state, "a", given_at()).entries == []


def test_opcodes_after_the_end_of_a_run_are_ignored():
    story = Story()
    entries = story.ops(op("RunComplete", data=1), op("StepPlanned", "b"))

    assert kinds(entries) == [CallAnswered, RunEnded]


# --- Groups -------------------------------------------------------------------------------------------------


def test_a_group_is_followed_by_one_discovery_after_its_last_step():
    story = Story()
    story.ops(op("StepPlanned", "a"), op("StepPlanned", "b"), op("Sleep", "c", name="2030-01-01T01:00:00.000Z"))
    assert story.targets == ["a", "b"]

    story.ops(op("StepRun", "b", data=2), step="b")
    story.wake("c")
    assert story.targets == ["a"]
    story.ops(op("StepRun", "a", data=1), step="a")

    assert story.targets == [DISCOVERY]
    assert list(story.state.memos) == ["b", "c", "a"]


def test_calls_report_one_step_at_a_time_from_a_reply_of_several_to_the_next_discovery():
    story = Story()
    assert not story.state.one_step_a_call
    story.ops(op("StepPlanned", "a"), op("StepPlanned", "b"))
    assert story.state.one_step_a_call
    story.ops(op("StepRun", "a", data=1), step="a")
    assert story.state.one_step_a_call
    story.ops(op("StepRun", "b", data=1), step="b")
    assert not story.state.one_step_a_call


def test_a_step_that_was_planned_alone_may_run_on():
    story = Story()
    story.ops(op("StepPlanned", "a"))

    assert not story.state.one_step_a_call


def test_a_failed_step_of_a_group_counts_as_ended():
    story = Story()
    story.ops(op("StepPlanned", "a"), op("StepPlanned", "b"))
    story.ops(op("StepFailed", "a", error={"name": "E", "message": "m"}), step="a")
    assert story.targets == ["b"]
    story.ops(op("StepRun", "b"), step="b")

    assert story.targets == [DISCOVERY]


RACE = {"opts": {"parallelMode": "race"}}


def test_in_a_race_every_step_is_followed_by_a_discovery():
    story = Story()
    story.ops(op("StepPlanned", "a", **RACE), op("StepPlanned", "b", **RACE))
    story.ops(op("StepRun", "a", **RACE), step="a")
    assert story.targets == ["b", DISCOVERY]
    story.ops(op("StepRun", "b", **RACE), step="b")

    assert story.targets == [DISCOVERY, DISCOVERY]


def test_in_a_race_a_sleep_is_followed_by_a_discovery():
    story = Story()
    story.ops(op("StepPlanned", "a", **RACE), op("Sleep", "b", name="2030-01-01T01:00:00Z", **RACE))
    story.wake("b")

    assert story.targets == ["a", DISCOVERY]


def test_what_comes_after_a_race_does_not_wait_for_the_losers():
    story = Story()
    story.ops(op("StepPlanned", "a", **RACE), op("StepPlanned", "b", **RACE))
    story.ops(op("StepRun", "a", **RACE), step="a")
    story.ops(op("StepRun", "c"))

    assert story.targets == ["b", DISCOVERY]


@pytest.mark.parametrize("again", ["StepPlanned", "Sleep", "WaitForEvent", "InvokeFunction"])
def test_steps_that_are_reported_again_are_not_begun_again(again):
    story = Story()
    more = {"name": "2030-01-01T01:00:00Z"} if again == "Sleep" else {"name": "test/e"}
    story.ops(op(again, "a", **more), op("StepPlanned", "b", **RACE))
    story.ops(op("StepRun", "b", **RACE), step="b")
    entries = story.ops(op(again, "a", **more))

    assert kinds(entries) == [CallAnswered]


def test_sdks_of_the_first_version_get_a_discovery_after_each_step():
    story = Story()
    story.ops(op("StepPlanned", "a"), op("StepPlanned", "b"), version=1)
    story.ops(op("StepRun", "a"), step="a", version=1)

    assert story.targets == ["b", DISCOVERY]


def test_waits_begin_before_what_may_send_the_event():
    story = Story()
    entries = story.ops(op("InvokeFunction", "a", opts={"function_id": "f"}), op("WaitForEvent", "b", name="test/e"))

    assert kinds(entries) == [CallAnswered, WaitStarted, InvokeStarted]


# --- Attempts -----------------------------------------------------------------------------------------------


def test_a_failed_call_is_made_again_until_its_attempts_are_used_up():
    story = Story(attempts=3)
    attempts = []
    while story.state.jobs:
        attempts.append(story.jobs[0].attempt)
        story.answer(Reply(500, b'{"name":"E","message":"m"}'))

    assert attempts == [0, 1, 2]
    assert story.state.status is Status.FAILED
    assert story.output() == {"name": "E", "message": "m"}


@pytest.mark.parametrize(
    ("attempt", "seconds"), list(enumerate([15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200, 7200, 7200]))
)
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_the_time_between_attempts_grows_and_varies(attempt, seconds, jitter):
    story = Story(attempts=20)
    for _ in range(attempt + 1):
        story.answer(NoReply("gone"), given=given_at(jitter=jitter))

    assert story.jobs[0].at - NOW == timedelta(seconds=seconds + 30 * jitter)


def test_a_retry_keeps_its_target_and_a_later_job_begins_anew():
    story = Story(attempts=3)
    story.ops(op("StepPlanned", "a"))
    story.ops(op("StepError", "a", error={"name": "E"}), step="a")
    assert [(job.step, job.attempt, job.title) for job in story.jobs] == [("a", 1, "step a")]
    story.ops(op("StepRun", "a"), step="a")

    assert [(job.step, job.attempt) for job in story.jobs] == [(DISCOVERY, 0)]


@pytest.mark.parametrize(
    ("code", "more"), [("StepFailed", {}), ("StepError", {"no_retry": True})], ids=["StepFailed", "no-retry header"]
)
def test_a_step_that_failed_for_good_is_kept_with_its_error_and_not_tried_again(code, more):
    story = Story(attempts=9)
    story.ops(op(code, error={"name": "E", "message": "m", "data": [1]}), **more)

    assert story.memo("a")["error"] | {"noRetry": ...} == {"name": "E", "message": "m", "data": [1], "noRetry": ...}
    assert story.memo("a")["error"].get("noRetry", False) is bool(more)
    assert story.targets == [DISCOVERY]


def test_a_step_error_on_the_last_attempt_is_final():
    story = Story(attempts=1)
    story.ops(op("StepError", error={"name": "E", "message": "m"}))

    assert story.memo("a") == {"error": {"name": "E", "message": "m"}}
    assert story.targets == [DISCOVERY]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 1),
        ("9999999", 86400),
        ("2030-01-01T00:10:00.250Z", 600.25),
        ("Tue, 01 Jan 2030 00:10:00 GMT", 600),
        ("2020-01-01T00:00:00Z", 1),
    ],
)
def test_a_retry_waits_as_long_as_it_was_asked_to(header, seconds):
    story = Story(attempts=2)
    story.answer(Reply(500, b"{}", retry_after=header))

    assert (story.jobs[0].at - NOW).total_seconds() == seconds


@pytest.mark.parametrize("header", ["soon", "12345678", "-1", "1.5", ""])
def test_a_retry_header_that_cannot_be_read_leaves_the_usual_time(header):
    story = Story(attempts=2)
    story.answer(Reply(500, b"{}", retry_after=header))

    assert story.jobs[0].at - NOW == timedelta(seconds=15)


@pytest.mark.parametrize("ahead", [timedelta(days=-3650), timedelta(days=3650), timedelta()])
def test_times_that_an_sdk_names_are_taken_by_its_own_clock(ahead):
    """It makes an end out of `sleep(one hour)` by the machine's clock, which shows another time than ours."""
    at = (NOW - ahead + timedelta(hours=1)).isoformat()
    story = Story(attempts=2)
    given = given_at(ahead=ahead)
    story.answer(Reply(500, b"{}", retry_after=at), given=given)
    assert story.jobs[0].at - NOW == timedelta(hours=1)
    story.answer(reply(op("Sleep", name=at)), given=given)

    assert story.state.open["a"].until - NOW == timedelta(hours=1)


def test_a_fixed_interval_takes_the_place_of_the_backoff():
    story = Story(attempts=2)
    story.answer(NoReply("gone"), given=given_at(retry_interval=timedelta(seconds=3)))

    assert story.jobs[0].at - NOW == timedelta(seconds=3)


def test_an_output_over_four_mebibytes_fails_the_call_and_keeps_nothing():
    story = Story(attempts=2)
    entries = story.ops(op("StepRun", "a", data=1), op("StepRun", "b", data="x" * (4 << 20)))

    assert kinds(entries) == [AttemptFailed]
    assert story.state.memos == {}
    assert entries[0].problem.message == (
        "error validating generator opcode b: step output size is greater than the limit"
    )


# --- Waiting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"name": "2030-01-01T00:00:10.500Z"}, 10.5),
        ({"name": "2029-01-01T00:00:00.000Z"}, 0),
        ({"opts": {"duration": "1h30m"}}, 5400),
        ({"opts": {"duration": "2030-01-01T00:01:00Z"}, "name": "5h"}, 60),
        ({}, 0),
    ],
)
def test_a_sleep_ends_when_it_says(fields, seconds):
    story = Story()
    (_, slept) = story.ops(op("Sleep", **fields))

    assert isinstance(slept, SleepStarted)
    assert (slept.until - NOW).total_seconds() == seconds


def test_a_sleep_that_is_over_gives_null():
    story = Story()
    story.ops(op("Sleep", name="1h"))
    story.wake("a")

    assert story.memo("a") is None
    assert story.wake("a") == []
    assert story.targets == [DISCOVERY]


def test_a_wait_gives_the_event_as_it_is():
    story = Story()
    story.ops(op("WaitForEvent", name="test/answer", opts={"timeout": "1h"}))
    story.match("a", event("test/answer", b'{"data":1}', id="mine", v="2"))

    assert story.memo("a") == {
        "data": {"data": 1},
        "id": "mine",
        "name": "test/answer",
        "ts": 1_700_000_000_000,
        "user": {},
        "v": "2",
    }
    assert story.match("a", event("test/answer")) == []
    assert story.time_out("a") == []


def test_a_wait_that_times_out_gives_null():
    story = Story()
    story.ops(op("WaitForEvent", name="test/answer", opts={"timeout": "1h"}))
    assert story.state.open["a"].expires - NOW == timedelta(hours=1)
    story.time_out("a")

    assert story.memo("a") is None


@pytest.mark.parametrize("timeout", [None, ""])
def test_a_wait_without_a_timeout_lasts_a_year(timeout):
    story = Story()
    story.ops(op("WaitForEvent", name="test/answer", opts={"timeout": timeout, "if": None}))

    assert story.state.open["a"].expires - NOW == timedelta(days=365)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (op("Sleep", name="367d"), "InngestErrTimeoutTooLong"),
        (op("WaitForEvent", name="e", opts={"timeout": "53w"}), "InngestErrTimeoutTooLong"),
        (op("InvokeFunction", opts={"function_id": "f", "timeout": "9000h"}), "InngestErrTimeoutTooLong"),
        (op("WaitForEvent", name="e", opts={"if": "a =="}), "InvalidExpression"),
    ],
)
def test_what_can_never_come_right_fails_the_run_at_once(what, name):
    story = Story(attempts=5)
    story.ops(what)

    assert story.state.status is Status.FAILED
    assert story.output()["error"]["name"] == name
    assert story.state.jobs == {}


def test_an_invoke_that_times_out_says_so():
    story = Story()
    story.ops(op("InvokeFunction", opts={"function_id": "f", "timeout": "1s", "payload": {"data": None}}))
    story.time_out("a")

    message = "Timed out waiting for invoked function to complete"
    assert story.memo("a") == {
        "error": {
            "error": f"InngestInvokeTimeoutError: {message}",
            "name": "InngestInvokeTimeoutError",
            "message": message,
        }
    }


def test_an_invoke_of_nobody_fails_at_once():
    story = Story()
    story.answer(reply(op("InvokeFunction", opts={"function_id": "nobody"})), exists=False)

    assert story.memo("a") == {"error": {"name": "Error", "message": "could not find function with ID: nobody"}}
    assert story.targets == [DISCOVERY]


def test_an_invoke_gives_the_result_of_the_function():
    story = Story()
    story.ops(op("InvokeFunction", opts={"function_id": "f", "payload": {"data": {"n": 1}}}))
    ended = RunEnded(Status.COMPLETED, msgspec.Raw(b'{"z":1}'))
    decision = decide.resume(story.state, "a", "CHILD", ended, event(), given_at())

    assert bytes(decision.state.memos["a"]) == b'{"data":{"z":1}}'


# --- Any story at all -----------------------------------------------------------------------------------------

STEPS = ["a", "b", "c", "d"]
OPS = st.builds(
    lambda code, step, race: op(code, step, name="1h", **({"opts": {"parallelMode": "race"}} if race else {})),
    st.sampled_from(["StepRun", "StepPlanned", "StepError", "StepFailed", "Sleep", "WaitForEvent", "None"]),
    st.sampled_from(STEPS),
    st.booleans(),
)
MOVES = st.one_of(
    st.builds(lambda index, ops: ("ops", index, ops), st.integers(0, 9), st.lists(OPS, max_size=4)),
    st.builds(lambda index, status: ("fail", index, status), st.integers(0, 9), st.sampled_from([400, 500, 502])),
    st.builds(lambda step: ("wake", step), st.sampled_from(STEPS)),
    st.builds(lambda step: ("match", step), st.sampled_from(STEPS)),
    st.builds(lambda step: ("time out", step), st.sampled_from(STEPS)),
)


def play(story, move):
    match move:
        case ("ops", index, ops) if story.jobs:
            story.answer(reply(*ops), story.jobs[index % len(story.jobs)])
        case ("fail", index, status) if story.jobs:
            story.answer(Reply(status, b"{}"), story.jobs[index % len(story.jobs)])
        case ("wake", step):
            story.wake(step)
        case ("match", step):
            story.match(step, event())
        case ("time out", step):
            story.time_out(step)


@settings(max_examples=300, deadline=None)
@given(st.lists(MOVES, max_size=25))
def test_whatever_happens_the_state_is_what_the_records_say(moves):
    story = Story(attempts=3)
    for move in moves:
        play(story, move)
        if story.state.status.ended:
            break

    for _ in range(2):
        state = None
        for entry in story.entries:
            state = fold(state, entry)
        assert state == story.state


@settings(max_examples=300, deadline=None)
@given(st.lists(MOVES, max_size=25))
def test_whatever_happens_no_step_ends_twice_and_an_ended_run_calls_nobody(moves):
    story = Story(attempts=3)
    for move in moves:
        play(story, move)
        ended = [entry.step for entry in story.entries if isinstance(entry, StepEnded)]
        assert len(ended) == len(set(ended))
        assert not story.state.memos.keys() & story.state.open.keys()
        if story.state.status.ended:
            assert story.state.jobs == {}
            break


class App:
    """A function of groups of steps, one after the other, that answers as the Python SDK does.

    A group of one is a step on its own.
    """

    def __init__(self, groups, *, race):
        self.groups = groups
        self.race = race
        self.ran = []
        self.discoveries = 0

    def call(self, state, job):
        if job.step != DISCOVERY:
            return self.run(job.step)
        self.discoveries += 1
        for number, group in enumerate(self.groups):
            names = [f"{number}.{index}.{kind}" for index, kind in enumerate(group)]
            left = [name for name in names if name not in state.memos]
            if left and len(group) == 1 and left[0].endswith("run") and not state.one_step_a_call:
                return self.run(left[0])
            if left:
                return reply(*(self.report(name) for name in left))
        return Reply(200, b'"done"')

    def run(self, name):
        self.ran.append(name)
        return reply(self.marked(op("StepRun", name, data=name)))

    def report(self, name):
        kind = name.rpartition(".")[2]
        code = {"run": "StepPlanned", "sleep": "Sleep", "wait": "WaitForEvent"}[kind]
        return self.marked(op(code, name, name="1h"))

    def marked(self, what):
        return what | RACE if self.race and len(self.groups[int(what["id"].partition(".")[0])]) > 1 else what


KINDS = st.sampled_from(["run", "run", "sleep", "wait"])
GROUPS = st.lists(st.lists(KINDS, min_size=1, max_size=4), max_size=4)


@settings(max_examples=300, deadline=None)
@given(GROUPS, st.booleans(), st.data())
def test_in_whatever_order_things_happen_every_step_runs_once_and_the_run_completes(groups, race, data):
    story, app = Story(), App(groups, race=race)
    while not story.state.status.ended:
        open_steps = [step for step in story.state.open if not step.endswith("run")]
        moves = [("answer", job) for job in story.jobs] + [("end", step) for step in open_steps]
        assert moves, "the run is stuck"
        match data.draw(st.sampled_from(moves)):
            case ("answer", job):
                story.answer(app.call(story.state, job), job)
            case ("end", step) if step.endswith("sleep"):
                story.wake(step)
            case ("end", step):
                story.match(step, event())

    assert story.output() == "done"
    runs = [f"{i}.{j}.run" for i, group in enumerate(groups) for j, kind in enumerate(group) if kind == "run"]
    assert sorted(app.ran) == sorted(runs)
    if not race:
        assert app.discoveries == len(groups) + 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([200, 201, 204, 206, 302, 400, 404, 500, 599]), st.booleans())
def test_any_answer_at_all_is_decided_about(body, status, is_sdk):
    story = Story(attempts=1)
    story.answer(Reply(status, body, is_sdk=is_sdk))

    assert story.state.status.ended or story.state.jobs
    if story.state.status.ended:
        story.output()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)
) | st.dictionaries(st.sampled_from(["timeout", "if", "function_id", "payload", "parallelMode", "data"]), st.text())


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([code for code in get_args(OpName) if code != "None"]),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "displayName", "opts", "data", "error"), JSON)),
    st.booleans(),
)
def test_any_opcode_at_all_is_decided_about(code, fields, no_retry):
    story = Story(attempts=1)
    story.ops({"op": code, "id": "a"} | fields, no_retry=no_retry)

    assert story.state.status.ended or story.state.jobs or story.state.open
    for memo in story.state.memos.values():
        json.loads(bytes(memo))
