"""The embedded dev server."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from steprig.inngest.app import create_app
from steprig.inngest.connect.relay import Relay
from steprig.inngest.options import Options, ServerKind
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.syncing import SyncError
from steprig.kernel import Clock, Journal, MemoryJournal, RealClock, Rig, Timeline
from steprig.live import Managed, ServerStartupError, UvicornTestServer
from steprig.live.sockets import connectable


class DevServer(Managed):
    """An Inngest dev server in this process: what `inngest-cli dev` is to SDKs, without the waiting.

    Args:
        port: Where to listen; by default a free port. A busy one falls back to a free one, see `port`.
        host: The address to bind.
        clock: By default a `RealClock`. With a `VirtualClock` sleeps, retries and future events take no time.
        journal: Where runs are recorded; by default in memory, the newest 10,000 of those that have ended.
        sdk_urls: Serve endpoints of apps to sync with at start, such as `http://127.0.0.1:8000/api/inngest`.
        event_keys: The event keys to accept; any when there are none.
        signing_key: Signs requests to apps, and is asked of apps that register.
        signing_key_fallback: Accepted of apps that register, beside `signing_key`; signs nothing.
        kind: What the server says it is; apps in production mode answer `cloud` alone, and need a signing key. With
            `cloud` the API asks for that key, too, and there is no `/dev`.
        retry_interval: The time between attempts, instead of the dev server's growing backoff.
        strict_port: Fail when `port` is busy, instead of taking a free one.
        poll_interval: Seconds between two syncs with each app that serves over HTTP; None to sync once.
        crons: Whether cron triggers start functions.
        discovery: Look for apps on this machine's usual ports.
        log_level: How much of its own requests the server logs, as for Uvicorn.
        connect_port: A second port that leads here, such as 8289, for whoever expects Connect's gateway on its own.
        connect_lease: Seconds that a Connect worker has to answer a call, or to ask for more time.
        seed: Makes the jitter of retries and of crons repeatable.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str = "127.0.0.1",
        clock: Clock | None = None,
        journal: Journal | None = None,
        sdk_urls: Sequence[str] = (),
        event_keys: Sequence[str] = (),
        signing_key: str | None = None,
        signing_key_fallback: str | None = None,
        kind: ServerKind = "dev",
        retry_interval: timedelta | None = None,
        strict_port: bool = False,
        poll_interval: float | None = None,
        crons: bool = False,
        discovery: bool = False,
        log_level: str = "warning",
        connect_port: int | None = None,
        connect_lease: float = 120.0,
        seed: int | None = None,
    ) -> None:
        self._relay = Relay(host, connect_port) if connect_port is not None else None
        self._own_clock = clock is None
        self.clock: Clock = clock if clock is not None else RealClock()
        self.journal: Journal = journal if journal is not None else MemoryJournal()
        self._platform = InngestPlatform(
            Options(
                sdk_urls=sdk_urls,
                event_keys=event_keys,
                signing_key=signing_key,
                signing_key_fallback=signing_key_fallback,
                kind=kind,
                retry_interval=retry_interval,
                poll_interval=poll_interval,
                crons=crons,
                discovery=discovery,
                connect_port=connect_port,
                connect_lease=connect_lease,
                seed=seed,
            )
        )
        self._rig = Rig(self._platform, clock=self.clock, journal=self.journal)
        self._server = UvicornTestServer(
            create_app(self._platform, self._rig),
            host,
            port,
            strict_port=strict_port,
            lifespan="on",
            log_level=log_level,
            ws_per_message_deflate=False,
        )

    @property
    def origin(self) -> str:
        """The URL that SDKs and clients are given, such as `http://127.0.0.1:8288`."""
        return self._server.base_url

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._server.is_running

    @property
    def timeline(self) -> Timeline:
        """The runs, with their steps."""
        return self._rig.timeline

    @property
    def logs(self) -> Sequence[str]:
        """What the server has logged."""
        return self._server.logs

    def runs_of(self, event_id: str) -> list[str]:
        """The ids of the runs that an event has started so far. Takes the id that sending it returned."""
        return [*self._platform.engine.index.runs_of(event_id)]

    def start(self) -> Self:
        """Listen. Returns itself once requests are answered.

        Raises:
            ServerStartupError: It did not come up.
        """
        self._server.start()
        if self._relay is not None:
            try:
                self._rig.run(self._relay.start((connectable(self._server.host), self.port)))
            except OSError as error:
                self.stop()
                raise ServerStartupError(f"cannot listen on connect_port: {error}") from error
        return self

    def stop(self) -> None:
        """End everything: calls that are being made are cut off. Idempotent. Runs stay readable in `timeline`."""
        if self._server.is_running:
            # While it still answers: workers then know that they have to connect anew, and what to do until then.
            self._rig.run(self._platform.hang_up())
            if self._relay is not None:
                self._rig.run(self._relay.stop())
        self._server.stop()
        if self._own_clock:
            self.clock.close()

    def sync(self, url: str, *, timeout: float = 10.0) -> None:
        """Have the app whose SDK serves at `url` register its functions.

        Args:
            url: Such as `http://127.0.0.1:8000/api/inngest`.
            timeout: In seconds.

        Raises:
            SyncError: The app did not register; the error says what it answered.
        """
        try:
            self._rig.run(self._platform.syncer.sync(url), timeout=timeout)
        except TimeoutError as error:
            raise SyncError(url, "unreachable", f"no answer within {timeout:g} s") from error
