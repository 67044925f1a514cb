"""The journal in a file: there after a restart, after a kill, and refused when it is something else."""

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from steprig.kernel import Entry, JournalFileError, SqliteJournal, stream_of
from steprig.kernel.entry_codec import EntryCodec, UnknownEntryError

AT = datetime(2030, 1, 1, 1, 2, 3, 456789, tzinfo=UTC)
RUN = stream_of("run", "a")


class Platformed(Entry, frozen=True, tag="test_sqlite_journal.{}".format):
    """The base of a platform's entries."""


class Kept(Platformed, frozen=True):
    number: int = 0
    raw: msgspec.Raw = msgspec.Raw(b"null")
    at: datetime = AT
    lasts: timedelta = timedelta()


class Over(Platformed, frozen=True):
    ends_stream = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


class TestRestart:
    def test_all_that_was_appended_is_there(self, path: Path) -> None:
        first = SqliteJournal(path)
        written = first.append(
            AT,
            (RUN, Kept(1, msgspec.Raw(b'{"a": [1, "\xc3\xa9"]}'), AT, timedelta(days=-1, microseconds=7))),
            (stream_of("event", "b"), Kept(2)),
            (RUN, Over()),
        )
        first.close()

        second = SqliteJournal(path)

        assert second.read(RUN) == [written[0], written[2]]
        assert second.streams("event") == [stream_of("event", "b")]
        assert second.last_at() == AT
        assert second.append(AT, (RUN, Kept()))[0].seq == 4
        second.close()

    def test_numbers_go_on_even_where_the_last_records_were_dropped(self, path: Path) -> None:
        first = SqliteJournal(path, retain=0)
        first.append(AT, (RUN, Kept()), (RUN, Over()))
        first.close()
        second = SqliteJournal(path)
        assert second.append(AT, (RUN, Kept()))[0].seq == 3
        second.close()

    def test_those_that_have_ended_count_on(self, path: Path) -> None:
        first = SqliteJournal(path, retain=2)
        for n in range(2):
            first.append(AT, (stream_of("run", str(n)), Over()))
        first.close()
        second = SqliteJournal(path, retain=2)
        second.append(AT, (stream_of("run", "2"), Over()))
        assert second.streams("run") == [stream_of("run", "1"), stream_of("run", "2")]
        second.close()

    def test_close_is_idempotent_and_reading_after_it_an_error(self, path: Path) -> None:
        journal = SqliteJournal(path)
        journal.close()
        journal.close()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            journal.read(RUN)


class TestFile:
    def test_one_in_use_is_refused_with_the_reason(self, path: Path) -> None:
        journal = SqliteJournal(path)
        with pytest.raises(JournalFileError, match="has it open"):
            SqliteJournal(path)
        journal.close()
        SqliteJournal(path).close()

    def test_what_is_no_database_is_refused(self, path: Path) -> None:
        path.write_text("hello " * 1000)
        with pytest.raises(JournalFileError, match="not a database"):
            SqliteJournal(path)

    def test_a_database_of_something_else_is_refused_and_left_alone(self, path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE pets (name TEXT)")
        db.close()
        with pytest.raises(JournalFileError, match="no journal of format 1"):
            SqliteJournal(path)
        with sqlite3.connect(path) as db:
            assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("pets",)]
        db.close()

    def test_a_folder_that_is_missing_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(JournalFileError, match="unable to open"):
            SqliteJournal(tmp_path / "missing" / "journal.db")

    def test_a_negative_number_to_retain_is_refused(self, path: Path) -> None:
        with pytest.raises(ValueError, match="retain=-1 is negative"):
            SqliteJournal(path, retain=-1)


class TestKill:
    def test_every_append_that_returned_is_there_and_none_in_half(self, path: Path) -> None:
        said = _kill_after(path, "journal.append(AT, *[(stream_of('run', str(n)), Kept(n))] * 5)")
        journal = SqliteJournal(path)
        found = {stream: journal.read(stream) for stream in journal.streams("run")}
        journal.close()
        assert len(found) >= said
        assert {len(records) for records in found.values()} == {5}

    def test_appends_that_are_together_are_there_together(self, path: Path) -> None:
        said = _kill_after(
            path,
            """
            with journal.together():
                for number in range(5):
                    journal.append(AT, (stream_of('run', str(n)), Kept(number)))
            """,
        )
        journal = SqliteJournal(path)
        found = [journal.read(stream) for stream in journal.streams("run")]
        journal.close()
        assert len(found) >= said
        assert {len(records) for records in found} == {5}


def _kill_after(path: Path, write: str) -> int:
    """Have a process write over and over, and kill it in the middle of that. How often it said that it had written."""
    write = textwrap.indent(textwrap.dedent(write).strip(), "    ")
    program = f"""
import itertools
from tests.kernel.test_sqlite_journal import AT, Kept
from steprig.kernel import SqliteJournal, stream_of
journal = SqliteJournal({str(path)!r})
for n in itertools.count():
{write}
    print(n, flush=True)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as child:
        assert child.stdout is not None
        said = 0
        while said < 200:
            said = int(child.stdout.readline()) + 1
        child.kill()
        return sum(1 for _ in child.stdout) + said


class TestCodec:
    def test_an_entry_of_an_unknown_type_says_so(self) -> None:
        with pytest.raises(UnknownEntryError, match=r"tagged 'nobody.Here', which is no type that is loaded"):
            EntryCodec().decode("nobody.Here", b"{}")

    def test_a_tag_that_two_types_share_says_which(self) -> None:
        def make() -> type[Entry]:
            class Twin(Entry, frozen=True):
                pass

            return Twin

        twins: tuple[Callable[[], Entry], ...] = make(), make()
        codec = EntryCodec()
        tag, encoded = codec.encode(twins[0]())
        with pytest.raises(UnknownEntryError, match=r"Twin and .*Twin; expected one type"):
            codec.decode(tag, encoded)


def test_an_error_of_the_database_leaves_the_journal_as_it_was(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.append(AT, (RUN, Kept()))
    journal._db.execute("PRAGMA max_page_count = 1")  # a disk that is full
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.append(AT, (stream_of("run", "b"), Kept(1, msgspec.Raw(b'"' + b"x" * 100_000 + b'"'))))
    journal._db.execute("PRAGMA max_page_count = 100000")
    assert journal.streams("run") == [RUN]
    assert journal.append(AT, (RUN, Kept(2)))[0].seq == 2
    assert len(journal.read(RUN)) == 2
    journal.close()
