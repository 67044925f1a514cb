"""The Inngest dev server as a part that plugs into a rig."""

import asyncio
import time
from collections.abc import Callable

from steprig.inngest.connect.gateway import Gateway
from steprig.inngest.connect.transport import TransportByScheme
from steprig.inngest.engine import Engine
from steprig.inngest.options import Options
from steprig.inngest.projection import project
from steprig.inngest.records import RUN
from steprig.inngest.signing import MalformedSignatureError, sign_request, sign_response
from steprig.inngest.syncing import Syncer
from steprig.inngest.transport import HttpTransport
from steprig.kernel import Rig, Timeline


class InngestPlatform:
    """Engine, transport and syncing, started and stopped together on a rig's loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._running: _Running | None = None

    @property
    def engine(self) -> Engine:
        """The engine of a platform that runs."""
        return self._parts.engine

    @property
    def syncer(self) -> Syncer:
        """What asks apps to register."""
        return self._parts.syncer

    @property
    def gateway(self) -> Gateway:
        """Where workers connect."""
        return self._parts.gateway

    @property
    def rig(self) -> Rig:
        """The rig that it is plugged into."""
        return self._parts.rig

    @property
    def timeline(self) -> Timeline:
        """The rig's timeline."""
        return self._parts.rig.timeline

    @property
    def _parts(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("the platform is not started")
        return self._running

    @property
    def closing(self) -> asyncio.Event:
        """Set when the server is about to stop: who waits for something has to give up."""
        return self._parts.closing

    async def hang_up(self) -> None:
        """Send those away who wait for something: answers or calls. The server itself still answers."""
        self.closing.set()
        await self.gateway.close()

    async def start(self, rig: Rig) -> None:
        """See `Platform.start`."""
        rig.timeline.add(RUN, project)
        self._running = _Running(rig, self.options)

    async def stop(self) -> None:
        """See `Platform.stop`."""
        parts, self._running = self._parts, None
        await parts.stop()


class _Running:
    def __init__(self, rig: Rig, options: Options) -> None:
        self.rig = rig
        self.closing = asyncio.Event()
        self.gateway = Gateway(
            lambda app: self.engine.sync(app),
            lambda run_id: self.engine.state(run_id) is not None,
            options.connect_lease,
            rig.clock.now,
        )
        self.transport = TransportByScheme(HttpTransport(_signer(options.signing_key)), self.gateway.transport)
        self.engine = Engine(
            rig,
            self.transport,
            retry_interval=options.retry_interval,
            crons=options.crons,
            seed=options.seed,
        )
        self.syncer = Syncer(self.engine, options)
        self.engine.resume()

    async def stop(self) -> None:
        await self.gateway.close()
        await self.syncer.stop()
        await self.engine.stop()
        await self.transport.close()


def _signer(key: str | None) -> Callable[[bytes], str] | None:
    return None if key is None else lambda body: _signature(body, key, int(time.time()))


def _signature(body: bytes, key: str, timestamp: int) -> str:
    try:
        return sign_request(body, key, timestamp)
    except MalformedSignatureError:
        return sign_response(body, key, timestamp)  # an endpoint may be asked by what is no JSON
