"""Functions that are registered by hand, with their handlers."""

from typing import Generic, Protocol, TypeVar

from steprig.aws import limits
from steprig.aws.functions import FunctionTable, Target
from steprig.aws.in_process import REVOCABLE

H = TypeVar("H")
H_contra = TypeVar("H_contra", contravariant=True)


class HandlerHost(Protocol[H_contra]):
    """What keeps handlers, of whichever kind it calls."""

    def add(self, name: str, handler: H_contra) -> None:
        """Have a handler called by this name, in the place of the one that was."""
        ...


class Registry(Generic[H]):
    """Makes functions known, and their handlers callable.

    Args:
        invoker: Calls the handlers.
        functions: Where they are made known, beside others; by default a table of its own.
        init_seconds: How long what the handlers live in may take to begin, which is no part of a call's own time.
    """

    def __init__(
        self, invoker: HandlerHost[H], functions: FunctionTable | None = None, *, init_seconds: int = 0
    ) -> None:
        self.functions = functions if functions is not None else FunctionTable()
        self._invoker = invoker
        self._init_seconds = init_seconds

    def add_durable(self, name: str, handler: H, execution_timeout: int | None = None, retention_days: int = 1) -> None:
        """A durable function. Without a timeout its executions may take 120 real seconds, and no modelled ones."""
        self._invoker.add(name, handler)
        self.functions.add(
            Target(
                name,
                durable=True,
                execution_timeout=limits.CHILD_EXECUTION_TIMEOUT if execution_timeout is None else execution_timeout,
                timeout_by_clock=execution_timeout is not None,
                retention_days=retention_days,
                init_seconds=self._init_seconds,
                revocable=REVOCABLE,
            )
        )

    def add_plain(self, name: str, handler: H) -> None:
        """A function that is not durable."""
        self._invoker.add(name, handler)
        self.functions.add(Target(name, durable=False, init_seconds=self._init_seconds))

    def add_unless_known(self, name: str, handler: H) -> None:
        """A durable function, unless another was registered by this name."""
        if self.functions.resolve(name) is None:
            self._invoker.add(name, handler)
            self.functions.add(Target(name, durable=True, revocable=REVOCABLE))
