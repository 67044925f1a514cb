"""PostgreSQL servers in Docker, through testcontainers, whose reaper removes them when this process ends by a kill."""

import atexit
import os
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from steprig.workflows.errors import DockerUnavailableError
from steprig.workflows.extras import needed
from steprig.workflows.postgres import PostgresDatabases

DEFAULT_IMAGE = "postgres:17"

_DEFAULT_HOST = "unix:///var/run/docker.sock"
_PORT = 5432
_PASSWORD = "steprig"  # noqa: S105 - of a server that only this process knows
_PATIENCE = 60.0
"""Seconds that a container may take to answer once it has started."""

_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
"""Nothing here has to outlive a crash of the machine."""


def is_reachable() -> bool:
    """Whether a Docker daemon listens where DOCKER_HOST says, or where it usually does."""
    host = urlsplit(os.environ.get("DOCKER_HOST") or _DEFAULT_HOST)
    try:
        if host.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(host.path)
        else:
            socket.create_connection((host.hostname or "localhost", host.port or 2375), 1.0).close()
    except (OSError, AttributeError):  # where there are no Unix sockets
        return False
    return True


HAS_DOCKER = is_reachable()
"""Whether a Docker daemon was there when this was first looked at."""

_started: dict[tuple[int, str], PostgresDatabases] = {}
_lock = threading.Lock()


def in_docker(image: str) -> PostgresDatabases:
    """The server of an image, started when it is first asked for, and ended with the process.

    Raises:
        DockerUnavailableError: No Docker daemon answers.
        ImportError: testcontainers is not installed; names the extra.
    """
    key = (os.getpid(), image)  # a forked process has servers of its own
    with _lock:
        if key not in _started:
            _started[key] = _start(image)
        return _started[key]


def _start(image: str) -> PostgresDatabases:
    containers = needed("testcontainers.core.container", "docker", f"a PostgreSQL server of the image {image}")
    if not is_reachable():
        where = os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
        raise DockerUnavailableError(
            f"no Docker daemon answers at {where} to run the image {image}: start it, or leave the image out for "
            "PostgreSQL from the wheel (pip install 'steprig[postgres]'), or give the url of a server"
        )
    container = containers.DockerContainer(image).with_exposed_ports(_PORT).with_command(_FAST)
    container.with_env("POSTGRES_USER", "postgres").with_env("POSTGRES_PASSWORD", _PASSWORD)
    container.start()
    try:
        host, port = container.get_container_host_ip(), container.get_exposed_port(_PORT)
        address = f"postgresql://postgres:{_PASSWORD}@{host}:{port}/postgres"
        _wait_for(address, image)
        databases = PostgresDatabases(address, is_own=True, container=container)
    except BaseException:
        container.stop()
        raise
    atexit.register(_stop, os.getpid(), databases, container)
    return databases


def _stop(pid: int, databases: PostgresDatabases, container: Any) -> None:
    if os.getpid() == pid:
        databases.close()
        container.stop()


def _wait_for(address: str, image: str) -> None:
    """The image's own set-up listens on no port, so that whoever gets through has reached the server itself."""
    psycopg = needed("psycopg", "postgres", "a PostgreSQL database")
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > end:
                raise DockerUnavailableError(
                    f"the image {image} has started, but no PostgreSQL answered within {_PATIENCE:g} s: {error}"
                ) from error
            time.sleep(0.05)
        else:
            return
