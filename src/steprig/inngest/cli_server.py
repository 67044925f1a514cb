"""The real Inngest dev server, run through npx."""

import os
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from steprig.inngest.registering import ask_to_register
from steprig.live import HttpProbe, LogLines, Managed, ProcessServer, ServerStartupError

_HOST: Final = "127.0.0.1"
_NPM_FAILED = re.compile(r"npm (ERR!|error)")
_INSTEAD: Final = "or set STEPRIG_INNGEST=embedded, which needs neither Node.js nor a download"

_NPM_SETTINGS: Final = {
    # The package downloads its binary in an install script, which a cautious npmrc forbids.
    "npm_config_ignore_scripts": "false",
    "npm_config_update_notifier": "false",
}


class InngestCliError(ServerStartupError):
    """`inngest-cli` did not start: npx is missing, the download failed, or it is broken. The message says which."""


class InngestCliServer(Managed):
    """The Inngest dev server that Inngest publishes, as a child process: `npx --yes inngest-cli@VERSION dev ...`.

    For running the same tests against the original. It starts without looking for apps by itself: they register
    when they are synced. It keeps real time.

        with InngestCliServer(version="1.4.0") as server:
            client = inngest.Inngest(app_id="app", api_base_url=server.origin, event_api_base_url=server.origin)

    Args:
        port: Where it listens; by default a free port.
        version: Of `inngest-cli`: a version, or a tag such as "latest".
        log_file: A file to which its output is added as it comes; its directory is made.
        startup_timeout: Seconds until a start is given up. The first one downloads some 50 MB.
        shutdown_timeout: Seconds between asking it to end and killing it.
        env: Variables to add to the environment, or with None to take out. It reads `INNGEST_EVENT_KEY` and
            `INNGEST_SIGNING_KEY` from there.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        version: str = "latest",
        log_file: str | os.PathLike[str] | None = None,
        startup_timeout: float = 120.0,
        shutdown_timeout: float = 5.0,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        self.version = version
        self._port = port
        self._log_file = log_file
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self._env = {**_NPM_SETTINGS, **(env or {})}
        self._process: ProcessServer | None = None

    @property
    def origin(self) -> str:
        """The URL that SDKs and clients are given."""
        return f"http://{_HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The port that it listens on, chosen when it is first asked for."""
        if self._port is None:
            self._port = _free_port()
        return self._port

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.is_running

    @property
    def logs(self) -> Sequence[str]:
        """What npx and the server have written so far."""
        return self._process.logs if self._process is not None else LogLines(())

    def start(self) -> Self:
        """Start it, and return once it answers at `/v0/connect/start`.

        Raises:
            InngestCliError: It did not come up; the message ends with its last output and what to try.
            RuntimeError: It is running already.
        """
        if self.is_running:
            raise RuntimeError(f"inngest-cli runs already at {self.origin}; stop() it first")
        self._process = self._new_process()
        try:
            self._process.start()
        except ServerStartupError as error:
            raise InngestCliError(f"{self._what_failed()}: {error}\n{self._what_to_try()}") from None
        return self

    def stop(self) -> None:
        """End it with all its children. Idempotent.

        Raises:
            ServerShutdownError: It survives being killed.
        """
        if self._process is not None:
            self._process.stop()

    def sync(self, url: str, *, timeout: float = 10.0) -> None:
        """Have the app at `url` register its functions with the dev server that its client is made for.

        Args:
            url: Such as `http://127.0.0.1:8000/api/inngest`.
            timeout: In seconds.

        Raises:
            SyncError: The app did not register; the error says what it answered.
        """
        ask_to_register(url, timeout=timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.version} {'running' if self.is_running else 'stopped'}>"

    def _new_process(self) -> ProcessServer:
        package = f"inngest-cli@{self.version}"
        if self._log_file is not None:
            Path(self._log_file).parent.mkdir(parents=True, exist_ok=True)
        return ProcessServer(
            [self._npx(), "--yes", package, "dev", "--no-discovery", "--no-poll", "--port", str(self.port)],
            env=self._env,
            ready_url=HttpProbe(f"{self.origin}/v0/connect/start", method="POST", status=200),
            log_file=self._log_file,
            startup_timeout=self._startup_timeout,
            shutdown_timeout=self._shutdown_timeout,
            name=package,
        )

    def _npx(self) -> str:
        path = self._env.get("PATH", os.environ.get("PATH"))
        npx = shutil.which("npx", path=path or "")
        if npx is None:
            raise InngestCliError(
                f"cannot run inngest-cli@{self.version}: there is no npx on PATH ({path or 'empty'}). "
                f"Install Node.js, which brings it, {_INSTEAD}"
            )
        return npx

    def _what_failed(self) -> str:
        if any(_NPM_FAILED.search(line) for line in self.logs):
            return f"npm could not get inngest-cli@{self.version}"
        return f"inngest-cli@{self.version} did not start"

    def _what_to_try(self) -> str:
        process = self._process
        if process is None or process.pid is None:  # never begun: the message says all
            return f"Give another port, {_INSTEAD}"
        return (
            f"Check that the version exists and that npm can reach its registry (`npx --yes inngest-cli@{self.version} "
            f"version`), give a longer startup_timeout if it was still downloading, {_INSTEAD}"
        )


def _free_port() -> int:
    # It may be taken between here and the start; the start then says so.
    with socket.socket() as sock:
        sock.bind((_HOST, 0))
        port: int = sock.getsockname()[1]
        return port
