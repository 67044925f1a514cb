"""What a process with a Python handler runs: AWS's runtime interface client, for as long as the service lives.

    python -m steprig.aws.hosting.bootstrap module.function

A runtime that has lost its service would wait for it for ever. So a connection to the Runtime API is held open beside,
and its end, however the service has ended, is that of the process.
"""

import http.client
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LIFELINE = "/lifeline"
_MARKED = ("wait_next_invocation", "post_invocation_result", "post_invocation_error")


def main() -> None:
    """Serve invocations."""
    lifeline = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    lifeline.request("GET", LIFELINE)
    threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
    try:
        from awslambdaric.__main__ import main as serve  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        sys.exit(f"a handler in a process of its own needs the package {error.name!r}: pip install awslambdaric")
    _mark_invocations()
    serve(sys.argv)


def begin_mark(request_id: str, version: str) -> str:
    """The line before what an invocation writes, which Lambda's logs have there."""
    return f"START RequestId: {request_id} Version: {version}"


def end_mark(request_id: str) -> str:
    """The line after it. Who has read this has read all."""
    return f"END RequestId: {request_id}"


def _mark_invocations() -> None:
    """Write the lines around each invocation, as Lambda does."""
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient as Client  # type: ignore[import-untyped]

    if not all(hasattr(Client, name) for name in _MARKED):
        return  # it is another than the one that is known
    fetch, version = Client.wait_next_invocation, os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")

    def wait_next_invocation(self: Any) -> Any:
        invocation = fetch(self)
        _write(begin_mark(invocation.invoke_id, version))
        return invocation

    def marked(post: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, invoke_id: str, *args: Any, **kwargs: Any) -> Any:
            _write(end_mark(invoke_id))
            return post(self, invoke_id, *args, **kwargs)

        return call

    Client.wait_next_invocation = wait_next_invocation
    Client.post_invocation_result = marked(Client.post_invocation_result)
    Client.post_invocation_error = marked(Client.post_invocation_error)


def _write(line: str) -> None:
    """Past `sys.stdout`, which is the function's to replace. A handler may have closed what is beneath, too."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        sys.stderr.flush()
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())


def _end_with(lifeline: http.client.HTTPConnection) -> None:
    """The answer never comes."""
    try:
        lifeline.getresponse()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
