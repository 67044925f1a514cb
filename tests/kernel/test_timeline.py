"""The timeline: runs folded from the journal when somebody asks, and waits that say what they saw last."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprig.kernel import (
    Entry,
    MemoryJournal,
    Record,
    Run,
    RunNotReachedError,
    Span,
    Status,
    Stream,
    Timeline,
    stream_of,
)

AT = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 20


class Queued(Entry, frozen=True):
    name: str = "my-fn"


class Stepped(Entry, frozen=True):
    step: str


class Finished(Entry, frozen=True):
    ends_stream = True


class Ignored(Entry, frozen=True):
    pass


def project(run: Run | None, record: Record) -> Run | None:
    match record.entry:
        case Queued(name):
            return Run(record.stream.partition(":")[2], "made-up", name, Status.QUEUED, record.at)
        case Stepped(step) if run is not None:
            span = run.span(step)
            tries = 1 if span is None else span.attempts + 1
            run = msgspec.structs.replace(run, status=Status.RUNNING)
            return run.with_span(Span(step, step, "step", Status.COMPLETED, record.at, attempts=tries))
        case Finished() if run is not None:
            return msgspec.structs.replace(run, status=Status.COMPLETED, ended_at=record.at)
    return run


def run_stream(run_id: str) -> Stream:
    return stream_of("run", run_id)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def timeline(journal: MemoryJournal) -> Iterator[Timeline]:
    timeline = Timeline(journal, {"run": project})
    yield timeline
    assert timeline._watchers == {}, "every wait takes its watcher with it"
    timeline.close()


def ended(run: Run) -> bool:
    return run.status.ended


entries = st.one_of(
    st.builds(Queued, st.sampled_from(["f", "g"])),
    st.builds(Stepped, st.sampled_from(["a", "b", "c"])),
    st.just(Finished()),
    st.just(Ignored()),
)
histories = st.lists(st.tuples(st.sampled_from("xyz"), entries, st.booleans()), max_size=40)


class TestFolding:
    @given(histories, st.integers(0, 3))
    def test_folding_bit_by_bit_gives_what_folding_from_scratch_gives(
        self, history: list[tuple[str, Entry, bool]], retain: int
    ) -> None:
        journal = MemoryJournal(retain=retain)
        lazy, seldom = Timeline(journal, {"run": project}), Timeline(journal, {"run": project})
        for run_id, entry, look in history:
            journal.append(AT, (run_stream(run_id), entry))
            scratch = Timeline(journal, {"run": project})
            assert [lazy.run(known) for known in "xyz"] == [scratch.run(known) for known in "xyz"]
            assert lazy.runs() == scratch.runs()
            if look:
                assert seldom.runs() == scratch.runs()
            scratch.close()
        kept = set(journal.streams("run"))
        assert set(lazy._folded) == kept
        assert set(seldom._folded) <= kept

    def test_a_run_is_folded_once_and_then_only_its_new_records(self, journal: MemoryJournal) -> None:
        seen: list[int] = []

        def counting(run: Run | None, record: Record) -> Run | None:
            seen.append(record.seq)
            return project(run, record)

        timeline = Timeline(journal, {"run": counting})
        journal.append(AT, (run_stream("x"), Queued()), (run_stream("x"), Stepped("a")))
        timeline.run("x")
        timeline.runs()
        journal.append(AT, (run_stream("x"), Stepped("b")))
        timeline.run("x")
        assert seen == [1, 2, 3]

    def test_an_unknown_run_is_none_and_leaves_no_trace(self, timeline: Timeline) -> None:
        assert timeline.run("nobody") is None
        assert timeline._folded == {}

    def test_a_stream_of_another_kind_is_no_run(self, journal: MemoryJournal, timeline: Timeline) -> None:
        journal.append(AT, (stream_of("event", "x"), Queued()))
        assert timeline.run("x") is None
        assert timeline.runs() == []

    def test_a_kind_can_be_added(self, journal: MemoryJournal, timeline: Timeline) -> None:
        journal.append(AT, (stream_of("aws", "x"), Queued()))
        timeline.add("aws", project)
        assert [run.id for run in timeline.runs()] == ["x"]

    def test_a_dropped_run_is_gone(self) -> None:
        journal = MemoryJournal(retain=1)
        timeline = Timeline(journal, {"run": project})
        for run_id in "xy":
            journal.append(AT, (run_stream(run_id), Queued()))
            assert timeline.run(run_id) is not None
            journal.append(AT, (run_stream(run_id), Finished()))
        assert timeline.run("x") is None
        assert [run.id for run in timeline.runs()] == ["y"]

    def test_a_run_that_is_dropped_while_it_is_folded_leaves_no_ghost(self) -> None:
        journal = MemoryJournal(retain=0)

        def slow(run: Run | None, record: Record) -> Run | None:
            if isinstance(record.entry, Queued):
                journal.append(AT, (record.stream, Finished()))
            return project(run, record)

        timeline = Timeline(journal, {"run": slow})
        journal.append(AT, (run_stream("x"), Queued()))
        assert timeline.run("x") is not None
        assert timeline.run("x") is None
        assert timeline._folded == {}


class TestRuns:
    def test_they_come_oldest_first_whatever_their_kind(self, journal: MemoryJournal, timeline: Timeline) -> None:
        timeline.add("aws", project)
        for kind, run_id in (("run", "a"), ("aws", "b"), ("run", "c"), ("aws", "d")):
            journal.append(AT, (stream_of(kind, run_id), Queued()))
        journal.append(AT, (run_stream("a"), Stepped("s")))
        assert [run.id for run in timeline.runs()] == ["a", "b", "c", "d"]

    @given(st.lists(st.tuples(st.sampled_from(["run", "aws"]), st.sampled_from("abcd")), max_size=12))
    def test_since_leaves_out_those_that_began_before(self, history: list[tuple[str, str]]) -> None:
        journal = MemoryJournal()
        timeline = Timeline(journal, {"run": project, "aws": project})
        began: dict[Stream, int] = {}
        for kind, run_id in history:
            stream = stream_of(kind, run_id)
            (record,) = journal.append(AT, (stream, Queued() if stream not in began else Stepped("s")))
            began.setdefault(stream, record.seq)
        for since in range(len(history) + 1):
            expected = [stream.partition(":")[2] for stream, seq in began.items() if seq > since]
            assert [run.id for run in timeline.runs(since=since)] == expected

    def test_a_run_dropped_while_they_are_listed_hides_no_older_one(self) -> None:
        class Late(MemoryJournal):
            """Another thread ends the newest run just after its stream was listed."""

            def streams(self, kind: str) -> list[Stream]:
                listed = list(super().streams(kind))
                self.append(AT, (run_stream("new"), Finished()))
                return listed

        journal = Late(retain=0)
        timeline = Timeline(journal, {"run": project})
        journal.append(AT, (run_stream("old"), Queued()))
        journal.append(AT, (run_stream("new"), Queued()))
        assert [run.id for run in timeline.runs()] == ["old"]

    def test_platforms_may_be_added_while_others_read(self, journal: MemoryJournal, timeline: Timeline) -> None:
        journal.append(AT, (run_stream("x"), Queued()))
        failures: list[BaseException] = []
        over = threading.Event()

        def read() -> None:
            try:
                while not over.is_set():
                    timeline.run("nobody")
            except RuntimeError as error:
                failures.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        thread = threading.Thread(target=read)
        thread.start()
        for number in range(2_000):
            timeline.add(f"kind{number % 500}", project)
        over.set()
        thread.join(PATIENCE)
        sys.setswitchinterval(interval)
        assert failures == []


class TestSpans:
    def test_a_span_is_found_at_any_depth(self) -> None:
        leaf = Span("leaf", "leaf", "step", Status.QUEUED, AT)
        top = Span("top", "top", "step", Status.QUEUED, AT, children=(leaf,))
        run = Run("x", "made-up", "f", Status.QUEUED, AT, spans=(top,))
        assert run.span("leaf") is leaf
        assert run.span("nobody") is None
        assert [span.id for span in top.walk()] == ["top", "leaf"]

    def test_with_span_replaces_in_place_or_adds(self) -> None:
        run = Run("x", "made-up", "f", Status.QUEUED, AT)
        for span_id in ("a", "b", "a"):
            run = run.with_span(Span(span_id, span_id, "step", Status.QUEUED, AT, attempts=len(run.spans)))
        assert [(span.id, span.attempts) for span in run.spans] == [("a", 2), ("b", 1)]

    def test_what_has_ended_and_what_goes_on(self) -> None:
        assert {status for status in Status if not status.ended} == {
            Status.QUEUED,
            Status.RUNNING,
            Status.WAITING,
            Status.SUSPENDED,
        }


class TestWaiting:
    def test_a_run_that_is_as_wished_is_returned_at_once(self, journal: MemoryJournal, timeline: Timeline) -> None:
        journal.append(AT, (run_stream("x"), Queued()), (run_stream("x"), Finished()))
        assert timeline.wait_for("x", ended, timeout=0).status is Status.COMPLETED
        assert asyncio.run(timeline.until("x", ended, timeout=0)).status is Status.COMPLETED

    def test_a_wait_may_begin_before_the_run_does(self, journal: MemoryJournal, timeline: Timeline) -> None:
        found: list[Run] = []
        waiter = threading.Thread(target=lambda: found.append(timeline.wait_for("x", ended, timeout=PATIENCE)))
        waiter.start()
        journal.append(AT, (run_stream("x"), Queued()))
        journal.append(AT, (run_stream("x"), Finished()))
        waiter.join(PATIENCE)
        assert [run.id for run in found] == ["x"]

    def test_a_wait_may_begin_before_the_kind_is_known(self, journal: MemoryJournal, timeline: Timeline) -> None:
        async def wait() -> Run:
            waiting = asyncio.create_task(timeline.until("x", ended, timeout=PATIENCE))
            await asyncio.sleep(0)
            timeline.add("aws", project)
            journal.append(AT, (stream_of("aws", "x"), Queued()), (stream_of("aws", "x"), Finished()))
            return await waiting

        assert asyncio.run(wait()).id == "x"

    def test_a_loop_is_woken_by_another_thread(self, journal: MemoryJournal, timeline: Timeline) -> None:
        async def wait() -> Run:
            waiting = asyncio.create_task(timeline.until("x", ended, timeout=PATIENCE))
            await asyncio.sleep(0)
            await asyncio.to_thread(journal.append, AT, (run_stream("x"), Queued()), (run_stream("x"), Finished()))
            return await waiting

        assert asyncio.run(wait()).id == "x"

    def test_too_late_says_that_there_was_no_such_run(self, timeline: Timeline) -> None:
        message = r"run x was not there within 0.01 s; last seen: no such run$"
        with pytest.raises(RunNotReachedError, match=message):
            timeline.wait_for("x", ended, timeout=0.01)
        with pytest.raises(RunNotReachedError, match=message):
            asyncio.run(timeline.until("x", ended, timeout=0.01))

    def test_too_late_says_how_far_the_run_was(self, journal: MemoryJournal, timeline: Timeline) -> None:
        journal.append(AT, (run_stream("x"), Queued()), (run_stream("x"), Stepped("a")))
        message = r"last seen: my-fn was running, with 1 spans$"
        with pytest.raises(RunNotReachedError, match=message):
            timeline.wait_for("x", ended, timeout=0.01)
        with pytest.raises(RunNotReachedError, match=message):
            asyncio.run(timeline.until("x", ended, timeout=0.01))

    def test_too_late_says_when_the_journal_has_dropped_the_run(self) -> None:
        journal = MemoryJournal(retain=0)
        timeline = Timeline(journal, {"run": project})
        journal.append(AT, (run_stream("x"), Queued()))

        def never(run: Run) -> bool:
            journal.append(AT, (run_stream("x"), Finished()))
            return False

        with pytest.raises(RunNotReachedError, match=r"my-fn was queued, with 0 spans; the journal has dropped it"):
            timeline.wait_for("x", never, timeout=0.01)

    def test_a_run_that_never_rests_does_not_outstay_the_timeout(
        self, journal: MemoryJournal, timeline: Timeline
    ) -> None:
        journal.append(AT, (run_stream("x"), Queued()))
        end = time.monotonic() + PATIENCE

        def busy(run: Run) -> bool:
            journal.append(AT, (run_stream("x"), Stepped("a")))
            return time.monotonic() > end

        with pytest.raises(RunNotReachedError):
            timeline.wait_for("x", busy, timeout=0.01)

    def test_an_error_of_the_question_comes_through(self, journal: MemoryJournal, timeline: Timeline) -> None:
        journal.append(AT, (run_stream("x"), Queued()))

        def fail(run: Run) -> bool:
            raise TimeoutError("mine")

        with pytest.raises(TimeoutError, match=r"^mine$"):
            timeline.wait_for("x", fail, timeout=1)
        with pytest.raises(TimeoutError, match=r"^mine$"):
            asyncio.run(timeline.until("x", fail, timeout=1))

    def test_a_cancelled_wait_takes_its_watcher_with_it(self, timeline: Timeline) -> None:
        async def cancel() -> None:
            waiting = asyncio.create_task(timeline.until("x", ended, timeout=PATIENCE))
            await asyncio.sleep(0)
            assert timeline._watchers
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        asyncio.run(cancel())

    def test_a_watcher_hears_each_change_of_its_run_and_of_no_other(
        self, journal: MemoryJournal, timeline: Timeline
    ) -> None:
        heard: list[str] = []
        leave = timeline.watch("x", lambda: heard.append("first"))
        leave_too = timeline.watch("x", lambda: heard.append("second"))
        journal.append(
            AT, (run_stream("x"), Queued()), (run_stream("y"), Queued()), (stream_of("event", "x"), Queued())
        )
        leave()
        leave()
        journal.append(AT, (run_stream("x"), Finished()))
        leave_too()
        assert heard == ["first", "second", "second"]

    def test_a_closed_timeline_hears_nothing(self, journal: MemoryJournal) -> None:
        timeline = Timeline(journal, {"run": project})
        heard: list[None] = []
        timeline.watch("x", lambda: heard.append(None))
        timeline.close()
        timeline.close()
        journal.append(AT, (run_stream("x"), Queued()))
        assert heard == []

    def test_waiters_and_writers_and_readers_at_once_neither_miss_nor_block(self) -> None:
        """Every run ends and is soon dropped, so the locks of journal and timeline are taken in every order."""
        journal = MemoryJournal(retain=40)
        timeline = Timeline(journal, {"run": project})
        names = [[f"{writer}-{n}" for n in range(60)] for writer in range(3)]
        gates = {run_id: threading.Event() for mine in names for run_id in mine}
        found: list[str] = []
        over = threading.Event()

        def write(mine: list[str]) -> None:
            for run_id in mine:
                journal.append(AT, (run_stream(run_id), Queued()))
                journal.append(AT, (run_stream(run_id), Stepped("a")))
                journal.append(AT, (run_stream(run_id), Stepped("b")))
                assert gates[run_id].wait(PATIENCE)
                journal.append(AT, (run_stream(run_id), Finished()))

        def wait(mine: list[str]) -> None:
            for run_id in mine:
                run = timeline.wait_for(run_id, lambda run: len(run.spans) == 2, timeout=PATIENCE)
                found.append(run.id)
                gates[run_id].set()

        def read() -> None:
            while not over.is_set():
                timeline.runs(since=100)
                timeline.watch("nobody", over.is_set)()

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        readers = [threading.Thread(target=read) for _ in range(2)]
        others = [threading.Thread(target=work, args=(mine,)) for mine in names for work in (write, wait)]
        try:
            for thread in readers + others:
                thread.start()
            for thread in others:
                thread.join(PATIENCE)
            over.set()
            for thread in readers:
                thread.join(PATIENCE)
        finally:
            sys.setswitchinterval(interval)
        assert not any(thread.is_alive() for thread in readers + others)
        assert sorted(found) == sorted(gates)
        assert timeline._watchers == {}
        assert set(timeline._folded) <= set(journal.streams("run"))
        assert len(journal.streams("run")) == 40
