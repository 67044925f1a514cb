"""uvicorn's server with its two polled parts, the main loop and the shutdown, driven by events."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import uvicorn

from steprig.live.application import Application, resolve
from steprig.live.deadline import Deadline
from steprig.live.listening import end_listening
from steprig.live.observed import ObservedApp
from steprig.live.stacks import task_stack

_REFRESH = 1.0
"""Seconds between calls of `on_tick`, which keeps the `date` header right."""

_LIMIT_CHECK = 0.1
"""The same where `on_tick` also has to notice that `limit_max_requests` is reached."""

_STREAM_LINGER = 0.25
"""Seconds that a stream has, after it was told to end, before it is cut."""

_RESERVE, _LONGEST_RESERVE = 0.2, 1.0
"""The share of the shutdown's time, and the most seconds of it, that running requests may not
use up: it belongs to the lifespan shutdown and to what has to be cancelled."""

_T = TypeVar("_T")


class Connection(Protocol):
    """What a shutdown needs of any of uvicorn's protocols."""

    transport: asyncio.Transport

    def shutdown(self) -> None: ...


class _Occupants(set[_T]):
    """A set that tells when it changes; uvicorn keeps its connections and tasks in such."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._on_change = on_change

    def add(self, item: _T) -> None:
        super().add(item)
        self._on_change()

    def discard(self, item: object) -> None:
        super().discard(item)
        self._on_change()

    def remove(self, item: _T) -> None:
        super().remove(item)
        self._on_change()


class AppConfig(uvicorn.Config):
    """uvicorn's configuration for an application that was resolved here, not guessed at."""

    def __init__(self, app: Application | str, *, factory: bool, **options: Any) -> None:
        # Logging belongs to the process; `uvicorn_logs` takes care of it.
        super().__init__(app, log_config=None, log_level=None, **options)
        self._declared_factory = factory
        self._asked_interface = self.interface
        self.executor: object = None
        self.observed: ObservedApp

    def load_app(self) -> Any:
        """Import or make the application, in the server's loop, as an ASGI 3 one."""
        app = resolve(self.app, self._asked_interface, factory=self._declared_factory)
        self.executor = getattr(app, "executor", None) if self._asked_interface == "wsgi" else None
        self.interface = "asgi3"

        # uvicorn calls what it gets without arguments, to see whether it is a factory.
        return lambda scope, receive, send: app(scope, receive, send)

    def load(self) -> None:
        """Load everything, and put the observer around the application."""
        super().load()
        if self._asked_interface == "wsgi":
            self.ws_protocol_class = None
        self.observed = ObservedApp(self.loaded_app)
        self.loaded_app = self.observed


