"""What a process with a Python handler runs: AWS's runtime interface client, for as long as the service lives.

    python -m steprig.aws.hosting.bootstrap module.function

A runtime that has lost its service would wait for it for ever. So a connection to the Runtime API is held open beside,
and its end, however the service has ended, is that of the process.
"""

import http.client
import os
import sys
import threading

LIFELINE = "/lifeline"


def main() -> None:
    """Serve invocations."""
    lifeline = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    lifeline.request("GET", LIFELINE)
    threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
    try:
        from awslambdaric.__main__ import main as serve  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        sys.exit(f"a handler in a process of its own needs the package {error.name!r}: pip install awslambdaric")
    serve(sys.argv)


def _end_with(lifeline: http.client.HTTPConnection) -> None:
    """The answer never comes."""
    try:
        lifeline.getresponse()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
