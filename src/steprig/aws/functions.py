"""The functions that can be invoked, by name."""

import threading
from dataclasses import dataclass
from typing import Protocol

from steprig.aws import limits
from steprig.aws.arns import parse_function_name


@dataclass(frozen=True)
class Target:
    """A function that is there to be invoked.

    Attributes:
        name: As it is registered, with or without qualifier.
        durable: Whether invoking it starts an execution.
        execution_timeout: Seconds that such an execution may take.
        timeout_by_clock: False for a timeout that is no part of what is modelled; see `ExecutionStarted`.
        retention_days: How long it is kept.
        init_seconds: How long its process may take to begin, which is no part of a call's own time.
        revocable: Whether its SDK understands that a checkpoint is answered without a token (2.1 and later).
    """

    name: str
    durable: bool
    execution_timeout: int = limits.CHILD_EXECUTION_TIMEOUT
    timeout_by_clock: bool = True
    retention_days: int = 1
    init_seconds: int = 0
    revocable: bool = True


class Functions(Protocol):
    """What knows them."""

    def resolve(self, name: str) -> Target | None:
        """The function of a name or an ARN, None when there is none."""
        ...


class FunctionTable:
    """Functions that were told of. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[str, Target] = {}

    def add(self, target: Target) -> None:
        """Let it be found, in the place of one of its name."""
        with self._lock:
            self._targets = {**self._targets, target.name: target}

    def resolve(self, name: str) -> Target | None:
        """See `Functions.resolve`: the name with its qualifier goes before the bare one."""
        targets = self._targets
        if (exact := targets.get(name)) is not None:
            return exact
        parsed = parse_function_name(name)
        if parsed is None:
            return None
        qualified = targets.get(f"{parsed.name}:{parsed.qualifier}") if parsed.qualifier is not None else None
        return qualified or targets.get(parsed.name)
