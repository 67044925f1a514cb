"""The backend as a part that plugs into a rig."""

import logging
from socket import AF_INET6, SOCK_STREAM, socket

from steprig.durabletask.dispatch import LEASE_GRACE
from steprig.durabletask.engine import Engine
from steprig.durabletask.grpc_server import GrpcServer
from steprig.durabletask.projection import project
from steprig.durabletask.records import ORCHESTRATION
from steprig.durabletask.resuming import resume
from steprig.durabletask.service import methods
from steprig.errors import SteprigError
from steprig.kernel import Rig
from steprig.live.sockets import listen

_log = logging.getLogger(__name__)

_TRIES = 20
_GRACE = 0.5
"""Real seconds that calls get to end by themselves when the server stops."""


class BackendStartupError(SteprigError):
    """The backend could not listen. The message says where."""


class DurableTaskPlatform:
    """An engine and the gRPC server in front of it, on a rig's loop.

    Args:
        port: On 127.0.0.1 and, where there is one, ::1; 0 for a free one.
        max_history_size: How many events the history of one execution may have.
        lease_grace: See `dispatch.LEASE_GRACE`.
    """

    def __init__(self, port: int, *, max_history_size: int, lease_grace: float = LEASE_GRACE) -> None:
        self.port = port
        self.grace: float | None = None
        """Real seconds that calls get to end by themselves; None for a short time."""
        self._max_history_size = max_history_size
        self._lease_grace = lease_grace
        self._engine: Engine | None = None
        self._server: GrpcServer | None = None

    @property
    def engine(self) -> Engine:
        """The engine of a platform that runs."""
        if self._engine is None:
            raise RuntimeError("the backend is not started")
        return self._engine

    async def start(self, rig: Rig) -> None:
        """See `Platform.start`."""
        rig.timeline.add(ORCHESTRATION, project)
        self._engine = Engine(rig, max_history_size=self._max_history_size, lease_grace=self._lease_grace)
        try:
            resume(self._engine)
            self.port, sockets = _listening(self.port)
            self._server = GrpcServer(methods(self._engine))
            await self._server.listen(*sockets)
        except BaseException:
            self._engine.stop()
            raise
        _log.info("Durable Task backend listens on port %d", self.port)

    async def stop(self) -> None:
        """See `Platform.stop`. A worker whose stream ends comes back at once, and must not find this server again."""
        engine, self._engine = self.engine, None
        server, self._server = self._server, None
        if server is not None:
            await server.go_away()
        engine.stop()
        if server is not None:
            await server.stop(_GRACE if self.grace is None else self.grace)


def _listening(port: int) -> tuple[int, list[socket]]:
    """Sockets that listen on one port of both loopback addresses."""
    for _ in range(_TRIES):
        try:
            first = listen("127.0.0.1", port)
        except OSError as error:
            raise BackendStartupError(
                f"port {port} of 127.0.0.1 cannot be listened on; stop what does, or pass port=0 for a free one"
            ) from error
        bound = int(first.getsockname()[1])
        try:
            return bound, [first, listen("::1", bound)]
        except OSError:
            if port or not _has_ipv6():
                return bound, [first]
            first.close()
    raise BackendStartupError(f"no port that is free on both 127.0.0.1 and ::1 was found in {_TRIES} tries")


def _has_ipv6() -> bool:
    try:
        with socket(AF_INET6, SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