class ServingServer(uvicorn.Server):
    """Serves until it is told to stop, and says when it is ready.

    Args:
        config: of which `load` is called in the loop.
        on_ready: called in the loop once the application serves and its headers are right.
        shutdown_timeout: seconds for a shutdown that begins without `stop`.
    """

    def __init__(self, config: AppConfig, on_ready: Callable[[], None], shutdown_timeout: float) -> None:
        super().__init__(config)
        self._app_config = config
        self._on_ready = on_ready
        self._shutdown_timeout = shutdown_timeout
        self._stop = asyncio.Event()
        self._change = asyncio.Event()
        self.server_state.connections = _Occupants(self._change.set)
        self.server_state.tasks = _Occupants(self._change.set)
        self._cancelled: set[asyncio.Task[Any]] = set()
        self.servers = []
        self.deadline: Deadline | None = None
        self.serving = False
        self.hung_lifespan: str | None = None

    @property
    def has_refused_startup(self) -> bool:
        """Whether uvicorn has given up because the application's lifespan failed to start."""
        lifespan = getattr(self, "lifespan", None)
        return lifespan is not None and lifespan.should_exit and not self.started

    @property
    def lifespan_error(self) -> BaseException | None:
        """What the lifespan raised, unless that only meant that the application has none."""
        observed: ObservedApp | None = getattr(self._app_config, "observed", None)
        if observed is None or not (observed.startup_complete or self.has_refused_startup):
            return None
        return observed.lifespan_error

    def stop(self, deadline: Deadline) -> None:
        """Begin the shutdown, to be over by the deadline; call in the loop."""
        self.deadline = self.deadline or deadline
        self._stop.set()

    async def main_loop(self) -> None:
        """Replaces a loop that ticks every 0.1 s and would notice a stop no sooner."""
        # The tick is what fills the default headers: without it a first response has none.
        leaving = await self.on_tick(0)
        self.serving = True
        self._on_ready()
        while not leaving and not await self._stopped_within(
            _REFRESH if self.config.limit_max_requests is None else _LIMIT_CHECK
        ):
            leaving = await self.on_tick(0)
        self.serving = False

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stop.wait()
        except TimeoutError:
            return False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but an application that has started is told to end if the bind fails."""
        try:
            await super().startup(sockets)
        except OSError:
            await self._end_lifespan(Deadline.after(self._shutdown_timeout))
            raise

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Replaces a shutdown that sleeps, polls, and waits for a lifespan without a limit.

        Requests may finish within the grace; streams are told to end, then cut; connections that
        have nothing left to send are dropped; then comes the lifespan's turn.
        """
        deadline = self.deadline = self.deadline or Deadline.after(self._shutdown_timeout)
        await self._stop_listening(sockets or [])
        reserve = min(_LONGEST_RESERVE, _RESERVE * deadline.remaining)
        await self._drain(self._grace(deadline.earlier(reserve)))
        await self._cut(Deadline.after(reserve / 4))
        await self._end_lifespan(deadline.earlier(reserve / 4))

    async def _stop_listening(self, sockets: Iterable[socket.socket]) -> None:
        await end_listening(self.servers)
        for sock in sockets:
            sock.close()

    def _grace(self, latest: Deadline) -> Deadline:
        asked = self.config.timeout_graceful_shutdown
        return latest if asked is None else min(latest, Deadline.after(asked), key=lambda d: d.at)

    async def _drain(self, grace: Deadline) -> None:
        """Wait for requests to finish, as long as any is running and the grace lasts."""
        linger = Deadline.after(min(_STREAM_LINGER, grace.remaining))
        asked: set[Connection] = set()
        while True:
            # Some may have been accepted in the last moment, and are not there at first.
            for connection in set(self._connections()) - asked:
                asked.add(connection)
                connection.shutdown()
            # Asked once: between two looks at the clock it might pass, and no one cut the streams.
            lingering = not linger.passed
            if not lingering:
                self._cancel(self._app_config.observed.streams)
            self._drop_finished(patient=lingering)
            if not self._is_occupied() or grace.passed:
                return
            await self._change_by(linger if lingering else grace)

    def _is_occupied(self) -> bool:
        return bool(self.server_state.tasks or self.server_state.connections)

    async def _change_by(self, deadline: Deadline) -> None:
        """Wait until a request or a connection comes or goes, or the deadline passes."""
        self._change.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline.remaining):
                await self._change.wait()

    def _drop_finished(self, *, patient: bool) -> None:
        """Drop closed connections with nothing left to send.

        A TLS connection stays until the client has confirmed the close, which an idle client does
        not do: it would hold the stop for the whole grace.
        """
        for connection in self._connections():
            transport = connection.transport
            if transport.is_closing() and _unsent(transport, patient=patient) == 0:
                transport.abort()

    def _cancel(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Cancel each task once: a second time would hit what it does to clean up."""
        observed = self._app_config.observed
        observed.cutting, observed.hang_up = True, self._hang_up
        for task in set(tasks) - self._cancelled:
            self._cancelled.add(task)
            task.cancel("the server is shutting down")

    def _hang_up(self, scope: Any) -> None:
        for connection in self._connections():
            if _scope_of(connection) is scope:
                _close(connection.transport)

    async def _cut(self, deadline: Deadline) -> None:
        """End whatever is left after the grace: requests first, as they may still answer."""
        self._cancel(self.server_state.tasks)
        while self.server_state.tasks and not deadline.passed:
            await self._change_by(deadline)
        for connection in self._connections():
            connection.transport.abort()
        # A transport calls `connection_lost` in the loop's next turn.
        await asyncio.sleep(0)

    async def _end_lifespan(self, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.remaining):
                await self.lifespan.shutdown()
        except TimeoutError:
            task = self._app_config.observed.lifespan_task
            self.hung_lifespan = task_stack(task) if task is not None else ""

    def _connections(self) -> list[Connection]:
        return list(self.server_state.connections)


def _scope_of(connection: Connection) -> object:
    carrier = getattr(connection, "cycle", None) or connection
    return getattr(carrier, "scope", None)


def _close(transport: asyncio.Transport) -> None:
    """Close, but do not wait for a client that does not read."""
    if transport.get_write_buffer_size() == 0 and transport.get_extra_info("sslcontext") is None:
        transport.close()
    else:
        transport.abort()


def _unsent(transport: asyncio.Transport, *, patient: bool) -> int:
    """Bytes that would be lost by an abort.

    A TLS transport does not count what waits in the one below it. asyncio's lets one look there;
    uvloop's does not, so that only patience tells.
    """
    unsent = transport.get_write_buffer_size()
    if unsent or transport.get_extra_info("sslcontext") is None:
        return unsent
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    if below is None:
        return 1 if patient else 0
    size: int = below.get_write_buffer_size()
    return size
