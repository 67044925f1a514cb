"""`steprig dev` in a process of its own, as users run it."""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import httpx

from steprig.live import ProcessServer
from steprig.live.log_lines import LogLines

from ..waiting import until
from .stage import PATIENCE

STARTING = 30.0
"""Seconds for a process that imports the SDK, on a busy machine."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class DevProcess:
    """The command, on a port of its own, whatever becomes of it.

    Args:
        program: What is run in place of `python -m steprig.cli`.
    """

    def __init__(self, program: Sequence[str] = ("-m", "steprig.cli")) -> None:
        self._port = free_port()
        self._program = program
        self.origin = f"http://127.0.0.1:{self._port}"

    def start(self, *arguments: str) -> None:
        command = [sys.executable, *self._program, "dev", "--no-discovery", "--port", str(self._port), *arguments]
        environment = {name: None for name in os.environ if name.startswith("INNGEST_")}
        self.server = ProcessServer(
            command, env=environment, ready_log="Waiting for apps", startup_timeout=STARTING
        ).start()

    @property
    def logs(self) -> LogLines:
        """What it has written, since its last start."""
        return self.server.logs

    def stop(self) -> None:
        self.server.stop()

    def kill(self) -> None:
        """Give it no chance to do anything more."""
        os.kill(self.server.pid or 0, signal.SIGKILL)
        until(lambda: not self.server.is_running, "its death")
        assert self.server.returncode == -signal.SIGKILL

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.origin}{path}", timeout=PATIENCE).raise_for_status().json()

    def send(self, name: str, **data: Any) -> str:
        """Send an event. Returns its id."""
        answer = httpx.post(f"{self.origin}/e/key", json={"name": name, "data": data}).raise_for_status().json()
        return str(answer["ids"][0])

    def knows_an_app(self) -> bool:
        return bool(self.get("/dev")["functions"])

    def result_of(self, event_id: str) -> Any:
        """What the one run that an event has started gave, once it is over."""
        return until(lambda: self._result_so_far(event_id), "the end of the run")

    def _result_so_far(self, event_id: str) -> Any:
        (run,) = self.get(f"/v1/events/{event_id}/runs")["data"]
        return run["output"] if run["status"] == "Completed" else None
