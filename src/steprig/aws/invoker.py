"""How functions are called: what an engine asks of whoever does it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from steprig.aws import records as r
from steprig.aws.invocations import Outcome
from steprig.aws.model import Arn, InvocationId, Operation, OperationId, OperationUpdate
from steprig.aws.paging import Page
from steprig.aws.state import Answer


class Service(Protocol):
    """What a running function asks the service for. From any thread."""

    def checkpoint(
        self, arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str | None = None
    ) -> Answer:
        """Take what a function reports. Raises `ServiceError`."""
        ...

    def state_page(self, arn: str, token: str, marker: str | None, max_items: int | None = None) -> Page:
        """Tell of more operations. Raises `ServiceError`."""
        ...


class Caller(NamedTuple):
    """What a call tells a function of where it runs."""

    function: str
    """As it is registered, with or without qualifier."""
    version: str
    region: str
    account: str
    tenant_id: str | None
    trace_id: str | None
    timeout: int
    """Seconds that the call may take."""
    client_context: str | None = None
    """JSON that a client has sent along."""


class DurableCall(NamedTuple):
    """One invocation of a durable function."""

    caller: Caller
    arn: Arn
    invocation: InvocationId
    token: str
    page: Page
    """The first operations, and the marker of the others."""
    updated: Sequence[OperationId]
    """What the service has done since the last invocation."""
    operations: Mapping[OperationId, Operation]
    """All of them, for an invoker that need not page."""


class PlainCall(NamedTuple):
    """One call of a function that is not durable."""

    caller: Caller
    request_id: str
    payload: str
    """JSON."""


class Invoker(Protocol):
    """Calls functions. None of its methods blocks."""

    def invoke(self, call: DurableCall, service: Service, report: Callable[[Outcome], None]) -> None:
        """Begin to call a durable function; `report` once, from any thread, how that has ended."""
        ...

    def call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        """Begin to call another function; `report` once, from any thread, how that has ended."""
        ...
