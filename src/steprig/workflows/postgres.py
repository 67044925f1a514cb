"""Databases on a PostgreSQL server: cloned from templates, dropped with force."""

import atexit
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from steprig.workflows.database import DatabaseFixture
from steprig.workflows.extras import needed
from steprig.workflows.postgres_server import PostgresServer

_LONGEST_NAME = 63
"""Bytes of an identifier that PostgreSQL keeps."""


class PostgresDatabases:
    """Makes and drops databases on one server. From any thread.

    Args:
        address: Of the server and a role that may create databases; its own database is left alone.
        is_own: Whether the server is this process's own, so that roles may be made on it.
        container: What it runs in, for who wants to know.
    """

    def __init__(self, address: str, *, is_own: bool = False, container: object = None) -> None:
        self._psycopg = needed("psycopg", "postgres", "a PostgreSQL database")
        self._address = address
        self._is_own = is_own
        self._container = container
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._templates: dict[str, str] = {}
        self._passwords: dict[str, str] = {}
        self._idle: list[Any] = []

    def create(self, prefix: str, user: str, password: str, schema: str | None) -> DatabaseFixture:
        """Clone a database; see `AsyncWorkflowFixtures.create_test_database`."""
        name = _unique(prefix)
        with self._administration() as connection:
            server = connection.info  # with what the address leaves to the environment and to PostgreSQL's defaults
            host, port = server.host, server.port
            if self._is_own:
                self._ensure_role(connection, user, password)
            else:
                user, password = server.user, server.password
            template = "template0" if schema is None else self._template(connection, schema, user)
            self._clone(connection, name, user, template)
        options = self._psycopg.conninfo.conninfo_to_dict(self._address)
        return DatabaseFixture(
            connection_string=_url(host, port, name, user, password, options),
            host=host,
            port=port,
            database=name,
            user=user,
            password=password,
            container=self._container,
            drop=lambda: self._drop(name, template if not self._is_own and schema is not None else None),
        )

    def close(self) -> None:
        """Let go of the server. Its databases stay. A forked process leaves alone what its parent has opened."""
        with self._lock:
            idle, self._idle = self._idle, []
        if os.getpid() == self._pid:
            for connection in idle:
                connection.close()

    def _drop(self, *names: str | None) -> None:
        with self._administration() as connection:
            for name in filter(None, names):
                self._run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _template(self, connection: Any, schema: str, user: str) -> str:
        """The database in which the schema has been run, made when it is first asked for."""
        key = hashlib.sha256(f"{user}\0{schema}".encode()).hexdigest()
        with self._lock:
            if key not in self._templates:
                name = _unique("template")
                self._clone(connection, name, user, "template0")
                try:
                    self._run_schema(name, user, schema)
                except BaseException:
                    self._run(connection, "DROP DATABASE {} WITH (FORCE)", name)
                    raise
                self._templates[key] = name
            return self._templates[key]

    def _run_schema(self, name: str, user: str, schema: str) -> None:
        with self._connect(dbname=name) as connection:
            if self._is_own:
                self._run(connection, "SET SESSION AUTHORIZATION {}", user)
            connection.execute(schema)

    def _clone(self, connection: Any, name: str, user: str, template: str) -> None:
        how = _strategy(connection.info.server_version, is_own=self._is_own)
        self._run(connection, f"CREATE DATABASE {{}} OWNER {{}} TEMPLATE {{}} {how}", name, user, template)

    def _ensure_role(self, connection: Any, user: str, password: str) -> None:
        """To set a password takes as long as to clone a database: it is made hard to guess."""
        with self._lock:
            if self._passwords.get(user) == password:
                return
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone()
            if known is None:
                self._run(connection, "CREATE ROLE {} LOGIN", user)
            connection.execute(
                self._psycopg.sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    self._psycopg.sql.Identifier(user), self._psycopg.sql.Literal(password)
                )
            )
            self._passwords[user] = password

    def _run(self, connection: Any, command: str, *names: str) -> None:
        sql = self._psycopg.sql
        connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))

    @contextmanager
    def _administration(self) -> Iterator[Any]:
        """A connection for one thread at a time; on this process's own server it is kept for the next."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if not self._is_own:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self, **changes: str) -> Any:
        try:
            return self._psycopg.connect(self._address, autocommit=True, connect_timeout=10, **changes)
        except self._psycopg.OperationalError as error:
            if self._container is not None:
                error.add_note("The server runs in Docker: look by `docker ps -a` whether its container still does.")
            raise


_own: dict[int, PostgresDatabases] = {}
_own_lock = threading.Lock()


def embedded() -> PostgresDatabases:
    """The server of this process, started when it is first asked for, and ended with the process."""
    with _own_lock:
        if os.getpid() not in _own:  # a forked process has a server of its own
            databases = _own[os.getpid()] = PostgresDatabases(PostgresServer().start(), is_own=True)
            atexit.register(databases.close)
        return _own[os.getpid()]


def _unique(prefix: str) -> str:
    suffix = f"_{uuid.uuid4().hex[:12]}"
    return prefix.encode()[: _LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix


def _strategy(server_version: int, *, is_own: bool) -> str:
    """The quickest way to clone. A copy of the files, where nothing is synced; elsewhere its checkpoints are slow.

    Args:
        server_version: As `libpq` has it; before PostgreSQL 15 there is no choice.
        is_own: Whether the server is this process's own.
    """
    if server_version < 150_000:
        return ""
    return "STRATEGY file_copy" if is_own else "STRATEGY wal_log"


def _url(host: str, port: int, name: str, user: str, password: str, info: dict[str, Any]) -> str:
    """A URL that psycopg and asyncpg read alike, also for a Unix socket."""
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    if host.startswith("/"):
        return f"postgresql://{who}@/{quote(name)}?host={quote(host, safe='')}&port={port}"
    options = "&".join(f"{key}={quote(str(info[key]), safe='')}" for key in ("sslmode",) if key in info)
    return f"postgresql://{who}@{host}:{port}/{quote(name)}" + (f"?{options}" if options else "")
