"""What the routes speak to."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from steprig.aws.arns import function_arn
from steprig.aws.engine import Engine
from steprig.aws.errors import DurableExecutionAlreadyStartedException, ResourceNotFoundException
from steprig.aws.functions import Functions, Target
from steprig.aws.http.pausing import Pauses
from steprig.aws.http.waiting import Waiter
from steprig.aws.index import ExecutionIndex
from steprig.aws.invoker import Invoker
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
        invoker: Calls them.
        region: Of the ARNs.
        account: Of the ARNs.
        invocation_timeout: Seconds that one call of a function may take.
        use_endpoint: Has functions, or one, called at a Lambda endpoint; takes the URL, and the function or None.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        functions: Functions,
        invoker: Invoker,
        *,
        region: str,
        account: str,
        invocation_timeout: int,
        use_endpoint: Callable[[str, str | None], object],
    ) -> None:
        self.engine = engine
        self.index = ExecutionIndex(journal, engine.execution)
        self.clock = clock
        self.functions = functions
        self.invoker = invoker
        self.region = region
        self.account = account
        self.invocation_timeout = invocation_timeout
        self.use_endpoint = use_endpoint
        self.pauses = Pauses(engine)
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

    def start(self, start: Start, name: str | None) -> Arn:
        """Start an execution, or find the one that was started by the same name with the same input.

        Args:
            start: All but its name.
            name: The one that makes it idempotent, if any.

        Raises:
            DurableExecutionAlreadyStartedException: The name is taken by an execution with another input.
        """
        if name is None:
            return self.engine.start(start._replace(name=str(uuid4())))
        bare, _, _ = start.function.partition(":")
        existing = self.index.named(bare, name)
        if existing is None or existing.deleted:
            return self.engine.start(start._replace(name=name))
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
