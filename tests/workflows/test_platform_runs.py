"""A platform's run as a result has it."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from steprig.kernel import Failure, Run, Span, Status
from steprig.workflows import WorkflowStepError
from steprig.workflows.failures import exception_of
from steprig.workflows.platform_run import read_run

START = datetime(2030, 1, 1, tzinfo=UTC)


class PickyError(Exception):
    def __init__(self, code, reason):
        super().__init__(code, reason)


class ShoutingError(Exception):
    def __init__(self, message):
        super().__init__(message.upper())


def span(
    name, status=Status.COMPLETED, *, output=None, message=None, seconds=1, children=(), kind="step", span_id=None
):
    return Span(
        id=span_id or f"{name}-{len(children)}-{message}-{seconds}",
        name=name,
        kind=kind,
        status=status,
        queued_at=START,
        started_at=START,
        ended_at=START + timedelta(seconds=seconds) if status.ended else None,
        output=None if output is None else msgspec.Raw(msgspec.json.encode(output)),
        failure=None if message is None else Failure("ValueError", message),
        children=tuple(children),
    )


def run(*spans, status=Status.COMPLETED, output=None, failure=None):
    raw = None if output is None else msgspec.Raw(msgspec.json.encode(output))
    return Run("run-1", "any", "fn", status, START, spans=spans, output=raw, failure=failure)


def read(run, *, raised=None, own=None, is_own=False, decode=msgspec.json.decode):
    return read_run(run, "fn", raised or {}, own, is_own, decode)


def errors(read):
    return [(name, type(error).__name__, str(error)) for name, error in read.errors]


def test_steps_of_one_name_are_numbered_from_the_second_parents_first():
    inner = span("a", output=2, seconds=2)
    read_ = read(run(span("a", output=1, children=[inner]), span("a", output=3, seconds=3), output="all"))

    assert read_.outputs == {"a": 1, "a:1": 2, "a:2": 3, "fn": "all"}
    assert read_.timings == {"a": 1.0, "a:1": 2.0, "a:2": 3.0}
    assert (read_.returned, read_.errors) == ("all", [])


def test_attempts_are_no_steps_and_a_step_that_goes_on_has_no_output():
    attempt = span("Attempt 0", kind="attempt")
    read_ = read(run(span("a", output=1, children=[attempt]), span("b", Status.RUNNING)))
    assert (read_.outputs, list(read_.timings)) == ({"a": 1, "fn": None}, ["a"])


def test_a_step_of_the_workflows_name_keeps_it():
    read_ = read(run(span("fn", output=1), output=2))
    assert (read_.outputs, read_.returned) == ({"fn": 1}, 2)


def test_outputs_are_decoded_as_the_platform_says_and_the_workflows_own_as_json():
    assert read(run(span("a", output=1), output=2), decode=lambda raw: raw).outputs == {"a": b"1", "fn": 2}


def test_a_failed_step_of_a_run_that_succeeded_is_no_error():
    assert read(run(span("a", Status.FAILED, message="no"))).errors == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT])
def test_the_step_whose_error_came_through_has_failed_the_run(status):
    handled, last = span("a", Status.FAILED, message="handled"), span("b", status, message="not", span_id="b")
    failed = run(handled, last, status=Status.FAILED, failure=Failure("TaskFailed", "task #2 failed: not"))

    assert errors(read(failed)) == [("b", "ValueError", "not")]
    own = KeyError("its own")
    assert read(failed, raised={"b": own}).errors == [("b", own)]


def test_the_step_that_failed_is_named_and_not_what_it_is_in():
    inner = span("inner", Status.FAILED, message="no")
    outer = span("outer", Status.FAILED, message="no", children=[inner])
    assert errors(read(run(outer, status=Status.FAILED, failure=Failure("X", "no")))) == [("inner", "ValueError", "no")]


def test_a_step_below_that_succeeded_at_a_later_attempt_has_failed_nothing():
    attempt = span("Attempt 0", Status.FAILED, message="no", kind="attempt")
    outer = span("outer", Status.FAILED, message="no", children=[span("inner", children=[attempt])])
    assert errors(read(run(outer, status=Status.FAILED, failure=Failure("X", "no")))) == [("outer", "ValueError", "no")]


def test_a_step_with_failed_attempts_alone_is_named():
    attempt = span("Attempt 0", Status.FAILED, message="no", kind="attempt")
    step = span("a", Status.FAILED, message="no", children=[attempt])
    assert errors(read(run(step, status=Status.FAILED, failure=Failure("X", "no")))) == [("a", "ValueError", "no")]


def test_an_error_of_the_workflows_own_is_its_own_whatever_steps_have_raised():
    failed = run(span("a", Status.FAILED, message="no"), status=Status.FAILED, failure=Failure("LookupError", "no"))
    own = RuntimeError("mine")

    assert read(failed, own=own).errors == [("fn", own)]
    assert errors(read(failed, is_own=True)) == [("fn", "LookupError", "no")]


def test_a_run_that_failed_for_no_known_reason_says_how_it_ended():
    read_ = read(run(span("a", Status.FAILED), status=Status.CANCELLED))
    assert errors(read_) == [("fn", "WorkflowStepError", "the run run-1 was cancelled")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ValueError", ValueError),
        ("json.decoder.JSONDecodeError", WorkflowStepError),
        ("asyncio.exceptions.InvalidStateError", __import__("asyncio").InvalidStateError),
        ("no.such.module.Error", WorkflowStepError),
        ("print", WorkflowStepError),
        ("KeyboardInterrupt", WorkflowStepError),
        (f"{__name__}.PickyError", WorkflowStepError),
        (f"{__name__}.ShoutingError", WorkflowStepError),
        ("", WorkflowStepError),
    ],
)
def test_an_exception_is_made_anew_of_its_own_class_where_that_takes_the_message(name, kind):
    error = exception_of(Failure(name, "the message"), "unused")
    assert type(error) is kind
    assert str(error) == ("the message" if kind is not WorkflowStepError or not name else f"{name}: the message")


def test_the_place_where_it_was_raised_is_kept_as_a_note():
    error = exception_of(Failure("ValueError", "no", "File a.py\n"), "unused")
    assert error.__notes__ == ["raised at\nFile a.py"]
