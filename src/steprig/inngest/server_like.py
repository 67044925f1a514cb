"""What every Inngest dev server is to a test, whoever runs it, and one that somebody else runs."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

from steprig.inngest.registering import ask_to_register
from steprig.live import HttpProbe, Managed, ServerStartupError

_PATIENCE = 5.0
"""Seconds that a server which is said to run gets to answer."""


class DevServerLike(Protocol):
    """The face that `DevServer`, `InngestCliServer` and `RunningDevServer` share, so that a fixture can hold any."""

    @property
    def origin(self) -> str:
        """The URL that SDKs and clients are given, such as `http://127.0.0.1:8288`."""
        ...

    @property
    def port(self) -> int:
        """The port that it listens on."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether it is started."""
        ...

    @property
    def logs(self) -> Sequence[str]:
        """What the server has logged, as far as it is known."""
        ...

    def start(self) -> Self:
        """Return once it answers. Raises ServerStartupError when it does not."""
        ...

    def stop(self) -> None:
        """End it, if it was started here. Idempotent."""
        ...

    def sync(self, url: str, *, timeout: float = 10.0) -> None:
        """Have the app whose SDK serves at `url` register its functions. Raises SyncError when it does not."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RunningDevServer(Managed):
    """A dev server that runs already: nothing is started or stopped, only looked whether it answers.

    Args:
        origin: Its URL.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin.rstrip("/")
        self.is_running = False
        self.logs: Sequence[str] = ()

    @property
    def port(self) -> int:
        """The port in its URL."""
        parts = urlsplit(self.origin)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def start(self) -> Self:
        """See whether it answers.

        Raises:
            ServerStartupError: It does not.
        """
        probe = HttpProbe(f"{self.origin}/health")
        seen = probe.attempt(_PATIENCE)
        if seen is not None:
            raise ServerStartupError(
                f"expected an Inngest dev server at {self.origin}; {probe} gave {seen}. "
                "Start it, or set STEPRIG_INNGEST=embedded to have one started here"
            )
        self.is_running = True
        return self

    def stop(self) -> None:
        """Leave it alone."""
        self.is_running = False

    def sync(self, url: str, *, timeout: float = 10.0) -> None:
        """Have the app at `url` register its functions with the dev server that its client is made for.

        Args:
            url: Such as `http://127.0.0.1:8000/api/inngest`.
            timeout: In seconds.

        Raises:
            SyncError: The app did not register; the error says what it answered.
        """
        ask_to_register(url, timeout=timeout)
