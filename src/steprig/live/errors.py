"""What goes wrong with a server, told apart by when."""

from steprig.errors import SteprigError


class ServerStartupError(SteprigError):
    """A server did not become ready.

    The message says what was awaited and ends with the server's log; where it hung, with the
    stacks of its thread and tasks. An exception that the application raised is the `__cause__`.
    """


class ServerShutdownError(SteprigError):
    """A server ended, but not cleanly: the message says what failed or would not end.

    The exception that a lifespan shutdown raised is the `__cause__`.
    """
