"""A run as text."""

from datetime import UTC, datetime, timedelta
from textwrap import dedent

import msgspec
import pytest

from steprig.kernel import Failure, Run, Span, Status
from steprig.kernel.tree import duration_text, run_tree

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(**units):
    return NOON + timedelta(**units)


def raw(value):
    return msgspec.Raw(msgspec.json.encode(value))


def span(name="step", status=Status.COMPLETED, *, kind="run", until=NOON, **fields):
    ended = until if status.ended else None
    return Span(name, name, kind, status, queued_at=NOON, started_at=NOON, ended_at=ended, **fields)


def run(*spans, status=Status.COMPLETED, until=NOON, **fields):
    ended = until if status.ended else None
    return Run(
        "r1", "inngest", "shop-pay", status, queued_at=NOON, started_at=NOON, ended_at=ended, spans=spans, **fields
    )


def text(expected):
    return dedent(expected).strip("\n")


def test_a_run_without_steps_is_one_line():
    assert run_tree(run(output=raw("paid"))) == 'shop-pay  completed  0 ms  → "paid"  [inngest run r1]'


def test_each_step_has_a_line_with_its_kind_status_duration_and_output():
    tree = run_tree(
        run(
            span("look-up", output=raw({"id": 7})),
            span("a-week", kind="SLEEP", until=after(days=7)),
            until=after(days=7),
        )
    )

    assert tree == text("""
        shop-pay  completed  7 d  [inngest run r1]
        ├─ look-up  (run)  completed  0 ms  → {"id":7}
        └─ a-week  (SLEEP)  completed  7 d
    """)


def test_steps_are_nested_as_deep_as_they_are():
    inner = span("inner", children=(span("innermost"),))

    tree = run_tree(run(span("outer", children=(inner, span("second"))), span("last")))

    assert tree == text("""
        shop-pay  completed  0 ms  [inngest run r1]
        ├─ outer  (run)  completed  0 ms
        │  ├─ inner  (run)  completed  0 ms
        │  │  └─ innermost  (run)  completed  0 ms
        │  └─ second  (run)  completed  0 ms
        └─ last  (run)  completed  0 ms
    """)


def test_attempts_are_shown_where_there_were_several():
    busy = Failure("Busy", "try again")
    attempts = (
        span("Attempt 0", Status.FAILED, kind="attempt", failure=busy),
        span("Attempt 1", kind="attempt", output=raw(1)),
    )

    tree = run_tree(run(span("pay", attempts=2, output=raw(1), children=attempts)))

    assert tree == text("""
        shop-pay  completed  0 ms  [inngest run r1]
        └─ pay  (run)  completed  0 ms  2 attempts  → 1
           ├─ Attempt 0  failed  0 ms
           │    Busy: try again
           └─ Attempt 1  completed  0 ms  → 1
    """)


def test_the_only_attempt_of_a_step_that_has_ended_is_not_shown():
    attempt = span("Attempt 0", kind="attempt", output=raw(1))

    assert "Attempt" not in run_tree(run(span("pay", attempts=1, output=raw(1), children=(attempt,))))


def test_a_failure_is_told_once_where_it_happened_with_its_stack_at_the_end():
    broken = Failure("CardError", "no funds\nat all", stack="Traceback\n  File pay.py\nCardError: no funds")

    tree = run_tree(
        run(span("pay", Status.FAILED, failure=broken, output=raw("error")), status=Status.FAILED, failure=broken)
    )

    assert tree == text("""
        shop-pay  failed  0 ms  [inngest run r1]
        └─ pay  (run)  failed  0 ms
             CardError: no funds …
            Traceback
              File pay.py
            CardError: no funds
    """)


def test_a_failure_of_the_run_alone_stands_below_its_name():
    tree = run_tree(run(span("pay"), status=Status.FAILED, failure=Failure("Late", "too late")))

    assert tree.splitlines()[:2] == ["shop-pay  failed  0 ms  [inngest run r1]", "│ Late: too late"]


def test_a_long_stack_is_cut_to_its_end():
    stack = "\n".join(f"line {number}" for number in range(40))

    tree = run_tree(run(status=Status.FAILED, failure=Failure("Deep", "down", stack=stack)))

    assert "… 28 lines" in tree
    assert "line 27" not in tree
    assert tree.endswith("line 39")


def test_what_waits_says_since_when_and_for_what():
    attributes = {"event": "shop/paid", "expression": None, "timeout": after(hours=1)}

    tree = run_tree(
        run(span("paid", Status.WAITING, kind="WAIT_FOR_EVENT", attributes=attributes), status=Status.RUNNING)
    )

    assert tree == text("""
        shop-pay  running  since 2026-03-01 12:00:00  [inngest run r1]
        └─ paid  (WAIT_FOR_EVENT)  waiting  since 2026-03-01 12:00:00
             event: shop/paid
             timeout: 2026-03-01 13:00:00+00:00
    """)


def test_a_run_that_has_not_started_counts_from_when_it_was_queued():
    queued = Run("r1", "inngest", "shop-pay", Status.QUEUED, queued_at=NOON)

    assert run_tree(queued) == "shop-pay  queued  since 2026-03-01 12:00:00  [inngest run r1]"


def test_a_long_output_is_cut_and_stays_on_its_line():
    line = run_tree(run(output=msgspec.Raw(b'[\n  "' + b"x" * 500 + b'"]')))

    assert "\n" not in line
    assert '→ [ "xxx' in line
    assert len(line) < 150


def test_an_output_of_null_says_nothing():
    assert "→" not in run_tree(run(output=raw(None)))


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (timedelta(), "0 ms"),
        (timedelta(microseconds=12), "0.012 ms"),
        (timedelta(milliseconds=12), "12 ms"),
        (timedelta(seconds=2.5), "2.5 s"),
        (timedelta(seconds=59.99), "60 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(hours=1, seconds=5), "1 h"),
        (timedelta(days=7), "7 d"),
        (timedelta(days=365, hours=3, minutes=2), "365 d 3 h"),
    ],
)
def test_durations_have_their_two_largest_units(duration, shown):
    assert duration_text(duration) == shown
