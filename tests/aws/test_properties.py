"""What holds whatever happens."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprig.aws import completions
from steprig.aws import records as r
from steprig.aws.errors import InvalidParameterValueException, ServiceError
from steprig.aws.folding import fold_record
from steprig.aws.history import events
from steprig.aws.invocations import Failed, Returned, finish
from steprig.aws.model import ErrorObject
from steprig.aws.projection import project
from steprig.aws.timing import appointments
from steprig.aws.tokens import CallbackToken, CheckpointToken, Marker
from steprig.kernel import MemoryJournal, SqliteJournal

from .story import Story, callback, error, invoke, retry, update, wait

IDS = ["a", "b", "c", "ctx", "ctx2"]
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="|"), min_size=1, max_size=80)


@given(NAMES, NAMES, st.integers(0, 10**9))
def test_a_token_comes_back_as_it_was(arn, invocation, sequence):
    token = CheckpointToken(arn, invocation, sequence)

    assert CheckpointToken.decode(token.encode()) == token
    assert CallbackToken.decode(CallbackToken(arn, invocation).encode()) == CallbackToken(arn, invocation)
    assert Marker.decode(Marker(sequence, 7).encode()) == Marker(sequence, 7)


@given(st.text())
def test_text_that_is_no_token_is_none(text):
    for kind in (CheckpointToken, CallbackToken, Marker):
        decoded = kind.decode(text)
        assert decoded is None or decoded.encode().rstrip("=") == text.rstrip("=")


def updates():
    ids = st.sampled_from(IDS)
    parents = st.sampled_from([None, None, "ctx", "ctx2", "a"])
    plain = st.builds(
        lambda kind, action, ident, parent: update(kind, action, ident, parent_id=parent),
        st.sampled_from(["STEP", "CONTEXT", "WAIT", "CALLBACK"]),
        st.sampled_from(["START", "SUCCEED", "FAIL", "CANCEL"]),
        ids,
        parents,
    )
    return st.one_of(
        plain,
        st.builds(lambda ident, parent: wait(10, ident, parent_id=parent), ids, parents),
        st.builds(lambda ident, parent: callback(60, 20, ident, parent_id=parent), ids, parents),
        st.builds(lambda ident: retry(5, ident, error=error()), ids),
        st.builds(lambda ident: retry(5, ident, payload="1"), ids),
        st.builds(lambda ident, name: invoke(name, ident), ids, st.sampled_from(["durable", "plain", "nobody"])),
    )


HAPPENINGS = st.one_of(
    st.tuples(st.just("checkpoint"), st.lists(updates(), max_size=3)),
    st.tuples(st.just("time"), st.integers(1, 30)),
    st.tuples(st.just("answer"), st.sampled_from(IDS)),
    st.tuples(st.just("invoked"), st.sampled_from(IDS)),
    st.tuples(st.just("returned"), st.sampled_from(["PENDING", "crash"])),
    st.tuples(st.just("pause"), st.booleans()),
)


class Watched(Story):
    """A story that keeps what a function was told, and notes what it was told too little of."""

    def __init__(self):
        super().__init__()
        self.told = {}

    def happen(self, what, detail):
        invocation = self.state.invocation
        if self.state.ended is not None:
            return
        if what == "checkpoint" and self.state.token is not None:
            answer = self.checkpoint(*detail)
            self.told |= {one.id: one for one in answer.operations}
            known = {one.id: one for one in self.state.operations.values() if one.id != "EXEC"}
            assert self.told == known, "an answer has left out a change"
        elif what == "time":
            self.later(seconds=detail).take(completions.wake)
        elif what == "answer":
            self.take(completions.succeed_callback, detail, b"1")
        elif what == "invoked":
            self.take(completions.end_invoke, detail, r.ExecutionSucceeded(result="1"))
        elif what == "returned" and invocation is not None:
            outcome = Returned({"Status": "PENDING"}) if detail == "PENDING" else Failed(ErrorObject("crash"))
            self.take(finish, invocation.id, outcome)
        elif what == "pause":
            self.take(completions.pause if detail else completions.resume)


def told_story(happenings):
    story = Watched()
    for what, detail in happenings:
        before, recorded = story.state, len(story.records)
        try:
            story.happen(what, detail)
        except ServiceError:
            assert story.state == before, "a refusal has changed something"
            assert len(story.records) == recorded
    return story


@settings(max_examples=300, deadline=None)
@given(st.lists(HAPPENINGS, max_size=25))
def test_nothing_is_lost_and_a_refusal_changes_nothing(happenings):
    story = told_story(happenings)

    state = story.state
    if state.ended is None and state.invocation is None and state.pause is None:
        going_on = state.pending or state.not_before is not None
        assert going_on, "an execution that nothing will ever wake"
        assert not state.owed or state.not_before is not None


@settings(max_examples=100, deadline=None)
@given(st.lists(HAPPENINGS, max_size=20))
def test_every_prefix_of_what_was_recorded_gives_the_state_that_there_was(happenings):
    story = Watched()
    seen = {len(story.records): story.state}
    for what, detail in happenings:
        try:
            story.happen(what, detail)
        except ServiceError:
            continue
        seen[len(story.records)] = story.state
    state = None
    encoder, decoders = msgspec.json.Encoder(), {}
    for number, record in enumerate(story.records, 1):
        kind = type(record.entry)
        decoder = decoders.setdefault(kind, msgspec.json.Decoder(kind))
        stored = record._replace(entry=decoder.decode(encoder.encode(record.entry)))
        assert stored.entry == record.entry
        state = fold_record(state, stored)
        if number in seen:
            assert state == seen[number]
            assert appointments(state, 900) == appointments(seen[number], 900)


@settings(max_examples=100, deadline=None)
@given(st.lists(HAPPENINGS, max_size=20))
def test_history_and_timeline_can_be_read_at_every_moment(happenings):
    story = told_story(happenings)
    run = None
    for number, record in enumerate(story.records, 1):
        run = project(run, record)
        told = events(story.records[:number])
        assert [event.event_id for event in told] == list(range(1, len(told) + 1))
    ids = {span.id for top in run.spans for span in top.walk() if span.kind != "attempt"}
    assert ids == {one for one in story.state.operations if one != "EXEC"}


def test_every_entry_that_there_is_survives_a_file(tmp_path):
    story = Story()
    story.checkpoint(
        update("CONTEXT", "START", "ctx"),
        callback(60, 20, "c", parent_id="ctx", name="cb"),
        invoke("durable", "i", tenant="blue", payload="1"),
        wait(5, "w"),
        retry(5, "s", error=ErrorObject("m", "t", "d", ("line 1", "line 2"))),
    )
    story.take(completions.heartbeat, "c")
    story.take(completions.pause)
    story.take(completions.resume)
    story.take(finish, "INV0", Failed(ErrorObject("crash")))
    story.later(seconds=6).take(completions.wake)
    story.checkpoint(update("EXECUTION", "FAIL", "end", error=error()))
    journal = SqliteJournal(tmp_path / "journal.db")
    for record in story.records:
        journal.append(record.at, (record.stream, record.entry))

    again = journal.read(story.records[0].stream)
    journal.close()

    assert [record.entry for record in again] == [record.entry for record in story.records]
    state = None
    for record in again:
        state = fold_record(state, record)
    assert state == story.state


def test_no_two_entries_have_one_tag():
    def below(kind):
        return [kind, *(one for sub in kind.__subclasses__() for one in below(sub))]

    tags = [kind.__struct_config__.tag for kind in below(r.Entry)]
    assert len(tags) == len(set(tags))


def test_an_ended_execution_is_dropped_by_a_bounded_journal():
    journal = MemoryJournal(retain=0)
    story = Story()
    story.take(completions.stop, None)

    for record in story.records:
        journal.append(record.at, (record.stream, record.entry))

    assert journal.streams(r.EXECUTION) == []


def test_text_too_long_for_base64_is_no_token():
    with pytest.raises(InvalidParameterValueException, match="Invalid checkpoint token"):
        Story().checkpoint(token="x" * 5000)
