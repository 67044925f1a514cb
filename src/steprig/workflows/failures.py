"""Exceptions, made anew from what a platform has kept of them."""

import builtins
import sys

from steprig.kernel import Failure
from steprig.workflows.errors import WorkflowStepError


def exception_of(failure: Failure | None, otherwise: str) -> BaseException:
    """An exception as it was raised, as far as a platform can tell.

    Args:
        failure: What the platform has kept: the class by its name, with or without its module, and the message.
        otherwise: What to say where it has kept nothing.

    Returns:
        One of the same class where that can be found and takes a message, else a `WorkflowStepError`.
    """
    if failure is None:
        return WorkflowStepError(otherwise)
    error = _of_class(_class_named(failure.name), failure.message)
    if error is None:
        error = WorkflowStepError(f"{failure.name}: {failure.message}" if failure.name else failure.message)
    if failure.stack:
        error.add_note(f"raised at\n{failure.stack.rstrip()}")
    return error


def _of_class(kind: type[BaseException] | None, message: str) -> BaseException | None:
    try:
        error = None if kind is None else kind(message)
    except Exception:  # noqa: BLE001 - a class of the user's, which may want whatever it likes
        return None
    return error if error is not None and message in str(error) else None


def _class_named(name: str) -> type[BaseException] | None:
    found = getattr(builtins, name, None)
    module, _, rest = name.rpartition(".")
    if found is None and module in sys.modules:
        found = getattr(sys.modules[module], rest, None)
    is_error = isinstance(found, type) and issubclass(found, Exception)
    return found if is_error else None
