"""The dev server that the environment asks for: `from steprig.inngest import server`."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from steprig.inngest.cli_server import InngestCliServer
from steprig.inngest.server_like import DevServerLike, RunningDevServer
from steprig.inngest.settings import Settings
from steprig.live import Managed

if TYPE_CHECKING:
    from steprig.inngest.dev_server import DevServer
    from steprig.kernel import Clock


class EnvironmentServer(Managed):
    """A dev server as the variables in `.env.example` describe it: embedded, the real one, or one that runs already.

    The environment is read at `start`, and while it does not run whenever it is looked at. It keeps real time.

        server.start()
        client = DevServerClient(server.origin)
        ...
        server.stop()
    """

    def __init__(self) -> None:
        self._server: DevServerLike | None = None
        self._started = ExitStack()

    @property
    def settings(self) -> Settings:
        """What the environment says at this moment. Raises SettingsError when it makes no sense."""
        return Settings.from_environ()

    @property
    def origin(self) -> str:
        """The URL that SDKs and clients are given; before the start that of the server which would be started.

        Raises:
            SettingsError: The environment makes no sense.
            RuntimeError: A free port was asked for, and none is found before the start.
        """
        if self._server is not None:
            return self._server.origin
        origin = self.settings.origin
        if origin is None:
            raise RuntimeError("DEV_SERVER_PORT=0 asks for a free port, which is not known before start()")
        return origin

    @property
    def is_running(self) -> bool:
        """Whether it was started, and runs."""
        return self._server is not None and self._server.is_running

    @property
    def logs(self) -> Sequence[str]:
        """What the server has logged."""
        return self._server.logs if self._server is not None else ()

    def start(self) -> Self:
        """Start what the environment asks for, and return once it answers. With `DEV_SERVER_ENABLED=0` do nothing.

        Raises:
            SettingsError: The environment makes no sense.
            ServerStartupError: It did not come up, its port is taken, or the server said to run does not.
            RuntimeError: It is running already.
        """
        if self.is_running:
            raise RuntimeError(f"the dev server runs already at {self.origin}; stop() it first")
        settings = self.settings
        if settings.enabled:
            self.stop()  # one that has ended by itself leaves its traces
            with ExitStack() as started:
                self._server = started.enter_context(server_for(settings, started))
                self._started = started.pop_all()
        return self

    def stop(self) -> None:
        """End what `start` has started. Idempotent."""
        self._server = None
        self._started.close()

    def sync(self, url: str, *, timeout: float = 10.0) -> None:
        """Have the app whose SDK serves at `url` register its functions.

        Args:
            url: Such as `http://127.0.0.1:8000/api/inngest`.
            timeout: In seconds.

        Raises:
            SyncError: The app did not register; the error says what it answered.
        """
        server = self._server or RunningDevServer(self.origin)
        server.sync(url, timeout=timeout)


server = EnvironmentServer()
"""The one that the environment describes."""


def server_for(
    settings: Settings, started: ExitStack, *, port: int | None = None, clock: "Clock | None" = None
) -> DevServerLike:
    """The server that settings describe, not started yet.

    Args:
        settings: What the environment says.
        started: Gets what has to be ended after the server.
        port: Instead of the one in the settings.
        clock: Of an embedded server; by default real time.
    """
    if settings.url is not None:
        return RunningDevServer(settings.url)
    port = port or settings.port or None
    if settings.backend == "cli":
        return InngestCliServer(port, version=settings.version, log_file=settings.log_file)
    return _embedded(settings, started, port, clock)


def _embedded(settings: Settings, started: ExitStack, port: int | None, clock: "Clock | None") -> "DevServer":
    # Not above: whoever uses the real server alone need not have what the embedded one is made of.
    from steprig.inngest import DevServer
    from steprig.inngest.journal_log import JournalLog

    server = DevServer(
        port,
        strict_port=True,
        clock=clock,
        event_keys=() if settings.event_key is None else (settings.event_key,),
        signing_key=settings.signing_key,
        signing_key_fallback=settings.signing_key_fallback,
        crons=settings.crons,
    )
    if settings.log_file is not None:
        log = JournalLog(server.journal, settings.log_file, f"dev server at {server.origin}")
        started.callback(lambda: log.close(server.logs))
    return server
