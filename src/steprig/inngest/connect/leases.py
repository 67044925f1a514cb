"""The calls that are out at workers: found by their id alone, since answers may come by another way than they left."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from steprig.inngest.connect.workers import Worker, WorkerGoneError, Workers
from steprig.inngest.ids import new_ulid
from steprig.inngest.replies import NoReply, Reply

_EXPIRED = NoReply("The worker stopped responding to the request", name="connect_worker_stopped_responding")
_RUN_IS_OVER = NoReply("The run is over")


class Lease:
    """A worker's right to answer a call, until it expires. It lasts in real time, whatever the rig's clock shows."""

    def __init__(self, request_id: str, run_id: str, worker: Worker) -> None:
        self.request_id = request_id
        self.run_id = run_id
        self.worker = worker
        self.arrived = False
        """Whether the worker has said that it has the call."""
        self.outcome: asyncio.Future[Reply | NoReply] = asyncio.get_running_loop().create_future()
        """Raises WorkerGoneError when the call never arrived."""
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, outcome: Reply | NoReply) -> None:
        """It is answered, or never will be. The first to say so counts."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def undelivered(self) -> None:
        """The worker left without having got the call."""
        if not self.outcome.done():
            self.outcome.set_exception(WorkerGoneError("the worker left before it got the call"))


class Leases:
    """All leases that run.

    Args:
        workers: Are told when one of them has room again.
        seconds: How long a lease lasts.
        goes_on: Whether a run does; a worker is told to stop what is for a run that does not.
    """

    def __init__(self, workers: Workers, seconds: float, goes_on: Callable[[str], bool]) -> None:
        self._workers = workers
        self._seconds = seconds
        self._goes_on = goes_on
        self._leases: dict[str, Lease] = {}

    def grant(self, request_id: str, run_id: str, worker: Worker) -> Lease:
        """A lease for a call that is about to be sent. To be ended with `end`."""
        lease = Lease(request_id, run_id, worker)
        self._leases[request_id] = lease
        worker.leases.add(lease)
        self._prolong(lease)
        return lease

    def new_id(self) -> str:
        """The id for a lease from now on: its time is the expiry."""
        return new_ulid(datetime.now(UTC) + timedelta(seconds=self._seconds))

    def end(self, lease: Lease) -> None:
        """Whatever comes for it now is too late."""
        self._leases.pop(lease.request_id, None)
        if lease.timer is not None:
            lease.timer.cancel()
        lease.worker.leases.discard(lease)
        self._workers.freed()

    def arrived(self, request_id: str) -> None:
        """The worker has the call."""
        if (lease := self._leases.get(request_id)) is not None:
            lease.arrived = True

    def extend(self, request_id: str) -> str | None:
        """The lease's new id, or None when the worker is to stop: the call is answered, unknown, or of no use."""
        lease = self._leases.get(request_id)
        if lease is None or lease.outcome.done():
            return None
        if not self._goes_on(lease.run_id):
            lease.settle(_RUN_IS_OVER)
            return None
        self._prolong(lease)
        return self.new_id()

    def answer(self, request_id: str, reply: Reply | NoReply) -> None:
        """An answer, which may be late, or here twice."""
        if (lease := self._leases.get(request_id)) is not None:
            lease.settle(reply)

    def _prolong(self, lease: Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
        lease.timer = asyncio.get_running_loop().call_later(self._seconds, lease.settle, _EXPIRED)
