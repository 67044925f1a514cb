"""Calls functions at a Lambda endpoint: at SAM's local one, or at another server such as this."""

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from steprig.aws import records as r
from steprig.aws.arns import LATEST
from steprig.aws.completions import invoke_timeout
from steprig.aws.hosting.invocation_logs import InvocationLogs, execution_key
from steprig.aws.hosting.replies import Reply, outcome_of, plain_end_of
from steprig.aws.http.wire import invocation_event
from steprig.aws.invocations import Failed, Outcome, timed_out
from steprig.aws.invoker import Caller, DurableCall, PlainCall, Service
from steprig.aws.model import ErrorObject
from steprig.kernel import Clock

_CONNECT_TIMEOUT = 5.0
_MARGIN = 1.0
"""Seconds past a call's own limit, which is the engine's to keep."""
_UNREACHABLE = "Lambda.Unreachable"


class LambdaEndpoint:
    """Calls functions by the Invoke API, on the loop on which it is opened. `invoke` and `call` from any thread.

    Args:
        clock: The engine's, which may be ahead of the machine's.
        logs: Takes what invocations have logged, where somebody wants it and the endpoint tells.
        url: Where functions are called that have no endpoint of their own; None for nowhere.
    """

    def __init__(self, clock: Clock, logs: InvocationLogs, url: str | None = None) -> None:
        self._clock = clock
        self._logs = logs
        self._urls: dict[str | None, str] = {} if url is None else {None: url}
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def use(self, url: str, function: str | None = None) -> None:
        """Have functions, or one, called at this endpoint from now on."""
        self._urls[function] = url

    def serves(self, function: str) -> bool:
        """Whether there is an endpoint for a function. It may not have the function all the same."""
        return function in self._urls or None in self._urls

    async def open(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT)
        connector = aiohttp.TCPConnector(limit=0)  # a function may wait for one that it has invoked
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)

    async def close(self) -> None:
        """Cut off the calls that are being made."""
        self._loop = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def invoke(self, call: DurableCall, service: Service, report: Callable[[Outcome], None]) -> None:
        """See `Invoker.invoke`."""

        async def run() -> None:
            event = invocation_event(call, self._clock.ahead())
            reply = await self._logged(execution_key(call.arn), str(call.invocation), call.caller, event)
            report(_outcome(reply, call.caller))

        self._begin(run)

    def call(self, call: PlainCall, report: Callable[[r.ExecutionEnd], None]) -> None:
        """See `Invoker.call`."""

        async def run() -> None:
            reply = await self._logged(call.request_id, call.request_id, call.caller, call.payload.encode())
            report(_end(reply, call.caller))

        self._begin(run)

    def _begin(self, run: Callable[[], Coroutine[None, None, None]]) -> None:
        def on_loop() -> None:
            task = asyncio.create_task(run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(on_loop)

    async def _logged(self, key: str, request_id: str, caller: Caller, event: bytes) -> "Reply | _NoReply":
        """The reply, with its log where it is wanted: the endpoint's, or else that there was an invocation."""
        if not self._logs.is_wanted(key):
            return await self._post(caller, event)
        began = time.perf_counter()
        reply = await self._post(caller, event, {"X-Amz-Log-Type": "Tail"})
        if isinstance(reply, Reply) and reply.log is not None:
            self._logs.add(key, b64decode(reply.log).decode(errors="replace"))
        elif (log := self._logs.open(key, request_id, caller.version)) is not None:
            if isinstance(reply, Reply) or reply.error is not None:
                log.end(since=began)
            else:
                log.time_out(caller.timeout)
        return reply

    async def _post(
        self, caller: Caller, event: bytes, more: Mapping[str, str] = MappingProxyType({})
    ) -> "Reply | _NoReply":
        assert self._session is not None, "it is open"
        base = self._urls.get(caller.function) or self._urls[None]
        url = f"{base.rstrip('/')}/2015-03-31/functions/{quote(_name(caller), safe='')}/invocations"
        try:
            async with asyncio.timeout(caller.timeout + _MARGIN):
                headers = {**_headers(caller), **more}
                async with self._session.post(URL(url, encoded=True), data=event, headers=headers) as response:
                    told, body = response.headers, await response.read()
                    is_error, log = "X-Amz-Function-Error" in told, told.get("X-Amz-Log-Result")
                    return Reply(response.status, body, is_error, told.get("x-amzn-ErrorType"), log)
        except TimeoutError:
            return _NoReply(None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            message = f"cannot call {caller.function} at {base}: {error or type(error).__name__}"
            return _NoReply(ErrorObject(error_type=_UNREACHABLE, error_message=message))


def _name(caller: Caller) -> str:
    """The function, with the version that is asked for."""
    is_whole = ":" in caller.function or caller.version == LATEST
    return caller.function if is_whole else f"{caller.function}:{caller.version}"


class _NoReply(msgspec.Struct, frozen=True):
    """Nothing came back: for this reason, or for nothing but time."""

    error: ErrorObject | None


def _outcome(reply: Reply | _NoReply, caller: Caller) -> Outcome:
    if isinstance(reply, Reply):
        return outcome_of(reply, caller.function)
    return timed_out(caller.timeout) if reply.error is None else Failed(reply.error)


def _end(reply: Reply | _NoReply, caller: Caller) -> r.ExecutionEnd:
    if isinstance(reply, Reply):
        return plain_end_of(reply)
    if reply.error is None:
        return r.ExecutionTimedOut(error=invoke_timeout(caller.timeout))
    return r.ExecutionFailed(error=reply.error)


def _headers(caller: Caller) -> Mapping[str, str]:
    client = caller.client_context
    headers = {
        "Content-Type": "application/json",
        "X-Amz-Invocation-Type": "RequestResponse",
        "X-Dex-Handler-Invoke": "true",
        "X-Amz-Client-Context": None if client is None else b64encode(client.encode()).decode(),
        "X-Amz-Tenant-Id": caller.tenant_id,
        "X-Amzn-Trace-Id": caller.trace_id,
    }
    return {name: value for name, value in headers.items() if value is not None}
