"""What each opcode does to a run (Inngest SDK spec 5)."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from steprig.inngest import defers, gateway_requests, internal_events, problems, signals
from steprig.inngest.decision import Decision
from steprig.inngest.durations import DurationError, parse_time_or_duration
from steprig.inngest.endpoint_answers import content_of
from steprig.inngest.expressions import ExpressionError, substitute
from steprig.inngest.limits import DEFAULT_WAIT, MAX_SLEEP
from steprig.inngest.opcodes import InvokeOptions, Op, SignalOptions, SleepOptions, WaitOptions
from steprig.inngest.records import (
    InvokeStarted,
    Job,
    Problem,
    SignalWaitStarted,
    SleepStarted,
    StepEnded,
    StepPlanned,
    WaitStarted,
)
from steprig.inngest.replies import Reply

FunctionExists = Callable[[str], bool]


class TooLateError(ValueError):
    """A sleep or a timeout lies further ahead than the platform allows."""


def apply(decision: Decision, job: Job, op: Op, reply: Reply, function_exists: FunctionExists) -> None:
    """Do what one opcode of a reply says. A report of a step that is known already changes nothing."""
    try:
        match op.op:
            case "StepRun" | "Step":
                _ran(decision, op)
            case "StepError" | "StepFailed":
                _failed(decision, job, op, reply)
            case "RunComplete":
                decision.complete(op.data)
            case "SyncRunComplete":
                decision.complete(content_of(op.data))
            case "DiscoveryRequest":
                decision.queue()
            case "None":
                pass
            case "DeferAdd":
                defers.add(decision, op)
            case "DeferAbort":
                defers.abort(decision, op)
            case _ if decision.state.knows(op.id):
                pass
            case "StepPlanned":
                _plan(decision, op)
            case "Sleep":
                _sleep(decision, op)
            case "WaitForEvent":
                _wait(decision, op)
            case "InvokeFunction":
                _invoke(decision, op, function_exists)
            case "AIGateway" | "Gateway":
                gateway_requests.start(decision, job, op)
            case "WaitForSignal":
                _wait_for_signal(decision, op)
            case _:
                decision.fail(problems.server_made("Error", f"steprig does not know the opcode {op.op} yet"))
    except TooLateError as error:
        decision.fail(problems.wait_too_long(str(error)))
    except ExpressionError as error:
        decision.fail(problems.invalid_expression(str(error)))
    except (DurationError, msgspec.ValidationError) as error:
        decision.fail(problems.server_made("Error", f"invalid opcode {op.op} of step {op.title!r}: {error}"))


def _ran(decision: Decision, op: Op) -> None:
    memo = op.data if op.op == "Step" else msgspec.Raw(b'{"data":' + bytes(op.data) + b"}")
    ended = StepEnded(step=op.id, title=op.title, op="RUN", memo=memo, output=op.data)
    decision.end_step(ended, races=op.races)


def _failed(decision: Decision, job: Job, op: Op, reply: Reply) -> None:
    problem = problems.of_step(op, no_retry=reply.no_retry)
    _tried(decision, job, op, problem, reply, final=reply.no_retry or op.op == "StepFailed")


def _tried(decision: Decision, job: Job, op: Op, problem: Problem, reply: Reply, *, final: bool = False) -> None:
    if op.id in decision.state.memos:
        return
    if decision.retry(job, problem, retry_after=reply.retry_after, step=op.id, title=op.title, final=final):
        return
    ended = StepEnded(step=op.id, title=op.title, op="RUN", memo=error_memo(problem), problem=problem)
    decision.end_step(ended, races=op.races)


def _plan(decision: Decision, op: Op) -> None:
    decision.add(StepPlanned(step=op.id, title=op.title, races=op.races))
    decision.queue(op.id, op.title)


def _sleep(decision: Decision, op: Op) -> None:
    until = _moment(decision, op.options(SleepOptions).duration or op.name, MAX_SLEEP, "the end of the sleep")
    decision.add(SleepStarted(step=op.id, title=op.title, races=op.races, until=until or decision.given.now))


def _wait(decision: Decision, op: Op) -> None:
    options = op.options(WaitOptions)
    expires = _moment(decision, options.timeout, MAX_SLEEP, "the timeout of the wait")
    trigger = decision.state.events[0]
    decision.add(
        WaitStarted(
            step=op.id,
            title=op.title,
            races=op.races,
            event=options.event or op.name or "",
            condition=substitute(options.condition, trigger.fields()) if options.condition else None,
            expires=expires or decision.given.now + DEFAULT_WAIT,
        )
    )


def _invoke(decision: Decision, op: Op, function_exists: FunctionExists) -> None:
    options = op.options(InvokeOptions)
    if not function_exists(options.function_id):
        problem = problems.invoked_function_missing(options.function_id)
        ended = StepEnded(step=op.id, title=op.title, op="INVOKE", memo=error_memo(problem), problem=problem)
        decision.end_step(ended, races=op.races)
        return
    expires = _moment(decision, options.timeout, MAX_SLEEP, "the timeout of the invoke")
    expires = expires or decision.given.now + DEFAULT_WAIT
    decision.add(
        InvokeStarted(
            step=op.id,
            title=op.title,
            races=op.races,
            function=options.function_id,
            event=internal_events.invoked(decision.state, op, options, expires, decision.given),
            expires=expires,
        )
    )


def _wait_for_signal(decision: Decision, op: Op) -> None:
    options = op.options(SignalOptions)
    expires = _moment(decision, options.timeout, MAX_SLEEP, "the timeout of the wait")
    started = SignalWaitStarted(
        step=op.id,
        title=op.title,
        races=op.races,
        signal=options.signal,
        expires=expires or decision.given.now + DEFAULT_WAIT,
    )
    signals.start(decision, started, replace=options.conflict == "replace")


def error_memo(problem: Problem) -> msgspec.Raw:
    """What later calls are given for a step that has failed."""
    return msgspec.Raw(b'{"error":' + bytes(problem.json) + b"}")


def _moment(decision: Decision, text: str | None, longest: timedelta, what: str) -> datetime | None:
    if not text:
        return None
    now = decision.given.now
    moment = parse_time_or_duration(text, now, ahead=decision.given.ahead)
    if moment - now > longest:
        raise TooLateError(f"{what}, {text!r},")
    return max(moment, now)
