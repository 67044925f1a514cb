"""What tests use: the backend, with the face of the SDK's own in-memory one."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from steprig.durabletask.dispatch import LEASE_GRACE
from steprig.durabletask.platform import DurableTaskPlatform
from steprig.durabletask.resetting import forget_all
from steprig.kernel import Clock, Journal, MemoryJournal, Rig, Timeline

if TYPE_CHECKING:
    from types import TracebackType


class InMemoryOrchestrationBackend:
    """A Durable Task backend in this process, which the clients and workers of the `durabletask` SDK connect to.

    It may be started again after a stop and goes on from its journal. To have it outlive the process, pass a
    `SqliteJournal`.

        with create_test_backend(port=0) as backend:
            worker = TaskHubGrpcWorker(host_address=backend.address)

    Args:
        max_history_size: How many events the history of one orchestration may have; one that gets longer fails.
        port: Listened on at 127.0.0.1 and ::1; 0 for a free one, told by `port` once it runs.
        clock: By default real time. On a `VirtualClock` timers, future starts and delayed signals are skipped while
            a client waits for an orchestration, a worker is connected, and nothing is under way. A test that raises
            an event from another thread while it waits passes `VirtualClock(auto=False)`, or raises it first.
        journal: What is kept, by default in memory. One that is passed in is not closed.
        lease_grace: Real seconds that a worker whose stream has ended has to answer to what it took, before another
            gets it.
    """

    def __init__(
        self,
        max_history_size: int = 10000,
        port: int = 50051,
        *,
        clock: Clock | None = None,
        journal: Journal | None = None,
        lease_grace: float = LEASE_GRACE,
    ) -> None:
        self.journal: Journal = journal if journal is not None else MemoryJournal()
        self._clock = clock
        self._asked_port = port
        self._max_history_size = max_history_size
        self._lease_grace = lease_grace
        self._running: tuple[Rig, DurableTaskPlatform] | None = None

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._running is not None

    @property
    def port(self) -> int:
        """Where it listens; before the first start the port that was asked for."""
        return self._asked_port if self._running is None else self._running[1].port

    @property
    def address(self) -> str:
        """What clients and workers are given: `localhost:PORT`."""
        return f"localhost:{self.port}"

    @property
    def clock(self) -> Clock:
        """The clock that was passed in, or that of a backend that runs.

        Raises:
            RuntimeError: It does not run, and keeps real time.
        """
        return self._clock if self._clock is not None else self._rig.clock

    @property
    def timeline(self) -> Timeline:
        """What has happened to each orchestration. Raises RuntimeError while the backend does not run."""
        return self._rig.timeline

    @property
    def _rig(self) -> Rig:
        if self._running is None:
            raise RuntimeError("the backend does not run; call start()")
        return self._running[0]

    def start(self) -> str:
        """Listen, and go on with what was under way. Returns the address, `localhost:PORT`.

        Raises:
            BackendStartupError: The port is taken.
            RuntimeError: It runs already.
        """
        if self._running is not None:
            raise RuntimeError(f"the backend runs already at {self.address}; stop() it first")
        platform = DurableTaskPlatform(
            self._asked_port, max_history_size=self._max_history_size, lease_grace=self._lease_grace
        )
        self._running = (Rig(platform, clock=self._clock, journal=self.journal).start(), platform)
        self._asked_port = platform.port
        return self.address

    def stop(self, grace: float | None = None) -> None:
        """Stop listening; all threads and sockets are gone when this returns. What it knows is kept. Idempotent.

        Args:
            grace: Real seconds that calls get to end by themselves, by default a short time. Those that wait for an
                orchestration, and workers' streams, end at once.
        """
        running, self._running = self._running, None
        if running is not None:
            rig, platform = running
            platform.grace = grace
            rig.stop()

    def reset(self) -> None:
        """Forget everything, running or not. Workers stay connected; what they have under way counts no more."""
        if self._running is None:
            forget_all(self.journal, self._now())
            return
        rig, platform = self._running

        async def forget() -> None:
            platform.engine.reset()

        rig.run(forget())

    def _now(self) -> datetime:
        from datetime import UTC

        now = self._clock.stamp() if self._clock is not None else datetime.now(UTC)
        return max(now, self.journal.last_at() or now)

    def __enter__(self) -> Self:
        if not self.is_running:
            self.start()
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.stop()


def create_test_backend(
    port: int = 50051,
    max_history_size: int = 10000,
    clock: Clock | None = None,
    *,
    journal: Journal | None = None,
    lease_grace: float = LEASE_GRACE,
) -> InMemoryOrchestrationBackend:
    """A backend that runs. Stop it with `stop`, or use it in a `with` block.

    Args:
        port: 0 for a free one.
        max_history_size: See `InMemoryOrchestrationBackend`, and so for the others.
        clock: Time.
        journal: What is kept.
        lease_grace: How long a worker that is gone is waited for.

    Raises:
        BackendStartupError: The port is taken.
    """
    backend = InMemoryOrchestrationBackend(
        max_history_size=max_history_size, port=port, clock=clock, journal=journal, lease_grace=lease_grace
    )
    backend.start()
    return backend
