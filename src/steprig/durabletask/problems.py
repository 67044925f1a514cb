"""What clients are told that asked for what cannot be: gRPC status codes, which the SDK passes on."""

from collections.abc import Callable

from steprig.durabletask.model import OrchestrationStatus
from steprig.durabletask.pb import grpc
from steprig.errors import SteprigError


class RefusedError(SteprigError):
    """A call that cannot be answered.

    Args:
        code: A `grpc.StatusCode`.
        message: What was expected, what was found, and what to try.
    """

    def __init__(self, code: object, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status: int = code.value[0]  # type: ignore[attr-defined]
        """The code's number on the wire."""
        self.message = message


def _problem(name: str) -> Callable[[str], RefusedError]:
    code = getattr(grpc.StatusCode, name)
    return lambda message: RefusedError(code, message)


invalid = _problem("INVALID_ARGUMENT")
_not_found = _problem("NOT_FOUND")
_exists = _problem("ALREADY_EXISTS")
_precondition = _problem("FAILED_PRECONDITION")
_unavailable = _problem("UNAVAILABLE")


def unknown_instance(instance_id: str) -> RefusedError:
    """There is no such orchestration."""
    return _not_found(f"there is no orchestration with instance id '{instance_id}'")


def unknown_execution(instance_id: str, execution_id: str) -> RefusedError:
    """The orchestration has had no such execution, or it was forgotten."""
    return _not_found(f"orchestration '{instance_id}' has no execution with id '{execution_id}'")


def instance_exists(instance_id: str, status: OrchestrationStatus) -> RefusedError:
    """The id is taken."""
    return _exists(
        f"there is an orchestration with instance id '{instance_id}' already, and it is {status.name}; pass another "
        "instance_id, purge it first, or pass a reuse policy that names this status as replaceable"
    )


def not_failed(instance_id: str, status: OrchestrationStatus) -> RefusedError:
    """Only what has failed can be rewound."""
    return _precondition(f"orchestration '{instance_id}' is {status.name}; only a FAILED one can be rewound")


def not_ended(instance_id: str, status: OrchestrationStatus) -> RefusedError:
    """Only what is over can be started again."""
    return _precondition(
        f"orchestration '{instance_id}' is {status.name}; only one that is COMPLETED, FAILED or TERMINATED can be "
        "restarted"
    )


def stopping() -> RefusedError:
    """The backend is about to stop."""
    return _unavailable("the backend is stopping")
