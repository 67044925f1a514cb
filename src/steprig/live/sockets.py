"""Listening sockets that hold their port from the moment they exist, and the URLs to reach them."""

import contextlib
import ipaddress
import socket
import sys
from typing import Any

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def listen(host: str, port: int, backlog: int = 2048) -> socket.socket:
    """A TCP socket that already listens, so that no one else can get its port.

    Args:
        host: address or name to bind; a name is resolved once and its first address is bound.
        port: port to bind, 0 for any free one.
        backlog: connections that the kernel accepts before the server does.

    Raises:
        OSError: the port is taken or the host is not one of this machine.
    """
    family, address = _resolve(host, port)
    # asyncio sets TCP_NODELAY only where the protocol is named. Without it, each response on a
    # kept-alive connection waits some 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Permits a restart on the same port while old connections are in TIME_WAIT. On Windows
        # the option means that others may steal the port, and is not needed.
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not _is_wildcard(host):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        # Bound alone, the port could still be bound by another socket with SO_REUSEADDR.
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def connectable(host: str) -> str:
    """The address by which clients on this machine reach a server bound to `host`."""
    return _WILDCARDS.get(host, host)


def netloc(host: str, port: int) -> str:
    """`host:port` as URLs write it: IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_address(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def accepts(host: str, port: int, timeout: float) -> bool:
    """Whether something accepts connections there, found out within `timeout` seconds."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout):
        return True
    return False


def answers_at(path: str) -> bool:
    """Whether a server is listening on the unix socket at `path`."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        sock.connect(path)
        return True
    return False


def _is_wildcard(host: str) -> bool:
    return host in _WILDCARDS


def _resolve(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # `localhost` may list ::1 first; every client tries 127.0.0.1 sooner or later.
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address
