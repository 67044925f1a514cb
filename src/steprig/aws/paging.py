"""Pages of operations, for what is too much to tell at once."""

from collections.abc import Sequence
from typing import NamedTuple

from steprig.aws import limits
from steprig.aws.checkpointing import check_token
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.model import Operation
from steprig.aws.state import Execution
from steprig.aws.tokens import Marker


class Page(NamedTuple):
    """Operations by creation, and what to ask for the next ones with."""

    operations: Sequence[Operation]
    next_marker: str | None


def first_page(state: Execution, most_bytes: int = limits.FIRST_PAGE_BYTES) -> Page:
    """What an invocation is handed: as many operations as have payloads of so many bytes, but one at least."""
    operations = [*state.operations.values()]
    if state.payload_bytes <= most_bytes:
        return Page(operations, None)
    size = 0
    for index, operation in enumerate(operations):
        size += operation.payload_bytes
        if size > most_bytes and index:
            return Page(operations[:index], Marker(state.checkpoints, index).encode())
    return Page(operations, None)


def state_page(state: Execution, token: str, marker: str | None, max_items: int | None = None) -> Page:
    """The operations from a marker on, or from the first.

    Raises:
        InvalidParameterValueException: The token is not the current one; the marker is none, or one of an earlier
            checkpoint; no such number of items may be asked for.
    """
    check_token(state, token)
    begin = _begin(state, marker)
    end = begin + _number(max_items)
    operations = [*state.operations.values()]
    more = Marker(state.checkpoints, end).encode() if end < len(operations) else None
    return Page(operations[begin:end], more)


def _begin(state: Execution, marker: str | None) -> int:
    if not marker:
        return 0
    decoded = Marker.decode(marker)
    if decoded is None or decoded.sequence != state.checkpoints:
        raise Invalid("Invalid marker")
    return decoded.begin


def _number(max_items: int | None) -> int:
    if max_items is not None and not 0 <= max_items <= limits.STATE_PAGE_MOST:
        raise Invalid(f"MaxItems must be between 0 and {limits.STATE_PAGE_MOST}, not {max_items}.")
    return max_items or limits.STATE_PAGE
