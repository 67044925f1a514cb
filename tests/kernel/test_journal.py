"""The journal: gapless, atomic, bounded, and the same state however often it is folded."""

import gc
import sys
import threading
import weakref
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprig.kernel import Entry, Journal, MemoryJournal, Record, SqliteJournal, Stream, kind_of, stream_of
from steprig.kernel.journal import records_of

AT = datetime(2030, 1, 1, tzinfo=UTC)


class Noted(Entry, frozen=True, tag="test_journal.Noted"):
    number: int = 0


class Ended(Entry, frozen=True, tag="test_journal.Ended"):
    ends_stream = True


class Reader:
    """A listener that keeps its own copy of the journal, by what it is told alone."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.streams: dict[Stream, list[Record]] = {}

    def appended(self, record: Record) -> None:
        self.told.append(record.seq)
        self.streams.setdefault(record.stream, []).append(record)

    def dropped(self, stream: Stream) -> None:
        del self.streams[stream]


def run(number: int) -> Stream:
    return stream_of("run", str(number))


class Make(Protocol):
    def __call__(self, *, retain: int = ...) -> Journal: ...


def sqlite_journal(*, retain: int = 10_000) -> SqliteJournal:
    return SqliteJournal(":memory:", retain=retain)


journals = pytest.mark.parametrize("make", [MemoryJournal, sqlite_journal], ids=["memory", "sqlite"])


appends = st.lists(
    st.lists(
        st.tuples(
            st.builds(stream_of, st.sampled_from(["run", "event"]), st.sampled_from("abcdef")),
            st.one_of(st.builds(Noted, st.integers(0, 9)), st.just(Ended())),
        ),
        max_size=3,
    )
)


def test_streams_are_named_by_kind_and_id() -> None:
    assert stream_of("run", "a:b") == "run:a:b"
    assert kind_of(stream_of("run", "a:b")) == "run"


def test_entries_are_immutable_and_told_apart_on_the_wire() -> None:
    entry = Noted(7)
    with pytest.raises(AttributeError):
        entry.number = 8  # type: ignore[misc]
    wire = msgspec.json.encode(entry)
    assert msgspec.json.decode(wire, type=Noted | Ended) == entry


@journals
@given(appends)
def test_records_keep_their_order_and_their_numbers_have_no_gap(
    make: Make, batches: list[list[tuple[Stream, Entry]]]
) -> None:
    journal = make()
    written = [record for batch in batches for record in journal.append(AT, *batch)]
    assert [record.seq for record in written] == list(range(1, len(written) + 1))
    assert [(record.stream, record.entry) for record in written] == [pair for batch in batches for pair in batch]
    for kind in ("run", "event"):
        first = list(dict.fromkeys(record.stream for record in written if kind_of(record.stream) == kind))
        assert journal.streams(kind) == first
        for stream in first:
            mine = [record for record in written if record.stream == stream]
            assert journal.read(stream) == mine
            assert [journal.read(stream, after=n) for n in range(len(mine) + 2)] == [
                mine[n:] for n in range(len(mine) + 2)
            ]


@journals
@given(appends, st.integers(0, 3))
def test_a_listener_can_follow_with_what_it_is_told_alone(
    make: Make, batches: list[list[tuple[Stream, Entry]]], retain: int
) -> None:
    journal, reader = make(retain=retain), Reader()
    journal.listen(reader)
    for batch in batches:
        journal.append(AT, *batch)
        kept = [stream for kind in ("run", "event") for stream in journal.streams(kind)]
        assert set(reader.streams) == set(kept)
        for stream in kept:
            assert reader.streams[stream] == journal.read(stream)
    assert reader.told == list(range(1, len(reader.told) + 1))


@journals
@given(appends)
def test_folding_twice_gives_the_same(make: Make, batches: list[list[tuple[Stream, Entry]]]) -> None:
    journal = make()
    for batch in batches:
        journal.append(AT, *batch)

    def fold() -> dict[Stream, tuple[int, bool]]:
        state: dict[Stream, tuple[int, bool]] = {}
        for kind in ("run", "event"):
            for record in records_of(journal, kind):
                total, ended = state.get(record.stream, (0, False))
                if isinstance(record.entry, Noted):
                    total = total * 31 + record.entry.number
                state[record.stream] = (total, ended or record.entry.ends_stream)
        return state

    assert fold() == fold()


@journals
class TestRetention:
    def test_the_newest_that_ended_are_kept_and_older_ones_dropped_whole(self, make: Make) -> None:
        journal = make(retain=2)
        for n in range(5):
            journal.append(AT, (run(n), Noted()), (run(n), Noted()), (run(n), Ended()))
        assert journal.streams("run") == [run(3), run(4)]
        assert [len(journal.read(run(n))) for n in range(5)] == [0, 0, 0, 3, 3]

    def test_what_goes_on_is_never_dropped(self, make: Make) -> None:
        journal = make(retain=0)
        journal.append(AT, (run(0), Noted()))
        for n in range(1, 100):
            journal.append(AT, (run(n), Ended()))
        assert journal.streams("run") == [run(0)]

    def test_each_kind_is_counted_by_itself(self, make: Make) -> None:
        journal = make(retain=1)
        journal.append(AT, (stream_of("event", "a"), Ended()))
        for n in range(3):
            journal.append(AT, (run(n), Ended()))
        assert journal.streams("event") == [stream_of("event", "a")]
        assert journal.streams("run") == [run(2)]

    def test_an_append_that_ends_a_stream_twice_drops_it_once(self, make: Make) -> None:
        journal, reader = make(retain=0), Reader()
        journal.listen(reader)
        records = journal.append(AT, (run(0), Ended()), (run(0), Ended()), (run(1), Ended()))
        assert [record.seq for record in records] == [1, 2, 3]
        assert reader.streams == {}
        assert journal.streams("run") == []

    def test_listeners_are_told_after_the_records_of_the_append(self, make: Make) -> None:
        told: list[str] = []

        class Order:
            def appended(self, record: Record) -> None:
                told.append(f"+{record.seq}")

            def dropped(self, stream: Stream) -> None:
                told.append(f"-{stream}")

        journal = make(retain=1)
        journal.listen(Order())
        journal.append(AT, (run(0), Ended()), (run(1), Ended()), (run(2), Noted()))
        assert told == ["+1", "+2", "+3", "-run:0"]

    def test_a_negative_number_is_refused(self, make: Make) -> None:
        with pytest.raises(ValueError, match="retain=-1 is negative"):
            make(retain=-1)


@journals
class TestAtomic:
    @pytest.mark.parametrize(
        "wrong", [(run(0),), None, (7, Noted()), (run(0), "no entry")], ids=["short", "none", "stream", "entry"]
    )
    def test_all_entries_or_none(self, make: Make, wrong: object) -> None:
        journal, reader = make(), Reader()
        journal.listen(reader)
        with pytest.raises((TypeError, ValueError, AttributeError)):
            journal.append(AT, (run(0), Noted()), wrong)  # type: ignore[arg-type]
        assert journal.read(run(0)) == []
        assert journal.streams("run") == []
        assert reader.told == []
        assert [record.seq for record in journal.append(AT, (run(0), Noted()))] == [1]

    def test_readers_see_all_of_an_append_or_nothing(self, make: Make) -> None:
        journal = make(retain=5)
        over = threading.Event()
        torn: list[tuple[int, int]] = []

        def read() -> None:
            while not over.is_set():
                second = len(journal.read(run(1)))
                first = len(journal.read(run(0)))
                if first < second:
                    torn.append((first, second))

        def write() -> None:
            for _ in range(2_000):
                journal.append(AT, (run(0), Noted()), (run(1), Noted()))

        _together(read, write, write, over=over)
        assert torn == []
        assert len(journal.read(run(0))) == len(journal.read(run(1))) == 4_000

    def test_many_threads_leave_no_gap_and_one_order_for_all(self, make: Make) -> None:
        journal, reader = make(retain=50), Reader()
        journal.listen(reader)
        over = threading.Event()

        def write(name: str) -> None:
            for n in range(1_000):
                stream = stream_of("run", f"{name}{n}")
                journal.append(AT, (stream, Noted(1)))
                journal.append(AT, (stream, Noted(2)), (stream, Ended()))

        _together(*(lambda name=name: write(name) for name in "abcd"), over=over)
        assert reader.told == list(range(1, 12_001))
        assert len(journal.streams("run")) == 50
        assert {stream: list(journal.read(stream)) for stream in journal.streams("run")} == reader.streams


def _together(*work: object, over: threading.Event) -> None:
    """Run all at once, the first until the others have ended; take turns often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=one) for one in work]  # type: ignore[arg-type]
    try:
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join(20)
        over.set()
        threads[0].join(20)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)


