"""One process with a handler in it, as Lambda's execution environment is one."""

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steprig.aws.hosting.bootstrap import begin_mark, end_mark
from steprig.aws.hosting.replies import Reply, runtime_error
from steprig.aws.hosting.runtime_api import RuntimeApi, RuntimeInvocation
from steprig.aws.model import ErrorObject
from steprig.live import LogLines, ProcessServer

_GRACE = 1.0
"""Seconds that a process gets to end by itself."""
_OUTPUT = 5.0
"""Seconds in which what a process has written before its answer has been read."""
_QUIET = 0.05
"""Seconds without another line, by which the output of a runtime that marks no ends is taken for read."""
_RUNTIME = (sys.executable, "-m", "steprig.aws.hosting.bootstrap")


@dataclass(frozen=True)
class HandlerProcess:
    """A handler that lives in processes of its own, which speak Lambda's Runtime API.

    Attributes:
        handler: As Lambda has it: `module.function`.
        cwd: Where the process runs, and finds the module; by default where this one does.
        env: Variables to add to this process's, or with None to take out of them.
        command: Instead of AWS's runtime interface client for Python: any program that speaks the Runtime API, such as
            that of another language. The handler is its last argument, and in `_HANDLER`. Should this process be
            killed, it has to notice by itself.
    """

    handler: str
    cwd: str | Path | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    command: Sequence[str] = _RUNTIME


class Environment:
    """A process, and the Runtime API that it speaks to. Used by one thread at a time, but for `close`.

    Args:
        name: Of the function.
        handler: What runs.
        variables: The environment of the process, before the handler's own.
    """

    def __init__(self, name: str, handler: HandlerProcess, variables: Mapping[str, str]) -> None:
        self.function = name
        self._marks = tuple(handler.command) == _RUNTIME
        self._before = 0
        self._changed = threading.Condition()
        self._replies: dict[str, Reply] = {}
        self._init_error: Reply | None = None
        self._ended = False
        self._closed = False
        self._ready = False
        self._began = time.monotonic()
        self.init: float | None = None
        """Seconds that it took until it asked for its first invocation."""
        self._api = RuntimeApi(self._take, self._asks)
        self._process = ProcessServer(
            [*handler.command, handler.handler],
            cwd=handler.cwd,
            env={**variables, **_variables(name, handler, self._api.address), **handler.env},
            shutdown_timeout=_GRACE,
            name=f"function {name}",
        )

    @property
    def is_usable(self) -> bool:
        """Whether it can take another invocation."""
        with self._changed:
            is_open = not self._ended and not self._closed
        return is_open and self._process.is_running

    def has_begun(self, request_id: str) -> bool:
        """Whether the process has ever seen an invocation."""
        return self._api.handed_out == request_id

    @property
    def logs(self) -> LogLines:
        """What the process has written."""
        return self._process.logs

    def start(self) -> None:
        """Start the process. Raises `ServerStartupError`."""
        self._api.start()
        self._began = time.monotonic()
        self._process.start()
        threading.Thread(target=self._watch, name="end of a function's process", daemon=True).start()

    def await_init(self, timeout: float) -> bool:
        """Wait until it is ready for an invocation: that is, has asked for one. False if it ended, or took longer."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended or self._closed, timeout)
            return self._ready

    def run(self, invocation: RuntimeInvocation, timeout: float) -> Reply | ErrorObject | None:
        """Have the process run its handler once.

        Args:
            invocation: What it is handed.
            timeout: Seconds.

        Returns:
            What it answered; how it died; or None when it took too long, and has to be closed.
        """
        self._before = self._process.output.position if self._ready else 0
        self._api.offer(invocation)
        end = time.monotonic() + timeout
        with self._changed:
            while invocation.request_id not in self._replies:
                if self._ended or self._closed:
                    return self._death(invocation.request_id)
                if not self._changed.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    return None
            return self._replies.pop(invocation.request_id)

    def log_of(self, request_id: str) -> str:
        """What it has written for its last invocation, which has ended.

        Of a program that is not AWS's runtime interface client for Python: what it has written since it was handed
        the invocation, until it was silent for a moment.
        """
        output, deadline = self._process.output, time.monotonic() + _OUTPUT
        while self.is_usable and (left := deadline - time.monotonic()) > 0:
            position = output.position
            if self._marks and any(line.endswith(end_mark(request_id)) for line in output.read(self._before)):
                break
            if not output.wait_for_more(position, left if self._marks else min(left, _QUIET)):
                break
        if not self.is_usable:
            self._process.wait(_OUTPUT)
        return self._part_of(output.read(self._before), request_id)

    def _part_of(self, lines: Sequence[str], request_id: str) -> str:
        begin, end = begin_mark(request_id, ""), end_mark(request_id)
        first = next((number for number, line in enumerate(lines, 1) if begin in line), 0)
        part = list[str]()
        for line in lines[first:]:
            if line.endswith(end):
                part += [line.removesuffix(end)] if line != end else []
                break
            part.append(line)
        return "".join(f"{line}\n" for line in part)

    def close(self) -> None:
        """End the process and all its children. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._process.stop()
        self._api.stop()

    def _take(self, request_id: str | None, reply: Reply) -> None:
        with self._changed:
            if request_id is None:
                self._init_error = reply
            else:
                self._replies[request_id] = reply
            self._changed.notify_all()

    def _asks(self) -> None:
        with self._changed:
            if not self._ready:
                self._ready, self.init = True, time.monotonic() - self._began
                self._changed.notify_all()

    def _watch(self) -> None:
        self._process.wait()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _death(self, request_id: str) -> ErrorObject:
        if self._init_error is not None:
            return runtime_error(self._init_error.body, "Runtime.InitError")
        if not self._api.asked and not self._closed:
            output = self._process.logs.tail(5) or "(none)"
            message = f"{self._process.name} ended before it asked for an invocation. Its last output:\n{output}"
            return ErrorObject(error_type="Runtime.InitError", error_message=message)
        message = f"RequestId: {request_id} Error: Runtime exited with error: {_how(self._process.returncode)}"
        return ErrorObject(error_type="Runtime.ExitError", error_message=message)


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "the service was stopped"
    return f"exit status {returncode}" if returncode >= 0 else f"signal: {-returncode}"


def _variables(name: str, handler: HandlerProcess, address: str) -> dict[str, str]:
    """What Lambda sets for a function."""
    bare, _, version = name.partition(":")
    cwd = str(Path(handler.cwd or ".").resolve())
    paths = [cwd, os.environ.get("PYTHONPATH", "")]
    return {
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": bare,
        "AWS_LAMBDA_FUNCTION_VERSION": version if version.isdecimal() else "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{bare}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": cwd,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "_HANDLER": handler.handler,
    }
