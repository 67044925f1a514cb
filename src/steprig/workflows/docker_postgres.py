"""PostgreSQL servers in Docker, through testcontainers, whose reaper removes them when this process ends by a kill."""

import atexit
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from steprig.workflows.errors import DockerUnavailableError
from steprig.workflows.extras import needed
from steprig.workflows.postgres import PostgresDatabases

logger = logging.getLogger("steprig.workflows")

DEFAULT_IMAGE = "postgres:17"

_DEFAULT_HOST = "unix:///var/run/docker.sock"
_PORT = 5432
_PASSWORD = "steprig"  # noqa: S105 - of a server that only this process knows
_PATIENCE = 60.0
"""Seconds that a container may take to answer once it has started."""

_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
"""Nothing here has to outlive a crash of the machine."""

_MEMORY = "/steprig"
"""Where the container keeps its databases, in memory: to clone one takes several times as long on a disk. It is not
where the image has a volume, which would lie on the disk."""


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
        DockerUnavailableError: No Docker daemon answers, or it cannot run the image as a PostgreSQL server.
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
    docker = needed("docker", "docker", f"a PostgreSQL server of the image {image}")
    try:
        return _run(image, containers, docker)
    except (docker.errors.DockerException, OSError) as error:  # OSError: the daemon has gone meanwhile
        raise DockerUnavailableError(
            f"Docker could not run the image {image}; does `docker run {image}` work? Docker says: {error}"
        ) from error


def _run(image: str, containers: Any, docker: Any) -> PostgresDatabases:
    container = containers.DockerContainer(image).with_exposed_ports(_PORT).with_command(_FAST)
    container.with_env("POSTGRES_USER", "postgres").with_env("POSTGRES_PASSWORD", _PASSWORD)
    container.with_env("PGDATA", f"{_MEMORY}/data")
    container.with_kwargs(mounts=[docker.types.Mount(_MEMORY, None, type="tmpfs")])
    try:
        container.start()
        address = _address(container, image)
        databases = PostgresDatabases(address, is_own=True, container=container)
    except BaseException:
        with suppress(docker.errors.DockerException, OSError):  # what has gone wrong before says more
            container.stop()
        raise
    atexit.register(_stop, os.getpid(), databases, container)
    return databases


def _stop(pid: int, databases: PostgresDatabases, container: Any) -> None:
    if os.getpid() != pid:
        return
    databases.close()
    try:
        container.stop()
    except Exception as error:  # noqa: BLE001 - at the end of the process nobody is left to handle it
        logger.warning("the container of %s could not be removed: %s", container.image, error)


def _address(container: Any, image: str) -> str:
    """Of its server, which answers. The image's own set-up listens on no port, so that whoever gets through has
    reached the server itself."""
    psycopg = needed("psycopg", "postgres", "a PostgreSQL database")
    end = time.monotonic() + _PATIENCE
    while True:
        _check_runs(container, image)
        try:
            host, port = container.get_container_host_ip(), container.get_exposed_port(_PORT)
            address = f"postgresql://postgres:{_PASSWORD}@{host}:{port}/postgres"
            psycopg.connect(address, connect_timeout=5).close()
        except (psycopg.OperationalError, ConnectionError, StopIteration) as error:  # the last: it ends just now
            if time.monotonic() > end:
                raise DockerUnavailableError(
                    f"the image {image} has started, but no PostgreSQL answered within {_PATIENCE:g} s: {error}"
                ) from error
            time.sleep(0.05)
        else:
            return address


def _check_runs(container: Any, image: str) -> None:
    inside = container.get_wrapped_container()
    inside.reload()
    if inside.status in ("exited", "dead"):
        said = inside.logs(tail=20).decode(errors="replace").strip()
        raise DockerUnavailableError(f"the image {image} runs no PostgreSQL server: its container has ended. {said}")
