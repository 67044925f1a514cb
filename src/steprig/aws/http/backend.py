"""What the routes speak to."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from steprig.aws.arns import function_arn
from steprig.aws.engine import Engine
from steprig.aws.errors import DurableExecutionAlreadyStartedException, ResourceNotFoundException
from steprig.aws.functions import Functions, Target
from steprig.aws.hosting.event_queue import EventQueue
from steprig.aws.hosting.hosts import Hosts
from steprig.aws.hosting.invocation_logs import InvocationLogs
from steprig.aws.http.pausing import Pauses
from steprig.aws.http.waiting import Waiter
from steprig.aws.index import ExecutionIndex
from steprig.aws.model import Arn
from steprig.aws.starting import Start
from steprig.kernel import Clock, Journal


class Backend:
    """The parts of a server, for its routes. Used on the server's loop alone.

    Args:
        engine: Runs executions.
        journal: The engine's.
        clock: The engine's.
        functions: Which functions there are.
        hosts: Call them.
        logs: What invocations have logged.
        region: Of the ARNs.
        account: Of the ARNs.
        execution_timeout: Seconds that an execution may take of a function that nothing is known of, if told.
        invocation_timeout: Seconds that one call of a function may take.
        use_endpoint: Has functions, or one, called at a Lambda endpoint; takes the URL, and the function or None.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        functions: Functions,
        hosts: Hosts,
        logs: InvocationLogs,
        *,
        region: str,
        account: str,
        execution_timeout: int | None,
        invocation_timeout: int,
        use_endpoint: Callable[[str, str | None], object],
    ) -> None:
        self.engine = engine
        self.index = ExecutionIndex(journal, engine.execution)
        self.clock = clock
        self.functions = functions
        self.hosts = hosts
        self.logs = logs
        self.events = EventQueue(clock, hosts)
        self.region = region
        self.account = account
        self.execution_timeout = execution_timeout
        self.invocation_timeout = invocation_timeout
        self.use_endpoint = use_endpoint
        self.pauses = Pauses(engine, journal, clock)
        self.closing = asyncio.Event()
        self.waiter = Waiter(engine, self.closing)

    def ahead(self) -> timedelta:
        """How far the clock is ahead of the machine's."""
        return self.clock.ahead()

    def close(self) -> None:
        """Follow the journal no more."""
        self.index.close()

    def target(self, name: str, qualifier: str | None = None) -> Target:
        """The function of a name.

        Raises:
            ResourceNotFoundException: There is none.
        """
        target = self.functions.resolve(name if qualifier is None else f"{name}:{qualifier}")
        if target is None:
            raise ResourceNotFoundException(f"Function not found: {self.function_arn(name, qualifier)}")
        return target

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        """The ARN of a function here."""
        return function_arn(name, region=self.region, account=self.account, qualifier=qualifier)

    def has_started(self, start: Start) -> bool:
        """Whether there is an execution of this name, which `start` would find."""
        existing = self.index.named(start.function.partition(":")[0], start.name)
        return existing is not None and not existing.deleted

    def start(self, start: Start, name: str | None) -> Arn:
        """Start an execution, or find the one that was started by the same name with the same input.

        Args:
            start: What is asked for.
            name: The one in it that makes it idempotent; None if that was drawn.

        Raises:
            DurableExecutionAlreadyStartedException: The name is taken by an execution with another input.
        """
        if name is None:
            return self.engine.start(start)
        bare, _, _ = start.function.partition(":")
        existing = self.index.named(bare, name)
        if existing is None or existing.deleted:
            return self.engine.start(start)
        if existing.started.input != start.input:
            raise AlreadyStartedError(existing.arn, name)
        return existing.arn


class AlreadyStartedError(DurableExecutionAlreadyStartedException):
    """The name of an execution is taken.

    Attributes:
        arn: Of the execution that has it.
    """

    code = DurableExecutionAlreadyStartedException.__name__

    def __init__(self, arn: Arn, name: str) -> None:
        self.arn = arn
        super().__init__(f"A durable execution with the name {name} was already started with another payload: {arn}")
