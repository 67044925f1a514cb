"""Puts into words how a server's life went wrong."""

from steprig.live.errors import ServerShutdownError, ServerStartupError
from steprig.live.log_lines import LogLines
from steprig.live.thread import ServerThread


def why_not_started(
    life: ServerThread, timeout: float, logs: LogLines, awaited: str | None = None
) -> ServerStartupError:
    """The error for a start that failed, was stopped or hangs.

    Args:
        life: the server.
        timeout: seconds that the start had.
        logs: the server's log.
        awaited: what a server that was up did not do.
    """
    cause = _cause_of_failure(life)
    if life.is_stopping:
        parts = ["the server was stopped while it was starting"]
    elif life.ended.is_set():
        parts = [f"the server did not start: {_describe(cause) if cause else 'see its log'}"]
    elif awaited is not None:
        parts = [f"the server was not ready within {timeout:g} s: {awaited}"]
    else:
        parts = [f"the server was not ready within {timeout:g} s; it hangs here:", life.whereabouts()]
    error = ServerStartupError(_with_log(parts, logs))
    error.__cause__ = cause
    return error


def why_not_stopped(life: ServerThread, timeout: float, logs: LogLines) -> ServerShutdownError | None:
    """The error for an end that was not clean; None for one that was."""
    cause: BaseException | None = None
    server = life.server
    parts = list(life.left_over)
    if not life.ended.is_set():
        life.refuse_clients()
        parts.append(f"its thread has not ended within {timeout:g} s; it is here:\n{life.whereabouts()}")
    if life.failure is not None and life.ready:
        cause = life.failure
        parts.insert(0, f"it had ended before by {_describe(cause)}")
    if server is not None and life.ready:
        hung, lifespan_error = server.hung_lifespan, server.lifespan_error
        if hung is not None:
            parts.insert(0, f"the lifespan's shutdown has not ended within {timeout:g} s; it is here:\n{hung}")
        elif lifespan_error is not None:
            cause = lifespan_error
            parts.insert(0, f"the lifespan's shutdown failed: {_describe(cause)}")
        elif server.lifespan.should_exit:
            parts.insert(0, "the application reported that its lifespan's shutdown failed")
    if not parts:
        return None
    parts[0] = f"the server did not stop cleanly: {parts[0]}"
    error = ServerShutdownError(_with_log(parts, logs))
    error.__cause__ = cause
    return error


def _cause_of_failure(life: ServerThread) -> BaseException | None:
    """What the application raised. uvicorn turns most of it into SystemExit, and drops some."""
    if life.is_stopping:
        return None
    if life.server is not None and life.server.has_refused_startup:
        return life.server.lifespan_error
    failure = life.failure
    if isinstance(failure, SystemExit) and failure.__context__ is not None:
        return failure.__context__
    return failure


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _with_log(parts: list[str], logs: LogLines) -> str:
    if logs:
        parts = [*parts, f"--- the server's log ---\n{logs.tail()}"]
    return "\n".join(parts)