@journals
class TestListeners:
    def test_a_listener_hears_what_comes_until_it_leaves(self, make: Make) -> None:
        journal, first, second = make(), Reader(), Reader()
        journal.append(AT, (run(0), Noted()))
        leave = journal.listen(first)
        journal.listen(second)
        journal.append(AT, (run(0), Noted()))
        leave()
        leave()
        journal.append(AT, (run(0), Noted()))
        assert (first.told, second.told) == ([2], [2, 3])

    def test_one_that_fails_is_logged_and_spoils_nothing_for_the_others(
        self, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            def appended(self, record: Record) -> None:
                raise RuntimeError("Event loop is closed")

            def dropped(self, stream: Stream) -> None:
                raise KeyError(stream)

        journal, reader = make(retain=0), Reader()
        journal.listen(Broken())
        journal.listen(reader)
        assert len(journal.append(AT, (run(0), Noted()), (run(0), Ended()))) == 2
        assert reader.told == [1, 2]
        assert reader.streams == {}
        assert "Event loop is closed" in caplog.text

    def test_one_that_appends_is_told_that_it_cannot(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        class Chatty(Reader):
            def appended(self, record: Record) -> None:
                journal.append(AT, (run(1), Noted()))

        journal = make()
        journal.listen(Chatty())
        journal.append(AT, (run(0), Noted()))
        assert "a journal's listener cannot append to it" in caplog.text
        assert journal.streams("run") == [run(0)]

    def test_one_may_read(self, make: Make) -> None:
        lengths: list[int] = []

        class Curious(Reader):
            def appended(self, record: Record) -> None:
                lengths.append(len(journal.read(record.stream)))

        journal = make()
        journal.listen(Curious())
        journal.append(AT, (run(0), Noted()))
        journal.append(AT, (run(0), Noted()))
        assert lengths == [1, 2]

    def test_one_hears_of_the_kinds_that_it_wants_alone(self, make: Make) -> None:
        journal, runs, events, everything = make(retain=0), Reader(), Reader(), Reader()
        journal.listen(runs, {"run"})
        journal.listen(events, ["event"])
        journal.listen(everything)
        journal.append(AT, (run(0), Noted()), (stream_of("event", "a"), Ended()), (run(0), Ended()))
        assert (runs.told, events.told, everything.told) == ([1, 3], [2], [1, 2, 3])
        assert (runs.streams, events.streams, everything.streams) == ({}, {}, {})


@journals
class TestReading:
    def test_streams_that_go_on_can_be_asked_for_alone(self, make: Make) -> None:
        journal = make()
        for n in range(4):
            journal.append(AT, (run(n), Noted()))
        journal.append(AT, (run(1), Ended()), (run(2), Ended()))
        assert journal.streams("run", going_on=True) == [run(0), run(3)]

    def test_the_latest_time_is_known(self, make: Make) -> None:
        journal = make()
        assert journal.last_at() is None
        journal.append(AT + timedelta(days=1), (run(0), Noted()))
        journal.append(AT, (run(1), Noted()))
        assert journal.last_at() == AT + timedelta(days=1)

    def test_appends_that_are_together_are_read_inside_already(self, make: Make) -> None:
        journal, reader = make(), Reader()
        journal.listen(reader)
        with journal.together(), journal.together():
            journal.append(AT, (run(0), Noted()))
            assert len(journal.read(run(0))) == 1
            assert reader.told == [1]
            journal.append(AT, (run(0), Noted()))
        assert len(journal.read(run(0))) == 2

    def test_an_exception_undoes_nothing_of_what_is_together(self, make: Make) -> None:
        journal = make()
        with suppress(KeyError), journal.together():
            journal.append(AT, (run(0), Noted()))
            raise KeyError
        assert [record.seq for record in journal.append(AT, (run(0), Noted()))] == [2]


def test_what_a_memory_journal_drops_is_freed() -> None:
    class Fat(Entry, frozen=True, weakref=True, gc=True):
        ends_stream = True

    journal = MemoryJournal(retain=10)
    entries = []
    for n in range(100):
        entry = Fat()
        entries.append(weakref.ref(entry))
        journal.append(AT, (run(n), entry))
    del entry
    gc.collect()
    assert sum(ref() is not None for ref in entries) == 10
    assert sum(len(streams) for streams in journal._streams.values()) == 10
    assert sum(len(streams) for streams in journal._ended.values()) == 10


def test_close_of_a_memory_journal_lets_the_listeners_go_and_keeps_the_records() -> None:
    journal, reader = MemoryJournal(), Reader()
    journal.listen(reader)
    journal.append(AT, (run(0), Noted()))
    journal.close()
    journal.close()
    journal.append(AT + timedelta(1), (run(0), Noted()))
    assert reader.told == [1]
    assert len(journal.read(run(0))) == 2
