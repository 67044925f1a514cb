"""How functions are called over Connect, and how a function's URL decides that."""

from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from steprig.inngest.call_request import CallRequest
from steprig.inngest.connect.leases import Leases
from steprig.inngest.connect.workers import WorkerGoneError, Workers
from steprig.inngest.functions import Slug
from steprig.inngest.opcodes import StepId
from steprig.inngest.replies import NoReply, Reply
from steprig.inngest.transport import NobodyReadyError, Transport


class ConnectTransport:
    """Calls functions of workers.

    Args:
        workers: Those that are connected.
        leases: For the calls that are out.
    """

    def __init__(self, workers: Workers, leases: Leases) -> None:
        self._workers = workers
        self._leases = leases

    async def call(self, url: str, step: StepId, request: CallRequest) -> Reply | NoReply:
        """See `Transport.call`."""
        function = function_in(url)
        worker = self._workers.free_for(function)
        if worker is None:
            raise self._nobody_ready(function)
        # Not above: it comes with the SDK, which whoever calls over HTTP alone need not load.
        from steprig.inngest.connect.messages import ExecutorRequest, executor_request

        headers = request.headers
        lease = self._leases.grant(headers["X-Request-Id"], headers["X-Run-Id"], worker)
        frame = executor_request(
            ExecutorRequest(
                request_id=lease.request_id,
                run_id=lease.run_id,
                job_id=headers["X-Inngest-Job-Id"],
                lease_id=self._leases.new_id(),
                app=self._workers.app_of(function),
                function=function,
                step=step,
                body=request.body,
            )
        )
        try:
            await worker.send(frame)
            return await lease.outcome
        except WorkerGoneError:
            self._workers.remove(worker)
            raise self._nobody_ready(function) from None
        finally:
            self._leases.end(lease)

    async def close(self) -> None:
        """See `Transport.close`."""
        self._workers.close()

    def _nobody_ready(self, function: Slug) -> NobodyReadyError:
        return NobodyReadyError(lambda then: self._workers.when_free(function, then))


class TransportByScheme:
    """Calls a function the way its URL says: over Connect for `ws` and `wss`, else over HTTP."""

    def __init__(self, http: Transport, connect: Transport) -> None:
        self._http = http
        self._connect = connect

    async def call(self, url: str, step: StepId, request: CallRequest) -> Reply | NoReply:
        """See `Transport.call`."""
        # By the scheme alone: the SDK says `http` as the runtime of a worker's failure handlers.
        transport = self._connect if url.startswith(("ws:", "wss:")) else self._http
        return await transport.call(url, step, request)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._http.close()
        await self._connect.close()


@lru_cache(4096)
def function_in(url: str) -> Slug:
    """The function that a URL such as `wss://connect?fnId=app-fn&stepId=step` is for."""
    return Slug(parse_qs(urlsplit(url).query).get("fnId", [""])[0])
