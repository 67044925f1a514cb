"""The operations of an execution as tests look at them. Their types and statuses are the SDK's own enums."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, TypeVar

from aws_durable_execution_sdk_python.lambda_service import ErrorObject, OperationStatus, OperationType

from steprig.aws import model as m
from steprig.aws.errors import DurableFunctionsTestError
from steprig.aws.sdk_objects import error_of


@dataclass(frozen=True)
class Operation:
    """What all operations have.

    Attributes:
        operation_id: Unique in its execution.
        operation_type: What it is.
        status: How far it has come.
        parent_id: The context that it is part of; None at the top.
        name: The user's, if any.
        sub_type: What the SDK calls it: `Step`, `WaitForCondition`, `MapIteration`, ...
        start_timestamp: When it was first heard of, on the clock of the execution.
        end_timestamp: When it ended.
    """

    operation_id: str
    operation_type: OperationType
    status: OperationStatus
    parent_id: str | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    sub_type: str | None = field(default=None, kw_only=True)
    start_timestamp: datetime | None = field(default=None, kw_only=True)
    end_timestamp: datetime | None = field(default=None, kw_only=True)


K = TypeVar("K", bound=Operation)


class Operations:
    """Finds operations by name, among those of one level; of several of one name the first."""

    _kind: ClassVar[str] = "Operation"

    def _level(self) -> Sequence[Operation]:
        raise NotImplementedError

    def get_operation_by_name(self, name: str) -> Operation:
        """The operation of this name, whatever it is.

        Raises:
            DurableFunctionsTestError: There is none; the message tells the names that there are.
        """
        for operation in self._level():
            if operation.name == name:
                return operation
        names = ", ".join(repr(operation.name) for operation in self._level() if operation.name is not None)
        missing = f"{self._kind} with name {name!r} not found"
        raise DurableFunctionsTestError(f"{missing} on this level; there are {names or 'none'}")

    def get_step(self, name: str) -> "StepOperation":
        """The step, or wait for a condition, of this name. Raises `DurableFunctionsTestError`, as all these do."""
        return self._get(name, StepOperation)

    def get_wait(self, name: str) -> "WaitOperation":
        """The wait of this name."""
        return self._get(name, WaitOperation)

    def get_context(self, name: str) -> "ContextOperation":
        """The context of this name: a child context, a map, a parallel, a branch, a wait for a callback."""
        return self._get(name, ContextOperation)

    def get_callback(self, name: str) -> "CallbackOperation":
        """The callback of this name."""
        return self._get(name, CallbackOperation)

    def get_invoke(self, name: str) -> "InvokeOperation":
        """The chained invoke of this name."""
        return self._get(name, InvokeOperation)

    def get_execution(self, name: str) -> "ExecutionOperation":
        """The execution of this name."""
        return self._get(name, ExecutionOperation)

    def _get(self, name: str, kind: type[K]) -> K:
        found = self.get_operation_by_name(name)
        if not isinstance(found, kind):
            is_a, wanted = found.operation_type.value, kind.__name__.removesuffix("Operation").lower()
            raise DurableFunctionsTestError(f"{name!r} is a {is_a} ({found.sub_type}), and no {wanted}")
        return found


@dataclass(frozen=True)
class ExecutionOperation(Operation):
    """The execution itself."""

    input_payload: str | None = None


@dataclass(frozen=True)
class ContextOperation(Operation, Operations):
    """A context, with what is in it."""

    _kind: ClassVar[str] = "Child Operation"

    child_operations: list[Operation]
    result: str | None = None
    error: ErrorObject | None = None

    def _level(self) -> Sequence[Operation]:
        return self.child_operations


@dataclass(frozen=True)
class StepOperation(ContextOperation):
    """A step. `attempt` counts the attempts that have ended."""

    attempt: int = 0
    next_attempt_timestamp: datetime | None = None


@dataclass(frozen=True)
class WaitOperation(Operation):
    """A wait."""

    scheduled_end_timestamp: datetime | None = None


@dataclass(frozen=True)
class CallbackOperation(ContextOperation):
    """A callback."""

    callback_id: str | None = None


@dataclass(frozen=True)
class InvokeOperation(Operation):
    """A chained invoke of another function."""

    result: str | None = None
    error: ErrorObject | None = None


def top_level(operations: Mapping[m.OperationId, m.Operation]) -> list[Operation]:
    """The operations of an execution that are part of no context, each with all that is part of it."""
    children: dict[str | None, list[m.Operation]] = {}
    for operation in operations.values():
        if operation.type is not m.OperationType.EXECUTION:
            children.setdefault(operation.parent_id, []).append(operation)
    return [_made(operation, children) for operation in children.get(None, ())]


def the_execution(operations: Mapping[m.OperationId, m.Operation]) -> ExecutionOperation:
    """The execution among its operations."""
    found = next(one for one in operations.values() if one.type is m.OperationType.EXECUTION)
    made = _made(found, {})
    assert isinstance(made, ExecutionOperation), "it is made by the type"
    return made


def walk(operations: Sequence[Operation]) -> Iterator[Operation]:
    """Operations and all below them, parents first."""
    for operation in operations:
        yield operation
        if isinstance(operation, ContextOperation):
            yield from walk(operation.child_operations)


def _made(operation: m.Operation, children: Mapping[str | None, Sequence[m.Operation]]) -> Operation:
    below = [_made(child, children) for child in children.get(operation.id, ())]
    return _MAKERS[operation.type](operation, below)


def _common(operation: m.Operation) -> "dict[str, object]":
    return {
        "operation_id": operation.id,
        "operation_type": OperationType[operation.type.name],
        "status": OperationStatus[operation.status.name],
        "parent_id": operation.parent_id,
        "name": operation.name,
        "sub_type": operation.sub_type,
        "start_timestamp": operation.started_at,
        "end_timestamp": operation.ended_at,
    }


def _outcome(operation: m.Operation) -> "dict[str, object]":
    return {"result": operation.result, "error": error_of(operation.error)}


_Maker = Callable[[m.Operation, list[Operation]], Operation]
_Part = Callable[[m.Operation, list[Operation]], "dict[str, object]"]


def _maker(kind: Callable[..., Operation], *parts: _Part) -> _Maker:
    def make(operation: m.Operation, below: list[Operation]) -> Operation:
        own: dict[str, object] = {}
        for part in parts:
            own |= part(operation, below)
        return kind(**_common(operation), **own)

    return make


def _with_children(operation: m.Operation, below: list[Operation]) -> "dict[str, object]":
    return {"child_operations": below, **_outcome(operation)}


_MAKERS: Mapping[m.OperationType, _Maker] = {
    m.OperationType.EXECUTION: _maker(ExecutionOperation, lambda one, _: {"input_payload": one.input}),
    m.OperationType.CONTEXT: _maker(ContextOperation, _with_children),
    m.OperationType.STEP: _maker(
        StepOperation,
        _with_children,
        lambda one, _: {"attempt": one.attempt, "next_attempt_timestamp": one.next_attempt_at},
    ),
    m.OperationType.WAIT: _maker(WaitOperation, lambda one, _: {"scheduled_end_timestamp": one.scheduled_end_at}),
    m.OperationType.CALLBACK: _maker(
        CallbackOperation, _with_children, lambda one, _: {"callback_id": one.callback_id}
    ),
    m.OperationType.CHAINED_INVOKE: _maker(InvokeOperation, lambda one, _: _outcome(one)),
}
