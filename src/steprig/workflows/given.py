"""A mock of the test's own, or of an autospec, as a tracked method."""

from typing import Any
from unittest.mock import AsyncMock, Mock

from steprig.workflows.calls import CallLog
from steprig.workflows.tracked import TrackedMethod


class GivenMethod(TrackedMethod):
    """Writes down the calls of a `unittest.mock` object, which answers them and is configured as ever.

    Args:
        name: The method's name.
        log: Where its calls are written down.
        given: The mock.
    """

    def __init__(self, name: str, log: CallLog, given: Mock) -> None:
        super().__init__(name, log, original=given, is_async=isinstance(given, AsyncMock))
        self.__dict__["given"] = given

    @property
    def return_value(self) -> Any:
        """The given mock's."""
        return self.given.return_value

    @return_value.setter
    def return_value(self, value: object) -> None:
        self.given.return_value = value

    @property
    def side_effect(self) -> Any:
        """The given mock's."""
        return self.given.side_effect

    @side_effect.setter
    def side_effect(self, effect: Any) -> None:
        self.given.side_effect = effect

    def reset_mock(self) -> None:
        """Have the given mock forget its calls."""
        self.given.reset_mock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.given, name)
