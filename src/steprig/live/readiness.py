"""Waiting until a server answers: by accepting on a port, or by an HTTP response."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from steprig.live.deadline import Deadline
from steprig.live.sockets import accepts, netloc

Attempt = Callable[[float], str | None]
"""One try within a number of seconds: None if ready, else what was seen instead."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1
"""Seconds between tries. Nothing reports that another process has begun to listen, so it has to
be asked; a pause that grows keeps a slow start from being slowed further."""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A request whose answer means that a server is ready.

    Args:
        url: where to send it; under https any certificate is accepted, as the one who asks has
            started the server.
        method: the HTTP method; no body is sent.
        status: the status that means ready; None for any below 400.
    """

    url: str
    method: str = "GET"
    status: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the URL leads to."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)

    def attempt(self, timeout: float, uds: str | None = None) -> str | None:
        """Send the request once.

        Args:
            timeout: seconds to wait for the answer.
            uds: path of a unix socket to connect to in place of the URL's host and port.

        Returns:
            None if the server is ready, else what was seen instead.
        """
        try:
            status, reason = self._send(timeout, uds)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        ready = status < http.HTTPStatus.BAD_REQUEST if self.status is None else status == self.status
        return None if ready else f"status {status} {reason}"

    def _send(self, timeout: float, uds: str | None) -> tuple[int, str]:
        parts = urlsplit(self.url)
        connection = self._connection(timeout)
        try:
            if uds is not None:
                connection.sock = _connect_unix(uds, timeout)
            connection.request(self.method, f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
            response = connection.getresponse()
            return response.status, response.reason
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self.address
        if urlsplit(self.url).scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True, slots=True)
class PortProbe:
    """A port that accepts connections."""

    host: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return self.host, self.port

    def attempt(self, timeout: float) -> str | None:
        """Connect once within `timeout` seconds; None if accepted, else what was seen instead."""
        return None if accepts(self.host, self.port, timeout) else "nothing accepts connections there"

    def __str__(self) -> str:
        return f"a connection to {netloc(self.host, self.port)}"


def wait_until_ready(attempt: Attempt, deadline: Deadline, ended: threading.Event) -> str | None:
    """Try until ready.

    Args:
        attempt: one try, given the seconds it may take.
        deadline: when to give up.
        ended: set when the server is gone, which ends the wait at once.

    Returns:
        None once ready, else what the last try saw.
    """
    pause = _FIRST_PAUSE
    while True:
        seen = attempt(max(deadline.remaining, _FIRST_PAUSE))
        if seen is None or deadline.passed or ended.wait(min(pause, deadline.remaining)):
            return seen
        pause = min(pause * 2, _LONGEST_PAUSE)


def _connect_unix(path: str, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock
