"""Where this process's Inngest dev server is, said before it runs.

An SDK's client reads the dev server's address from the environment when it is made, and most apps
make it when they are imported: often while tests are collected, long before the first fixture. So
a port is held for the server early, and the environment names it from then on.
"""

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from steprig.inngest import Settings

_OVERRULES = ("INNGEST_BASE_URL", "INNGEST_API_BASE_URL", "INNGEST_EVENT_API_BASE_URL")
"""SDKs heed these more than INNGEST_DEV."""

_USERS = {"dev_server", "dev_server_client", "inngest_app"}
"""The fixtures that a dev server is started for."""


class DevAddress:
    """Plugin: the address of the fixture `dev_server`, of each pytest-xdist worker its own."""

    def __init__(self, config: pytest.Config) -> None:
        self._environment = pytest.MonkeyPatch()
        self._settings: Settings | None = None
        self._held: socket.socket | None = None
        config.add_cleanup(self._close)

    def announce(self) -> "Settings":
        """Have the clients that are made from now on talk to the dev server.

        Returns:
            What the environment said about the server.

        Raises:
            pytest.UsageError: it says something that makes no sense.
        """
        if self._settings is None:
            settings = _read_settings()
            # A server of our own gets a port of its own, as several workers may run at once.
            point_sdks_at(settings.url or self._origin_of_ours(settings), self._environment)
            self._settings = settings
        return self._settings

    def take_port(self) -> int:
        """The port that was held for the server, now the caller's to bind."""
        if self._held is None:
            raise RuntimeError("no port is held: the dev server is not one of ours, or has been started before")
        port = int(self._held.getsockname()[1])
        self._held.close()
        self._held = None
        return port

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before the first fixture, as the one that imports an app may come before `dev_server`."""
        if any(_USERS.intersection(getattr(item, "fixturenames", ())) for item in session.items):
            self.announce()

    def _origin_of_ours(self, settings: "Settings") -> str:
        if not settings.enabled:
            return str(settings.origin)
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._held.getsockname()[1]}"

    def _close(self) -> None:
        if self._held is not None:
            self._held.close()
        self._environment.undo()


def point_sdks_at(origin: str, environment: pytest.MonkeyPatch) -> None:
    """Set the variables that Inngest's SDKs read, until `environment` is undone."""
    for name in _OVERRULES:
        environment.delenv(name, raising=False)
    environment.setenv("INNGEST_DEV", origin)


def _read_settings() -> "Settings":
    from steprig.inngest import Settings, SettingsError

    try:
        return Settings.from_environ()
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from error
