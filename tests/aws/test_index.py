"""The index of executions follows the journal."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from steprig.aws import records as r
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.executions import Executions, existing
from steprig.aws.index import ExecutionIndex
from steprig.aws.starting import Start
from steprig.kernel import MemoryJournal, SqliteJournal, stream_of

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    """One that keeps three executions that have ended."""
    made = MemoryJournal(retain=3) if request.param == "memory" else SqliteJournal(tmp_path / "journal.db", retain=3)
    with closing(made):
        yield made


@pytest.fixture
def index_of():
    """Makes an index, and closes it."""
    made = []

    def make(journal):
        executions = Executions(journal)
        made.append(ExecutionIndex(journal, lambda arn: existing(executions.read(arn))))
        return made[-1]

    yield make
    for index in made:
        index.close()


def begin(journal, name, function="f", version="$LATEST", minutes=0):
    entry = Start(function=function, name=name, version=version, input="1").entry(f"id-of-{name}")
    journal.append(START + timedelta(minutes=minutes), (stream_of(r.EXECUTION, entry.arn), entry))
    return entry.arn


def end(journal, arn, entry=None):
    journal.append(START, (stream_of(r.EXECUTION, arn), entry or r.ExecutionSucceeded(result="1")))


def names(index, *wanted):
    return [one.name for one in index.of(*wanted)]


def test_it_knows_what_was_there_and_what_comes(journal, index_of):
    begin(journal, "a")
    index = index_of(journal)
    begin(journal, "b")

    assert names(index, "f") == ["a", "b"]
    assert names(index, "g") == []
    assert names(index, None) == ["a", "b"]


def test_it_tells_versions_apart(journal, index_of):
    index = index_of(journal)
    begin(journal, "a")
    begin(journal, "b", function="f:2", version="2")

    assert names(index, "f") == ["a", "b"]
    assert names(index, "f", "2") == ["b"]
    assert index.of("f", "2")[0].function_arn == "arn:aws:lambda:us-west-2:123456789012:function:f:2"


def test_a_summary_follows_the_execution(journal, index_of):
    index = index_of(journal)
    arn = begin(journal, "a", minutes=-5)
    (before,) = index.of("f")
    end(journal, arn)
    (after,) = index.of("f")

    assert (before.status, before.ended_at) == ("RUNNING", None)
    assert (after.status, after.ended_at) == ("SUCCEEDED", START)
    assert before.started_at == after.started_at == START - timedelta(minutes=5)


def test_a_name_is_found_for_its_function_alone(journal, index_of):
    index = index_of(journal)
    arn = begin(journal, "a")

    assert index.named("f", "a").arn == arn
    assert index.named("g", "a") is None
    assert index.named("f", "b") is None


def test_what_the_journal_drops_is_gone(journal, index_of):
    index = index_of(journal)
    for number in range(5):
        end(journal, begin(journal, f"n{number}"))

    assert len(index) == 3
    assert names(index, "f") == ["n2", "n3", "n4"]
    assert index.named("f", "n1") is None
    assert index.named("f", "n2") is not None


def test_what_is_deleted_is_gone(journal, index_of):
    index = index_of(journal)
    arn = begin(journal, "a")
    end(journal, arn)
    assert names(index, "f") == ["a"]

    end(journal, arn, r.ExecutionDeleted())

    assert names(index, "f") == []
    assert index.named("f", "a") is None


def test_an_execution_that_is_not_there_is_told_of():
    with pytest.raises(ResourceNotFoundException, match="Durable Execution does not exist"):
        existing(None)
