"""A uvicorn server in a thread of its own, for tests: ready when `start` returns, gone after `stop`."""

import asyncio
import threading
import warnings
from functools import partial
from typing import Self

from steprig.live.address import Address
from steprig.live.application import Application, check
from steprig.live.at_exit import forget, stop_at_exit
from steprig.live.deadline import Deadline
from steprig.live.log_lines import LogLines
from steprig.live.managed import Managed
from steprig.live.options import check_options, check_values, level_number
from steprig.live.outcome import why_not_started, why_not_stopped
from steprig.live.readiness import HttpProbe, wait_until_ready
from steprig.live.serving import AppConfig
from steprig.live.thread import ServerThread
from steprig.live.uvicorn_logs import ServerLog

_THREAD_MARGIN = 0.5
"""Seconds past the deadline after which a thread that has not ended is known to be stuck."""

_CLEANUP = 0.5
"""Seconds that a start-up which has failed gets to clean up."""


class UvicornTestServer(Managed):
    """A real server on a real socket, run by uvicorn in a thread of its own.

    `start` returns when the application serves, `stop` when nothing is left: no thread, socket,
    loop or log handler. Both wait for events and are over in about a millisecond. Any thread may
    call them, and one server may be started again after it was stopped.

        with UvicornTestServer(app) as server:
            response = httpx.get(server.url("/health"))

    The socket is bound when `port` or a URL is first read, or at `start`, whichever comes first,
    and listens from then on: nobody else can take the port. So a server's URL may be given to its
    own application before it starts. `stop` releases it.

    At `stop` running requests may finish. Their grace is `shutdown_timeout` less a fifth of it
    (at most one second), kept for the lifespan shutdown. Then they are cancelled, and answered
    with 503 if they have not begun to answer. Server-sent events and WebSockets are cut a quarter
    of a second after the stop has begun, which is no error. Other responses that never end use up
    the grace.

    Args:
        app: an ASGI application; a factory of one, without arguments; an import string
            ``"module:attribute"``; or a WSGI application, with ``interface="wsgi"``.
        host: address or name to bind.
        port: port to bind; None for any free one.
        strict_port: whether a `port` in use is an error. Otherwise a free one takes its place;
            `port_fell_back` tells.
        startup_timeout: seconds until a start is given up.
        shutdown_timeout: seconds within which all of a stop has to be over.
        ready_path: a path that has to answer GET with a status below 400 before `start` returns.
        lifespan: uvicorn's option: "auto", "on" or "off".
        log_level: the least severe level to be found in `logs`; "info" adds a line per request.
        **uvicorn_options: any other option of `uvicorn.Config`: `uds`, `ssl_certfile`, `headers`, ...

    Raises:
        TypeError: `app` is nothing that can be served, or an option does not exist or make sense.
        ValueError: an option has a value that uvicorn does not know.
    """

    def __init__(
        self,
        app: Application | str,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        strict_port: bool = False,
        startup_timeout: float = 10.0,
        shutdown_timeout: float = 5.0,
        ready_path: str | None = None,
        lifespan: str = "auto",
        log_level: str | int = "warning",
        **uvicorn_options: object,
    ) -> None:
        options = dict(uvicorn_options)
        check_options(options)
        check_values(port, lifespan, options.get("interface", "auto"))
        factory = bool(options.pop("factory", False))
        check(app, str(options.get("interface", "auto")), factory=factory)
        self._log = ServerLog(level_number(log_level), access=bool(options.pop("access_log", True)))
        self._make_config = partial(
            AppConfig, app, factory=factory, host=host, port=port or 0, lifespan=lifespan, **options
        )
        self._address = _address(host, port, strict_port, options)
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self._ready_path = ready_path
        self._lock = threading.RLock()
        self._life: ServerThread | None = None

    def start(self) -> Self:
        """Start serving, and return once the application is ready.

        Returns:
            The server itself.

        Raises:
            ServerStartupError: it did not become ready; nothing of it is left running.
            RuntimeError: it is running already.
        """
        deadline = Deadline.after(self._startup_timeout)
        life = self._begin()
        try:
            life.start()
            life.settled.wait(deadline.remaining)
            if not life.ready or life.is_stopping:
                raise why_not_started(life, self._startup_timeout, self.logs)
            self._address.note_socket_file()
            self._await_ready_path(life, deadline)
        except BaseException:
            # An application that is up, but not ready, ends in the usual way.
            deadline = Deadline.after(self._shutdown_timeout if life.ready else _CLEANUP)
            life.stop(deadline)
            if not life.join(deadline.remaining + _THREAD_MARGIN):
                life.refuse_clients()
            self._forget(life)
            raise
        return self

    def stop(self) -> None:
        """Stop serving, and return once nothing of the server is left.

        A server that does not run is left as it is. Of several callers at once, all wait, and the
        first to see the end is told of what went wrong.

        Raises:
            ServerShutdownError: the lifespan's shutdown failed or hung, the server had ended by a
                crash, or something of it cannot be ended.
            RuntimeError: called in the server's own event loop, which cannot wait for its own end.
        """
        life = self._life
        if life is None:
            self._address.release()
            return
        if life.is_foreign:
            self._life = None
            return
        if life.is_current:
            raise RuntimeError("stop() was called in the server's own loop: call it from another thread")
        deadline = Deadline.after(self._shutdown_timeout)
        life.stop(deadline)
        life.join(deadline.remaining + _THREAD_MARGIN)
        if self._forget(life):
            problem = why_not_stopped(life, self._shutdown_timeout, self.logs)
            if problem is not None:
                raise problem

    def restart(self) -> Self:
        """Stop, and start again on the same port.

        Returns:
            The server itself.

        Raises:
            ServerShutdownError: as for `stop`.
            ServerStartupError: as for `start`, or someone else has taken the port in between.
        """
        self.stop()
        self._address.hold_again()
        return self.start()

    @property
    def base_url(self) -> str:
        """``http://host:port`` or ``https://...``, without a slash at the end.

        A wildcard host becomes the loopback address, a name the address it was resolved to
        (except under TLS, where the certificate needs the name). For a unix socket it is
        ``http://localhost``, to be used with a client that connects to the socket.
        """
        return self._address.base_url("http")

    @property
    def ws_url(self) -> str:
        """As `base_url`, with ``ws://`` or ``wss://``."""
        return self._address.base_url("ws")

    def url(self, path: str = "/") -> str:
        """The URL of a path; a query may follow it."""
        return f"{self.base_url}/{path.removeprefix('/')}"

    @property
    def host(self) -> str:
        """The host to bind, as given."""
        return self._address.host

    @property
    def port(self) -> int:
        """The port that the server listens on, or did last; binds one if there was none yet.

        Raises:
            ServerStartupError: no port can be bound.
            RuntimeError: the server listens on a unix socket.
        """
        return self._address.port

    @property
    def port_fell_back(self) -> bool:
        """Whether the port asked for was in use and a free one has taken its place."""
        return self._address.fell_back

    @property
    def uds(self) -> str | None:
        """Path of the unix socket, if the server listens on one."""
        return self._address.uds

    @property
    def is_running(self) -> bool:
        """Whether requests are being served."""
        life = self._life
        return life is not None and life.is_serving

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that serves; use it with `asyncio.run_coroutine_threadsafe`.

        Raises:
            RuntimeError: the server is not running.
        """
        loop = self._life.loop if self._life is not None else None
        if loop is None or not self.is_running:
            raise RuntimeError("the server is not running, so it has no loop")
        return loop

    @property
    def logs(self) -> LogLines:
        """What this server has logged so far, over all its starts; kept after `stop`."""
        return self._log.buffer.read()

    def __del__(self) -> None:
        life: ServerThread | None = getattr(self, "_life", None)
        if life is not None and not life.is_foreign and not life.ended.is_set():
            # Not waited for: a finaliser may run in any thread, even in the server's own.
            life.stop(Deadline.after(self._shutdown_timeout))
            forget(life)
            warnings.warn(f"{self!r} was dropped without stop()", ResourceWarning, stacklevel=2)
        elif hasattr(self, "_address"):
            self._address.release()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<{type(self).__name__} {state} at {self._address}>"

    def _begin(self) -> ServerThread:
        with self._lock:
            if self._life is not None and not self._life.is_foreign:
                if not self._life.is_over:
                    raise RuntimeError("the server is running already; restart() stops it first")
                self.stop()
            sockets = self._address.take()
            name = f"UvicornTestServer {self._address}"
            life = ServerThread(name, self._make_config, sockets, self._log, self._shutdown_timeout)
            self._life = life
            stop_at_exit(life, partial(_stop_life, life, self._shutdown_timeout))
            return life

    def _await_ready_path(self, life: ServerThread, deadline: Deadline) -> None:
        if self._ready_path is None:
            return
        probe = HttpProbe(self.url(self._ready_path))
        seen = wait_until_ready(partial(probe.attempt, uds=self.uds), deadline, life.ended)
        if seen is not None:
            awaited = f"{probe} was to answer with a status below 400; last seen: {seen}"
            raise why_not_started(life, self._startup_timeout, self.logs, awaited)

    def _forget(self, life: ServerThread) -> bool:
        """Let go of a life that is over; whether it was this call that did."""
        with self._lock:
            if self._life is not life:
                return False
            self._life = None
            forget(life)
            self._address.remove_socket_file()
            return True


def _address(host: str, port: int | None, strict: bool, options: dict[str, object]) -> Address:
    uds, backlog = options.get("uds"), options.get("backlog", 2048)
    tls = any(options.get(name) for name in ("ssl_keyfile", "ssl_certfile", "ssl_context_factory"))
    if not isinstance(backlog, int):
        raise TypeError(f"backlog has to be a number of connections, got {backlog!r}")
    return Address(host, port, strict=strict, uds=str(uds) if uds is not None else None, tls=tls, backlog=backlog)


def _stop_life(life: ServerThread, timeout: float) -> None:
    """What `stop` does, for an interpreter that exits: there is no one to tell of an error."""
    if not life.is_foreign:
        deadline = Deadline.after(timeout)
        life.stop(deadline)
        life.join(deadline.remaining + _THREAD_MARGIN)
