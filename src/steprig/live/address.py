"""Where a server listens: the socket that holds the place, and the URLs that lead there."""

import contextlib
import socket
import threading
from pathlib import Path

from steprig.live.errors import ServerStartupError
from steprig.live.sockets import answers_at, connectable, is_address, listen, netloc


class Address:
    """A server's place: a host and port, or the path of a unix socket.

    The port is bound at the first look at it and held from then on; a server that starts takes
    the socket over.

    Args:
        host: address or name to bind.
        port: the port asked for; None or 0 for any free one.
        strict: whether another port is no substitute for the one asked for.
        uds: path of a unix socket, which takes the place of host and port.
        tls: whether URLs are https and wss.
        backlog: connections that the kernel accepts before the server does.
    """

    def __init__(self, host: str, port: int | None, *, strict: bool, uds: str | None, tls: bool, backlog: int) -> None:
        self.host = host
        self.uds = uds
        self._asked = port or 0
        self._strict = strict
        self._tls = tls
        self._backlog = backlog
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self._bound: tuple[str, int] | None = None
        self._inode: int | None = None

    @property
    def port(self) -> int:
        """The port that is bound, or that was bound last; binds one if there was none yet."""
        return self._where()[1]

    @property
    def fell_back(self) -> bool:
        """Whether the port asked for was taken, and another one is in use."""
        return bool(self._asked) and self._bound is not None and self._bound[1] != self._asked

    def base_url(self, scheme: str) -> str:
        """`scheme://host:port`; the scheme gains its `s` under TLS."""
        scheme += "s" if self._tls else ""
        if self.uds is not None:
            return f"{scheme}://localhost"
        address, port = self._where()
        # A certificate is for the name. Everywhere else the address that was bound saves clients
        # from trying the name's other addresses first.
        host = self.host if self._tls and self.host and not is_address(self.host) else connectable(address)
        return f"{scheme}://{netloc(host, port)}"

    def take(self) -> list[socket.socket] | None:
        """The listening sockets, now the taker's to close; None where uvicorn has to bind.

        Raises:
            ServerStartupError: the port or the path is in use, or the host is not this machine's.
        """
        if self.uds is not None:
            if answers_at(self.uds):
                raise ServerStartupError(f"a server is already listening on the unix socket {self.uds}")
            return None
        with self._lock:
            if self._held is None:
                self._held, self._bound = self._bind(self._asked, self._strict)
            taken, self._held = self._held, None
        return [taken]

    def hold_again(self) -> None:
        """Bind the same port as last time, and no other.

        Raises:
            ServerStartupError: someone has taken it in the meantime.
        """
        with self._lock:
            if self.uds is None and self._bound is not None and self._held is None:
                self._held, self._bound = self._bind(self._bound[1], strict=True)

    def release(self) -> None:
        """Give up a socket that is held for a server that does not come."""
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None

    def note_socket_file(self) -> None:
        """Remember which file the server has made, as only that one is its own to remove."""
        if self.uds is not None:
            self._inode = Path(self.uds).stat().st_ino

    def remove_socket_file(self) -> None:
        """Remove the unix socket's file, which uvicorn and, before 3.13, asyncio leave behind."""
        if self.uds is not None and self._inode is not None:
            file = Path(self.uds)
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_ino == self._inode:
                    file.unlink()
            self._inode = None

    def __str__(self) -> str:
        if self.uds is not None:
            return self.uds
        return netloc(self.host, self._bound[1] if self._bound else self._asked)

    def _where(self) -> tuple[str, int]:
        if self.uds is not None:
            raise RuntimeError(f"the server listens on the unix socket {self.uds} and has no port")
        with self._lock:
            if self._bound is None:
                self._held, self._bound = self._bind(self._asked, self._strict)
            return self._bound

    def _bind(self, port: int, strict: bool) -> tuple[socket.socket, tuple[str, int]]:
        try:
            sock = listen(self.host, port, self._backlog)
        except OSError as error:
            if port and not strict:
                return self._bind(0, strict)
            place = f"port {port} of {self.host}" if port else f"a port of {self.host}"
            raise ServerStartupError(f"cannot listen on {place}: {error}") from error
        return sock, sock.getsockname()[:2]
