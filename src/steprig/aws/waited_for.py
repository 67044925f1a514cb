"""What a test waits for in an execution, and the words for when it does not come: those of AWS's own runner."""

from steprig.aws.model import Operation, OperationType
from steprig.aws.state import Execution

NOT_COMPLETE = "Execution did not complete"


def not_available(name: str | None) -> str:
    """For a callback that there is not."""
    return f"Callback {'' if name is None else f'{name!r} '}did not become available"


def is_answered(state: Execution, name: str | None) -> bool:
    """True when the callback of this name is there, and open no more."""
    callbacks = _callbacks(state, name) if name is not None else []
    return bool(callbacks) and all(one.ended for one in callbacks)


def open_callback(state: Execution, name: str | None) -> str | None:
    """The id of the latest open callback, of this name if one is given, once the invocation is over that made it."""
    begun = None if state.invocation is None else state.invocation.started_at
    made = [one for one in _callbacks(state, name) if not one.ended and (begun is None or one.started_at < begun)]
    return made[-1].callback_id if made and state.ended is None else None


def _callbacks(state: Execution, name: str | None) -> list[Operation]:
    callbacks = [one for one in state.operations.values() if one.type is OperationType.CALLBACK]
    return [one for one in callbacks if name is None or one.name == name]
