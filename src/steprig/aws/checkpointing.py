"""Checkpoints: what a running function reports, and what it is answered."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, TypedDict

from steprig.aws import completions
from steprig.aws import records as r
from steprig.aws.arns import LATEST, execution_arn, function_arn, parse_function_name
from steprig.aws.decision import Decision, Given
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.functions import Target
from steprig.aws.model import (
    Action,
    ChainedInvokeOptions,
    ErrorObject,
    OperationId,
    OperationType,
    OperationUpdate,
)
from steprig.aws.state import Answer, Execution
from steprig.aws.tokens import CallbackToken, CheckpointToken
from steprig.aws.validation import validate


class Checkpoint(NamedTuple):
    """What a function reports at once."""

    token: str
    updates: Sequence[OperationUpdate] = ()
    client_token: str | None = None
    """Names the request, so that a repetition of it is known as one."""


def checkpoint(state: Execution, request: Checkpoint, given: Given) -> tuple[Decision, Answer]:
    """Take a checkpoint.

    Returns:
        What to record, which is nothing for a repetition, and the answer.

    Raises:
        InvalidParameterValueException: The token is not the current one, or an update may not be; then nothing changes.
    """
    decision = Decision(state, given)
    if (repeated := _repeated(state, request)) is not None:
        return decision, repeated
    check_token(state, request.token)
    validate(state, request.updates)
    for update in request.updates:
        _APPLY[update.type, update.action](decision, update)
    completions.complete_due(decision)
    revoked = decision.state.pause is not None and given.revocable
    decision.add(r.CheckpointTaken(token=request.token, client_token=request.client_token, revoked=revoked))
    answer = decision.state.last_answer
    assert answer is not None, "a checkpoint that was taken has its answer"
    return decision, answer


def check_token(state: Execution, token: str) -> None:
    """Raise `InvalidParameterValueException` unless this is the current token, in words that the SDK knows.

    The SDK fails an execution for good after any other refusal, but has the invocation repeated after this one.
    """
    if token != state.token:
        raise Invalid(f"Invalid checkpoint token: {_what_is_wrong(state, CheckpointToken.decode(token))}")


def _what_is_wrong(state: Execution, token: CheckpointToken | None) -> str:
    if token is None:
        return "it is none that was given out"
    if token.arn != state.arn:
        return "it is one of another execution"
    if state.ended is not None or state.closing is not None:
        return "the execution has ended"
    if state.invocation is None or token.invocation != state.invocation.id:
        return "its invocation is over"
    if state.invocation.revoked:
        return "it was revoked, as the execution is paused"
    return f"{state.checkpoints} checkpoints were taken, and it is the one for after {token.sequence}"


def _repeated(state: Execution, request: Checkpoint) -> Answer | None:
    last = state.last_answer
    if not request.client_token or last is None:
        return None
    same = last.client_token == request.client_token and last.token == request.token
    return last if same else None


class _Identity(TypedDict):
    id: OperationId
    parent_id: OperationId | None
    name: str | None
    sub_type: str | None


def _identity(decision: Decision, update: OperationUpdate) -> _Identity:
    """Whose entry it will be: as stored, where it is, since later updates need not repeat it."""
    known = decision.state.operations.get(update.id) or update
    return {"id": known.id, "parent_id": known.parent_id, "name": known.name, "sub_type": known.sub_type}


def _start_context(decision: Decision, update: OperationUpdate) -> None:
    decision.add(r.ContextStarted(**_identity(decision, update)))


def _succeed_context(decision: Decision, update: OperationUpdate) -> None:
    replay = update.context_options is not None and update.context_options.replay_children
    identity = _identity(decision, update)
    decision.add(r.ContextSucceeded(**identity, result=update.payload, replay_children=replay))


def _fail_context(decision: Decision, update: OperationUpdate) -> None:
    decision.add(r.ContextFailed(**_identity(decision, update), error=update.error))


def _start_step(decision: Decision, update: OperationUpdate) -> None:
    decision.add(r.StepStarted(**_identity(decision, update)))


def _succeed_step(decision: Decision, update: OperationUpdate) -> None:
    attempt = _attempt(decision, update)
    decision.add(r.StepSucceeded(**_identity(decision, update), result=update.payload, attempt=attempt))


def _fail_step(decision: Decision, update: OperationUpdate) -> None:
    attempt = _attempt(decision, update)
    decision.add(r.StepFailed(**_identity(decision, update), error=update.error, attempt=attempt))


def _retry_step(decision: Decision, update: OperationUpdate) -> None:
    """Without an error it is a poll that has to be repeated, which keeps what it has come to."""
    delay = 0 if update.step_options is None else update.step_options.next_attempt_delay_seconds
    retry = r.Retry(delay, decision.given.now + timedelta(seconds=delay))
    attempt, identity = _attempt(decision, update), _identity(decision, update)
    if update.error is not None:
        decision.add(r.StepFailed(**identity, error=update.error, attempt=attempt, retry=retry))
    else:
        decision.add(r.StepSucceeded(**identity, result=update.payload, attempt=attempt, retry=retry))


def _attempt(decision: Decision, update: OperationUpdate) -> int:
    known = decision.state.operations.get(update.id)
    return 1 if known is None else known.attempt + 1


def _start_wait(decision: Decision, update: OperationUpdate) -> None:
    seconds = 0 if update.wait_options is None else update.wait_options.wait_seconds
    until = decision.given.now + timedelta(seconds=seconds)
    decision.add(r.WaitStarted(**_identity(decision, update), seconds=seconds, until=until))


def _cancel_wait(decision: Decision, update: OperationUpdate) -> None:
    decision.add(r.WaitCancelled(**_identity(decision, update), error=update.error))


def _start_callback(decision: Decision, update: OperationUpdate) -> None:
    options = update.callback_options
    decision.add(
        r.CallbackStarted(
            **_identity(decision, update),
            callback_id=CallbackToken(decision.state.arn, update.id).encode(),
            timeout=0 if options is None else options.timeout_seconds,
            heartbeat_timeout=0 if options is None else options.heartbeat_timeout_seconds,
        )
    )


def _start_invoke(decision: Decision, update: OperationUpdate) -> None:
    assert update.chained_invoke_options is not None, "checked by `validate`"
    options, identity = update.chained_invoke_options, _identity(decision, update)
    target = decision.given.resolve(options.function_name)
    if target is None:
        decision.add(
            r.ChainedInvokeStarted(
                **identity, function_name=options.function_name, tenant_id=options.tenant_id, executed_version=LATEST
            )
        )
        message = f"Function not found: {options.function_name}."
        error = ErrorObject(error_type="ResourceNotFoundException", error_message=message)
        decision.add(r.ChainedInvokeFailed(**identity, error=error))
        return
    child_id = decision.given.new_id()
    decision.add(
        r.ChainedInvokeStarted(
            **identity,
            function_name=options.function_name,
            target=target.name,
            durable=target.durable,
            timeout=_timeout_of(target, decision.given),
            timeout_by_clock=target.timeout_by_clock,
            retention_days=target.retention_days,
            child_id=child_id,
            child_arn=execution_arn(_version_arn(decision.state, options), child_id, child_id),
            tenant_id=options.tenant_id,
            trace_id=options.x_amzn_trace_id,
            input=update.payload if update.payload is not None else "{}",
            executed_version=_version(options),
        )
    )


def _timeout_of(target: Target, given: Given) -> int:
    """Seconds after which what was invoked is given up."""
    return target.execution_timeout if target.durable else given.invocation_timeout + target.init_seconds


def _version(options: ChainedInvokeOptions) -> str:
    name = parse_function_name(options.function_name)
    return LATEST if name is None else name.version


def _version_arn(state: Execution, options: ChainedInvokeOptions) -> str:
    name = parse_function_name(options.function_name)
    bare = options.function_name if name is None else name.name
    return function_arn(bare, region=state.started.region, account=state.started.account, qualifier=_version(options))


def _succeed_execution(decision: Decision, update: OperationUpdate) -> None:
    decision.add(r.ExecutionClosing(end=r.ExecutionSucceeded(result=update.payload)))


def _fail_execution(decision: Decision, update: OperationUpdate) -> None:
    decision.add(r.ExecutionClosing(end=r.ExecutionFailed(error=update.error)))


_APPLY: Mapping[tuple[str, str], Callable[[Decision, OperationUpdate], None]] = {
    (OperationType.CONTEXT, Action.START): _start_context,
    (OperationType.CONTEXT, Action.SUCCEED): _succeed_context,
    (OperationType.CONTEXT, Action.FAIL): _fail_context,
    (OperationType.STEP, Action.START): _start_step,
    (OperationType.STEP, Action.SUCCEED): _succeed_step,
    (OperationType.STEP, Action.FAIL): _fail_step,
    (OperationType.STEP, Action.RETRY): _retry_step,
    (OperationType.WAIT, Action.START): _start_wait,
    (OperationType.WAIT, Action.CANCEL): _cancel_wait,
    (OperationType.CALLBACK, Action.START): _start_callback,
    (OperationType.CHAINED_INVOKE, Action.START): _start_invoke,
    (OperationType.EXECUTION, Action.SUCCEED): _succeed_execution,
    (OperationType.EXECUTION, Action.FAIL): _fail_execution,
}
