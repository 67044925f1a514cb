"""How large a run may become, and what tests have set instead for single functions."""

from typing import NamedTuple
from uuid import UUID

from steprig.errors import SteprigError
from steprig.inngest.functions import Slug
from steprig.inngest.ids import function_uuid
from steprig.inngest.limits import ABSOLUTE_MAX_STEPS, MAX_STATE_BYTES, MAX_STEPS


class Ceilings(NamedTuple):
    """The most that a run may have; None for any number."""

    steps: int | None = MAX_STEPS
    state_bytes: int | None = MAX_STATE_BYTES


class LimitError(SteprigError, ValueError):
    """A limit cannot be set. The text is the dev server's where it has one."""


class Overrides:
    """One limit, as set for single functions (`/fn/step-limit` and `/fn/state-size-limit`).

    Args:
        default: For all others.
        most: What it may be set to.
    """

    def __init__(self, default: int, most: int | None = None) -> None:
        self._default = default
        self._most = most
        self._by_function: dict[str, int] = {}

    def of(self, function: Slug) -> int | None:
        """The limit of a function: 0 stands for the default, less for none at all."""
        limit = self._by_function.get(str(function_uuid(function)), 0)
        return limit if limit > 0 else self._default if limit == 0 else None

    def set(self, function: str, limit: str) -> None:
        """Set it.

        Args:
            function: Its UUID, or its id.
            limit: A whole number.

        Raises:
            LimitError: It is none, or larger than a limit may be.
        """
        try:
            number = int(limit)
        except ValueError:
            raise LimitError(f"Invalid limit: {limit}") from None
        if self._most is not None and number > self._most:
            raise LimitError(f"Invalid limit: {number} is greater than the absolute limit of {self._most}")
        self._by_function[_key(function)] = number

    def remove(self, function: str) -> bool:
        """Go back to the default. False where nothing was set."""
        return self._by_function.pop(_key(function), None) is not None


class LimitsOfFunctions:
    """All limits of functions that can be set."""

    def __init__(self) -> None:
        self.steps = Overrides(MAX_STEPS, ABSOLUTE_MAX_STEPS)
        self.state_bytes = Overrides(MAX_STATE_BYTES)

    def of(self, function: Slug) -> Ceilings:
        """Those of a function."""
        return Ceilings(self.steps.of(function), self.state_bytes.of(function))


def _key(function: str) -> str:
    try:
        return str(UUID(function))
    except ValueError:
        return str(function_uuid(function))
