"""Undoes what a test has made, last first, whatever fails on the way."""

import inspect
from collections.abc import Callable
from typing import Any


class CleanupStack:
    """Functions to call at the end, sync or async."""

    def __init__(self) -> None:
        self._undo: list[tuple[str, Callable[[], Any]]] = []

    def push(self, what: str, undo: Callable[[], Any]) -> None:
        """Add one, for what messages call `what`."""
        self._undo.append((what, undo))

    async def run(self) -> list[Exception]:
        """Call all, the last first, each once.

        Returns:
            The errors, each with a note that says what was being cleaned up.

        Raises:
            BaseException: One that is no error, such as a cancellation, once all have been called.
        """
        errors: list[Exception] = []
        stop: BaseException | None = None
        while self._undo:
            what, undo = self._undo.pop()
            try:
                await awaited(undo())
            except BaseException as error:  # noqa: BLE001 - the others have to run, and it is raised after them
                error.add_note(f"raised while {what} was cleaned up")
                if isinstance(error, Exception):
                    errors.append(error)
                else:
                    stop = error
        if stop is not None:
            raise stop
        return errors


def closer_of(resource: object) -> Callable[[], Any] | None:
    """How a resource is let go: its `aclose`, `close` or `cleanup`."""
    for name in ("aclose", "close", "cleanup"):
        if callable(close := getattr(resource, name, None)):
            return close  # type: ignore[no-any-return]
    return None


def raise_all(errors: list[Exception], message: str) -> None:
    """Raise the error, or all as a group."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(message, errors)


async def awaited(value: Any) -> Any:
    """The value, awaited if it can be."""
    return await value if inspect.isawaitable(value) else value
