"""What is below the SDK's decorator."""

import inspect
from collections.abc import Callable
from typing import Any

_SDK = "aws_durable_execution_sdk_python."


def body_of(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The function that a handler was made of by `@durable_execution`; any other as it is.

    Before 3.0 the SDK's wrapper does not tell what it wraps, but it has it in its closure.
    """
    body: Callable[..., Any] = inspect.unwrap(handler)
    if inspect.isfunction(body) and body.__module__.startswith(_SDK):
        closure: dict[str, Callable[..., Any]] = {**inspect.getclosurevars(body).nonlocals}
        return closure.get("func", body)
    return body
